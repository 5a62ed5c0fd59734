"""Which runs count, and what a row is."""

import json
import os

import numpy as np
import pytest
from scipy import stats

from slotbench.errors import UserError
from slotbench.results.export import results, to_csv
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.collect import find
from slotbench.results.run import Run
from tests.results.results import (
    ALL,
    add_run,
    add_seeds,
    make_config,
    make_evaluation,
    make_status,
    only,
    publish,
    text_of,
    write,
)

DECODER = "fg_ari/decoder"


def test_a_row_is_the_mean_over_its_seeds(tmp_path):
    values = [0.8, 0.9, 0.7, 0.85, 0.95]
    add_seeds(tmp_path, DECODER, values)
    row = only(leaderboard(tmp_path))
    cell = row["metrics"][DECODER]
    assert cell["mean"] == pytest.approx(np.mean(values))
    assert cell["iqm"] == pytest.approx(np.mean([0.8, 0.85, 0.9]))
    ends = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (cell["low"], cell["high"]) == pytest.approx(ends)
    assert (cell["n"], row["seeds"], row["seed_list"], row["failed"]) == (5, 5, [0, 1, 2, 3, 4], 0)


def test_missing_cells_are_missing_and_never_averaged_over(tmp_path):
    for seed, decoder in enumerate([0.6, None]):
        add_run(tmp_path, {DECODER: decoder, "fg_ari/attention": 0.4 + 0.2 * seed}, seed=seed)
    add_run(tmp_path, {"fg_ari/attention": 0.5}, objective="simclr", alignment="pool")
    board = leaderboard(tmp_path)
    first, second = (row["metrics"] for row in board.to_json()["rows"])
    assert (first[DECODER]["mean"], first[DECODER]["n"]) == (0.6, 1)
    assert first["fg_ari/attention"]["mean"] == pytest.approx(0.5)
    assert second[DECODER] == dict.fromkeys(("mean", "low", "high", "iqm")) | {"n": 0}
    assert "n=1" in text_of(board, wide=True)
    assert "—" in text_of(board, wide=True)
    assert "| — |" in board.to_markdown()
    assert "& --- &" in board.to_latex()


def test_failed_runs_are_counted_and_shown_and_give_no_number(tmp_path):
    failed = make_status("failed", reason="the loss is not finite at step 70")
    add_run(tmp_path, {DECODER: 0.8}, seed=0)
    add_run(tmp_path, {DECODER: 0.0}, seed=1, status=failed)
    add_run(tmp_path, objective="simclr", status=failed)
    board = leaderboard(tmp_path)
    first, second = board.to_json()["rows"]
    assert first["metrics"][DECODER]["mean"] == 0.8
    assert [(row["seeds"], row["failed"]) for row in (first, second)] == [(1, 1), (0, 1)]
    assert "seed 1 failed: the loss is not finite at step 70" in first["warnings"]
    assert "1 failed" in text_of(board)
    assert "simclr" in board.to_csv()


def text(content):
    return lambda file: file.write_text(content)


NO_FILE = (os.mkfifo, os.mkdir, lambda place: place.symlink_to("gone"))
DAMAGES = [
    *(("config.json", text(cut)) for cut in ('{"schema": 1, "se', '{"schema": 1, "seed": 3}')),
    ("config.json", text(json.dumps({**make_config(seed=4), "schema": 2}))),
    ("status.json", text('["done"]')),
    ("evaluation.json", text(json.dumps({**make_evaluation(make_config(), ALL), "schema": 2}))),
    ("evaluation.json", text(json.dumps(make_evaluation(make_config(), {DECODER: "high"})))),
    ("evaluation.json", text(json.dumps(make_evaluation(make_config(), ALL)) + "9")),
    ("evaluation.json", text(json.dumps(make_evaluation(make_config(), ALL, more=float("nan"))))),
    *((f"{name}.json", make) for name in ("config", "evaluation") for make in NO_FILE),
]


def test_what_cannot_be_read_is_left_out_by_name(tmp_path):
    good = add_run(tmp_path, ALL, seed=0)
    missing, waiting = good.with_name("1-missing"), add_run(tmp_path, seed=2)
    missing.mkdir()
    bad = {missing, waiting}
    for seed, (name, damage) in enumerate(DAMAGES, 3):
        run = add_run(tmp_path, ALL, seed=seed)
        (run / name).unlink()
        damage(run / name)
        bad.add(run)
    for seed, make in enumerate(NO_FILE, 100):  # without a status it has not begun
        status = add_run(tmp_path, ALL, seed=seed) / "status.json"
        status.unlink()
        make(status)
    board = leaderboard(tmp_path)
    assert only(board)["seed_list"] == [0]
    assert "Not finished, so not counted: 3 new." in board.warnings
    for run in bad:
        assert [run.name in text.partition(": ")[0] for text in board.warnings].count(True) == 1
    assert len(find(tmp_path)) == 1 + len(bad) + 3
    assert any(f"slotbench evaluate {waiting.name}" in text for text in board.warnings)
    assert "Left out" in text_of(board)
    assert "Left out" in board.to_markdown()


