"""Documents that someone damaged: that one run is left out, the others are still shown."""

import copy
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotbench.results.export import results, to_csv
from slotbench.results.leaderboard import leaderboard
from tests.results.results import ALL, add_run, make_config, make_status, publish, write

FILES = ("config.json", "status.json", "evaluation.json", "environment.json")
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 10**400, 1e308, float("inf"), float("nan"), "", "x", "../../x",
    "\ud800", "\x1b]0;owned", "=1+1", [], {}, [[]], {"": None},
)  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of every part of a document."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items if isinstance(node, dict | list) else ():
        yield (*path, key)
        yield from places(value, (*path, key)) if isinstance(value, dict | list) else ()


def damage(text: str, draws: np.random.Generator) -> bytes:
    """A part replaced or removed, or bytes changed, cut or nested."""
    how = draws.integers(8)
    if how < 5:
        document = copy.deepcopy(json.loads(text))
        *parents, last = list(places(document))[draws.integers(len(list(places(document))))]
        part = document
        for key in parents:
            part = part[key]
        part[last] = NASTY[draws.integers(len(NASTY))]
        if how == 4 and isinstance(part, dict):
            del part[last]
        return json.dumps(document).encode()
    if how == 5:
        return text.encode()[: draws.integers(len(text))]
    if how == 6:
        content = bytearray(text.encode())
        content[draws.integers(len(content))] = draws.integers(256)
        return bytes(content)
    return b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("inputs", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_damaged_document_hides_no_other_run(tmp_path: Path, inputs: int) -> None:
    add_run(tmp_path, ALL, variant="whole")
    run = add_run(tmp_path, ALL, variant="damaged", overrides={"core.slots": 9})
    write(run / "environment.json", {"git": {"commit": "c" * 40}, "packages": {"torch": "2"}})
    whole = {name: (run / name).read_text() for name in FILES}
    draws = np.random.default_rng(7)
    for _ in range(inputs):
        name = FILES[draws.integers(len(FILES))]
        (run / name).write_bytes(damage(whole[name], draws))
        board = leaderboard(tmp_path)
        assert "clevr:whole" in {row.group.dataset for row in board.rows}
        json.dumps(board.to_json(), allow_nan=False)
        assert "\x1b" not in board.to_csv() + board.to_markdown()
        rows = list(results(tmp_path))
        assert to_csv(rows).count("\n") > len(ALL)
        bad = [row for row in rows if row["run"] == str(run.relative_to(tmp_path))]
        assert bad
        assert bad[0]["counts"] or bad[0]["problems"] or bad[0]["state"] != "done"
        (run / name).write_text(whole[name])


def test_pipes_links_and_folders_are_left_out(tmp_path: Path) -> None:
    add_run(tmp_path, ALL)
    for number, name in enumerate(("config.json", "status.json", "evaluation.json")):
        for seed, make in enumerate((os.mkfifo, os.mkdir, lambda path: path.symlink_to("gone"))):
            run = add_run(tmp_path, ALL, seed=10 * number + seed + 1)
            (run / name).unlink()
            make(run / name)
    board = leaderboard(tmp_path)
    (row,) = board.rows
    # A folder or link in the place of a status is a run that has not begun.
    assert row.seeds == (0,)
    assert len(board.warnings) >= 6


def test_a_damaged_published_record_is_left_out(tmp_path: Path) -> None:
    publish(tmp_path, ALL, [0, 1])
    file = tmp_path / "published" / "2025.json"
    records = json.loads(file.read_text())
    for nasty in ({"config": {}, "status": {}}, 7, {**records[0], "evaluation": {"metrics": []}}):
        write(file, [records[0], nasty])
        board = leaderboard(tmp_path)
        assert [row.seeds for row in board.rows] == [(0,)]
    config = make_config(seed=2)
    write(file, [records[0], {"config": config, "status": make_status(), "environment": "x"}])
    assert any("environment" in text for text in leaderboard(tmp_path).warnings)
    stream = io.StringIO(to_csv(results(tmp_path)))
    assert "cannot be read" in stream.read()
