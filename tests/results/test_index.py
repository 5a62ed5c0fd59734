"""The index changes how long the leaderboard takes, and never what it says."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotbench.results.leaderboard import Index, leaderboard
from slotbench.results.leaderboard import index as module
from slotbench.results.leaderboard.index import NAME
from tests.results.results import ALL, add_run, make_config, make_evaluation, make_status, write


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index everything at once, however little and however new."""
    monkeypatch.setattr(module, "WORTHWHILE", 1)
    monkeypatch.setattr(module, "_SETTLED_NS", -(10**12))


def fill(results: Path) -> dict[str, Path]:
    """Runs of every kind; returns some of them."""
    draws = np.random.default_rng(0)
    runs = {}
    for objective in ("reconstruction", "simclr", "random"):
        for seed in range(5):
            numbers = {key: float(draws.uniform(0.2, 0.9)) for key in ALL}
            runs[f"{objective}{seed}"] = add_run(results, numbers, seed=seed, objective=objective)
    add_run(results, {**ALL, "fg_ari/decoder": None}, seed=7)
    add_run(results, {**ALL, "ari/decoder": 0.4}, seed=8, overrides={"core.slot_init": "gaussian"})
    add_run(results, ALL, seed=9, version=-1)
    runs["failed"] = add_run(results, seed=5, status=make_status("failed", reason="no memory"))
    runs["running"] = add_run(results, seed=6, status=make_status("running"))
    runs["unevaluated"] = add_run(results, seed=10)
    broken = add_run(results, ALL, seed=11)
    (broken / "config.json").write_text("{")
    return runs


def answer(results: Path, *, use: bool = True) -> dict[str, Any]:
    return leaderboard(results, index=Index(results, use=use)).to_json()


def remember(results: Path) -> Index:
    board = leaderboard(results, index=Index(results))
    board.to_json()
    board.index.save()
    return board.index


def test_the_answer_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    fill(tmp_path)
    truth = answer(tmp_path, use=False)
    assert not (tmp_path / NAME).exists()
    remember(tmp_path)
    again = Index(tmp_path)
    assert len(again.entries) > 15
    assert leaderboard(tmp_path, index=again).to_json() == truth
    assert (again.read_anew, again.memo.computed) == (0, 0)
    # A view of a part, written back, forgets nothing of the rest.
    board = leaderboard(tmp_path, family="control", metrics=["fg_ari/attention"])
    board.to_json()
    board.index.read_anew = 100
    board.index.save()
    assert answer(tmp_path) == truth


def test_what_is_indexed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = fill(tmp_path)
    remember(tmp_path)
    read: list[str] = []
    whole = module.read
    monkeypatch.setattr(module, "read", lambda path, name: read.append(name) or whole(path, name))
    answer(tmp_path)
    # Only what may change without a trace in its files, or what cannot be read.
    names = {str(runs["running"].relative_to(tmp_path))}
    assert names < set(read)
    assert len(read) == 2


@pytest.mark.parametrize("change", ["number", "state", "seed", "gone", "new", "unevaluated"])
def test_every_change_is_seen(tmp_path: Path, change: str) -> None:
    runs = fill(tmp_path)
    before = answer(tmp_path)
    remember(tmp_path)
    run = runs["simclr3"]
    if change == "number":
        config = make_config("simclr", 3)
        write(run / "evaluation.json", make_evaluation(config, dict.fromkeys(ALL, 0.123)))
    elif change == "state":
        write(run / "status.json", make_status("failed", reason="x"))
    elif change == "seed":
        write(run / "config.json", make_config("simclr", 33))
    elif change == "gone":
        shutil.rmtree(run)
    elif change == "new":
        add_run(tmp_path, ALL, seed=40)
    else:
        (run / "evaluation.json").unlink()
    after = answer(tmp_path)
    assert after == answer(tmp_path, use=False)
    assert after != before


def test_a_change_of_equal_size_with_the_old_time_put_back_is_seen(tmp_path: Path) -> None:
    runs = fill(tmp_path)
    remember(tmp_path)
    file = runs["simclr3"] / "evaluation.json"
    facts, text = file.stat(), file.read_text()
    document = json.loads(text)
    value = str(document["metrics"]["fg_ari/attention"]["value"])
    other = value[:-1] + str((int(value[-1]) + 1) % 10)
    file.write_text(text.replace(value, other))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert answer(tmp_path) == answer(tmp_path, use=False)


def test_files_that_have_just_changed_are_not_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    monkeypatch.setattr(module, "_SETTLED_NS", 2_000_000_000)
    assert remember(tmp_path).entries == {}


def test_a_damaged_index_is_as_good_as_none_and_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path)
    truth = answer(tmp_path, use=False)
    remember(tmp_path)
    file, sound = tmp_path / NAME, Index(tmp_path)
    whole, runs = file.read_bytes(), Index(tmp_path, use=False).runs()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-1], os.urandom(4096)):
        file.write_bytes(content)
        assert Index(tmp_path).entries == {}
    assert answer(tmp_path) == truth
    draws, seen = np.random.default_rng(1), 0
    for place in draws.integers(len(whole), size=100):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(draws.integers(8))
        file.write_bytes(bytes(flipped))
        found = Index(tmp_path)
        # A time stamp of the archive may be spoiled: then nothing that is read is.
        assert found.entries in ({}, sound.entries)
        if found.entries:
            for ours, theirs in zip(found.memo.arrays(), sound.memo.arrays(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        seen += not found.entries
        assert found.runs() == runs
    assert seen > 75
    file.write_bytes(whole[: len(whole) // 2])
    remember(tmp_path)
    assert Index(tmp_path).entries


@pytest.mark.parametrize("field", ["code", "metrics", "runs", "shared", "versions"])
def test_an_index_with_other_content_counts_as_none(tmp_path: Path, field: str) -> None:
    fill(tmp_path)
    truth = Index(tmp_path, use=False).runs()
    remember(tmp_path)
    with np.load(tmp_path / NAME) as stored:
        arrays = dict(stored)
    document = json.loads(arrays["document"].tobytes())
    for nonsense in (None, [], {}, "text", [[1]]):
        text = json.dumps({**document, field: nonsense}).encode()
        arrays["document"] = np.frombuffer(text, dtype=np.uint8)
        np.savez(tmp_path / NAME, **arrays)
        assert Index(tmp_path).entries == {}
        assert Index(tmp_path).runs() == truth


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    remember(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def _hammer(results: str, times: int) -> None:
    module.WORTHWHILE, module._SETTLED_NS = 0, -(10**12)
    for _ in range(times):
        remember(Path(results))


def test_many_writers_leave_a_whole_index(tmp_path: Path) -> None:
    fill(tmp_path)
    truth = answer(tmp_path, use=False)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(str(tmp_path), 5)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert Index(tmp_path).entries
    assert answer(tmp_path) == truth
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "runs"]


def test_a_plugins_family_is_looked_up_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(tmp_path, ALL, objective="mine")
    assert answer(tmp_path)["rows"][0]["family"] == "unknown"
    remember(tmp_path)
    monkeypatch.setattr(module, "family_of", lambda _: "self-supervised")
    assert answer(tmp_path)["rows"][0]["family"] == "self-supervised"