def test_runs_of_data_without_a_row_are_told_of_unless_a_filter_hides_them(tmp_path):
    for size in (64, 128):
        add_run(tmp_path, ALL, size=size, variant=f"size-{size}")
    waiting = add_run(tmp_path, variant="clevr10")
    add_run(tmp_path, variant="size-9", status=make_status(state="interrupted"))
    told = " ".join(text_of(leaderboard(tmp_path)).split())
    command = f"Type: slotbench evaluate {waiting.name} --results-dir {tmp_path}"
    assert f"1 run is not evaluated. {command}" in told
    assert "Not finished, so not counted: 1 interrupted." in told
    assert "evaluate" not in text_of(leaderboard(tmp_path, dataset="clevr:size-64"))
    with pytest.raises(UserError, match="on clevr:clevr10: 1 run is not evaluated") as error:
        leaderboard(tmp_path, dataset="clevr:clevr10")
    assert error.value.advice == command
    with pytest.raises(UserError, match=r"No results on clevr:size-9\. Not finished.*: 1 int"):
        leaderboard(tmp_path, dataset="clevr:size-9")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"dataset": "tetromino"}, "Unknown dataset .* Did you mean 'tetrominoes'"),
        ({"dataset": "tetrominoes"}, "No results on tetrominoes: there is no run. Type: slotbench"),
        ({"dataset": "clevr:clevr10"}, "No results on clevr:clevr10: there is no run"),
        ({"core": "kmeans"}, "No row fits --core kmeans. Leave it out."),
        ({"core": "kmean"}, "Unknown core .* Did you mean 'kmeans'"),
        ({"family": "external", "dataset": "clevr"}, "--family external. Leave one of them out."),
        ({"metrics": (",",)}, "--metrics names no metric"),
        ({"metrics": ["fg_ary/decoder"]}, "Did you mean 'fg_ari/decoder'"),
        ({"dataset": "clevr:clever6"}, "Did you mean 'clevr:clevr6'"),
        ({"dataset": "nowhere/file.h5"}, "Dataset nowhere/file.h5: there is no such file"),
    ],
)
def test_a_filter_that_nothing_fits_is_explained(tmp_path, wish, message):
    add_run(tmp_path, ALL)
    add_run(tmp_path, ALL, objective="simclr")
    with pytest.raises(UserError, match=message):
        leaderboard(tmp_path, **wish)


def test_older_versions_of_a_metric_are_left_out(tmp_path):
    add_run(tmp_path, {DECODER: 0.1}, seed=0, version=1)
    versions = {DECODER: 2, "ari/decoder": 1, "mbo/decoder": 0}
    cells = {key: {"value": 0.9, "version": version} for key, version in versions.items()}
    newer = add_run(tmp_path, {}, seed=1, evaluation={"metrics": cells})
    board = leaderboard(tmp_path)
    row = only(board)
    assert (row["metrics"][DECODER]["mean"], row["metrics"][DECODER]["n"]) == (0.9, 1)
    assert set(row["metrics"]) == {DECODER, "ari/decoder"}
    assert row["seed_list"] == [1]
    told = " ".join(board.warnings)
    assert "is stale: it has an older version of fg_ari/decoder" in told
    assert "is stale: it has an older version of mbo/decoder" in told
    assert f"slotbench evaluate {newer.name}" in told


@pytest.mark.parametrize(
    ("what", "fields", "words"),
    [
        ("evaluation", {"split": "val"}, "evaluated on val, not test"),
        ("evaluation", {"fingerprint": "other"}, "other data"),
        ("evaluation", {"schema": 2}, "schema should be 1"),
        ("evaluation", {"images": 320}, "320 images"),
        ("evaluation", {"resolution": [128, 128]}, "128x128 px"),
        ("status", make_status("running"), "Not finished, so not counted: 1 interrupted"),  # dead
        ("status", make_status("interrupted"), "Not finished, so not counted: 1 interrupted"),
        ("status", make_status("new"), "Not finished, so not counted: 1 new"),
    ],
)
def test_a_run_that_cannot_count_is_left_out_with_its_reason(tmp_path, what, fields, words):
    add_seeds(tmp_path, DECODER, (0.8, 0.8))
    add_run(tmp_path, {DECODER: 0.1}, seed=2, **{what: fields})
    board = leaderboard(tmp_path)
    assert only(board)["metrics"][DECODER]["mean"] == pytest.approx(0.8)
    assert only(board)["seeds"] == 2
    assert any(words in text for text in board.warnings)


OTHERS = [{"overrides": {"core.slot_init": "gaussian"}}, {"overrides": {"train.steps": 1000}}]
OTHERS += [{"preset": "base"}, {"variant": "clevr10"}, {"origin": "original"}, {"size": 128}]
OTHERS += [{"core": "slot-mlp"}, {"learning_rate": 1e-3}, {"alignment": "hungarian"}]


