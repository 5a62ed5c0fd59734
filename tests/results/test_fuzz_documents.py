"""Documents that someone damaged: that one run is left out, the others are still shown."""

import io
import json
import os

import pytest

from slotbench.errors import UserError
from slotbench.files import parse_document, read_document, read_json
from slotbench.results.documents import Evaluation, Status
from slotbench.results.export import results, to_csv
from slotbench.results.leaderboard import leaderboard
from slotbench.results.run import Run
from tests.fuzz.mutate import mutants
from tests.results.results import (
    ALL,
    add_run,
    make_config,
    make_evaluation,
    make_status,
    publish,
    write,
)


@pytest.mark.parametrize("name", ["config.json", "status.json", "evaluation.json"])
def test_a_damaged_run_is_exported_with_its_problem(tmp_path, name):
    """What boards make of damage is tested in tests/fuzz."""
    add_run(tmp_path, ALL, variant="whole")
    run = add_run(tmp_path, ALL, variant="damaged")
    for content in ("", "null", '{"schema": 1, "metrics": 3}', "[" * 10**5):
        (run / name).write_text(content)
        bad = [row for row in results(tmp_path) if row["run"] == str(run.relative_to(tmp_path))]
        assert not bad[0]["counts"]
        assert bad[0]["problems"] or bad[0]["state"] != "done"
        assert to_csv(results(tmp_path)).count("\n") > len(ALL)


@pytest.mark.parametrize(
    ("document", "model"),
    [(make_evaluation(make_config(), ALL), Evaluation), (make_status(warnings=["x"]), Status)],
)
def test_the_fast_reader_says_what_the_thorough_one_says(tmp_path, document, model):
    file = tmp_path / "document.json"

    def outcome(read):
        try:
            return read()
        except UserError as error:
            return error.message

    for data in mutants(json.dumps({**document, "more": 1e3}).encode(), 7, 300):
        file.write_bytes(data)
        found = outcome(lambda: read_document(file, model))
        assert found == outcome(lambda: parse_document(read_json(file), model, str(file))), data


def test_pipes_links_and_folders_are_left_out(tmp_path):
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


def test_a_damaged_published_record_is_left_out(tmp_path):
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


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [(None, "overrides", 5), ("dataset", "image_size", "x"), (None, "dataset", [])],
)
def test_a_config_of_another_shape_names_its_field(tmp_path, section, field, value):
    run = Run(add_run(tmp_path))
    document = json.loads(run.config_file.read_text())
    (document[section] if section else document)[field] = value
    run.config_file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=field):
        run.config()