@pytest.mark.parametrize("fields", OTHERS)
def test_rows_never_mix_settings(tmp_path, fields):
    usual = {"objective": "simclr", "alignment": "pool"}
    add_run(tmp_path, {DECODER: 0.8}, **usual)
    add_run(tmp_path, {DECODER: 0.2}, **(usual | fields))
    found = leaderboard(tmp_path).to_json()["rows"]
    assert sorted(row["metrics"][DECODER]["mean"] for row in found) == [0.2, 0.8]


def test_a_field_that_is_set_to_its_own_value_makes_no_other_row(tmp_path):
    for seed, overrides in enumerate(({"core.slots": 7}, {})):
        run = add_run(tmp_path, {DECODER: 0.5}, seed=seed)
        write(run / "config.json", make_config(seed=seed) | {"overrides": overrides})
    row = only(leaderboard(tmp_path))
    assert (row["seeds"], row["settings"]) == (2, "")


def test_rows_never_mix_versions(tmp_path):
    for version in (1, 2):
        run = add_run(tmp_path, {DECODER: 0.5})
        write(run / "config.json", make_config() | {"versions": {"core": 1, "objective": version}})
    found = leaderboard(tmp_path).to_json()["rows"]
    assert [row["settings"] for row in found] == ["versions.objective=1", "versions.objective=2"]


def test_settings_are_short_and_a_hidden_difference_is_named(tmp_path):
    overrides = {"core.slot_init": "gaussian", "train.steps": 1000, "encoder.channels": 64}
    add_run(tmp_path, {DECODER: 0.8}, overrides=overrides)
    assert only(leaderboard(tmp_path))["settings"] == (
        "slot_init=gaussian, encoder.channels=64, steps=1000"
    )
    # The preset itself has changed between two runs: the same label, other numbers.
    add_run(tmp_path, {DECODER: 0.1}, overrides=overrides, learning_rate=1e-3)
    settings = [row["settings"] for row in leaderboard(tmp_path).to_json()["rows"]]
    assert sorted(text.rpartition(", ")[2] for text in settings) == [
        "train.learning_rate=0.001",
        "train.learning_rate=0.002",
    ]


def test_a_copied_run_counts_once_and_a_contradicted_one_not_at_all(tmp_path):
    for seed, value in ((0, 0.8), (0, 0.8), (1, 0.4)):
        add_run(tmp_path, {DECODER: value}, seed=seed)
    assert only(leaderboard(tmp_path))["seed_list"] == [0, 1]
    add_run(tmp_path, {DECODER: 0.5}, seed=1)
    board = leaderboard(tmp_path)
    assert only(board)["seed_list"] == [0]
    assert any("none counts" in text for text in board.warnings)


def test_published_results_stand_beside_runs_and_count_once(tmp_path):
    publish(tmp_path, {DECODER: 0.8}, [0, 1])
    run = add_run(tmp_path, {DECODER: 0.8}, seed=0)
    board = leaderboard(tmp_path)
    assert (only(board)["seeds"], only(board)["published"]) == (2, 1)
    assert "1+1†" in text_of(board)
    assert "(1 published)" in text_of(board, wide=True)
    assert not board.warnings
    # Where the numbers differ, this machine's count; where the run here is not done, the others.
    write(run / "evaluation.json", make_evaluation(make_config(), {DECODER: 0.7}))
    board = leaderboard(tmp_path)
    assert only(board)["metrics"][DECODER]["mean"] == pytest.approx(0.75)
    assert not board.warnings  # nothing of this machine is left out
    assert any("a published copy has other numbers" in text for text in only(board)["warnings"])
    more = make_evaluation(make_config(), {DECODER: 0.8, "ari/decoder": 0.3})
    write(run / "evaluation.json", more)
    assert not only(leaderboard(tmp_path))["warnings"]
    write(run / "status.json", make_status("failed", reason="killed"))
    row = only(leaderboard(tmp_path))
    assert (row["seeds"], row["published"], row["failed"]) == (2, 2, 0)


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
    assert "cannot be read" in to_csv(results(tmp_path))


def test_no_mean_of_numbers_that_are_read_is_infinite(tmp_path):
    for seed in range(3):
        write(add_run(tmp_path, seed=seed) / "status.json", make_status(seconds=1.7e308))
        add_run(tmp_path, {DECODER: 1.7e308}, seed=seed + 3)
    add_run(tmp_path, {DECODER: 0.8}, seed=6)
    board = leaderboard(tmp_path)
    board.to_json_text()
    assert sum("should be less than" in text for text in board.warnings) == 6


@pytest.mark.parametrize("fields", [{"init": None}, {"extended": None}, {"trained_on": "x"}])
def test_one_odd_config_stops_no_other_run(tmp_path, fields):
    add_run(tmp_path, {DECODER: 0.8})
    config = add_run(tmp_path, {}, seed=1) / "config.json"
    write(config, {**json.loads(config.read_text()), **fields})
    assert only(leaderboard(tmp_path))["metrics"][DECODER]["mean"] == 0.8


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
