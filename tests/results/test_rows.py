"""Which runs count, and what a row is."""

import numpy as np
import pytest
from scipy import stats

from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.collect import find
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


def test_a_row_is_the_mean_over_its_seeds(tmp_path):
    values = [0.8, 0.9, 0.7, 0.85, 0.95]
    add_seeds(tmp_path, "fg_ari/decoder", values)
    row = only(leaderboard(tmp_path))
    cell = row["metrics"]["fg_ari/decoder"]
    assert cell["mean"] == pytest.approx(np.mean(values))
    assert cell["iqm"] == pytest.approx(np.mean([0.8, 0.85, 0.9]))
    ends = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (cell["low"], cell["high"]) == pytest.approx(ends)
    assert (cell["n"], row["seeds"], row["seed_list"], row["failed"]) == (5, 5, [0, 1, 2, 3, 4], 0)


def test_missing_cells_are_missing_and_never_averaged_over(tmp_path):
    add_run(tmp_path, {"fg_ari/decoder": 0.6, "fg_ari/attention": 0.4}, seed=0)
    add_run(tmp_path, {"fg_ari/decoder": None, "fg_ari/attention": 0.6}, seed=1)
    add_run(tmp_path, {"fg_ari/attention": 0.5}, objective="simclr", alignment="pool")
    board = leaderboard(tmp_path)
    first, second = board.to_json()["rows"]
    assert first["metrics"]["fg_ari/decoder"]["mean"] == 0.6
    assert first["metrics"]["fg_ari/decoder"]["n"] == 1
    assert first["metrics"]["fg_ari/attention"]["mean"] == pytest.approx(0.5)
    assert second["metrics"]["fg_ari/decoder"] == {
        "mean": None,
        "low": None,
        "high": None,
        "n": 0,
        "iqm": None,
    }
    assert "n=1" in text_of(board, wide=True)
    assert "—" in text_of(board, wide=True)
    assert "| — |" in board.to_markdown()
    assert "& --- &" in board.to_latex()


def test_failed_runs_are_counted_and_shown_and_give_no_number(tmp_path):
    failed = make_status("failed", reason="the loss is not finite at step 70")
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=0)
    add_run(tmp_path, {"fg_ari/decoder": 0.0}, seed=1, status=failed)
    add_run(tmp_path, objective="simclr", status=failed)
    board = leaderboard(tmp_path)
    first, second = board.to_json()["rows"]
    assert first["metrics"]["fg_ari/decoder"]["mean"] == 0.8
    assert (first["seeds"], first["failed"]) == (1, 1)
    assert (second["seeds"], second["failed"]) == (0, 1)
    assert "seed 1 failed: the loss is not finite at step 70" in first["warnings"]
    assert "1 failed" in text_of(board)
    assert "simclr" in board.to_csv()


@pytest.mark.parametrize("state", ["running", "interrupted", "new"])
def test_unfinished_runs_do_not_count(tmp_path, state):
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=0)
    add_run(tmp_path, {"fg_ari/decoder": 0.1}, seed=1, status=make_status(state))
    board = leaderboard(tmp_path)
    assert only(board)["metrics"]["fg_ari/decoder"]["mean"] == 0.8
    # A "running" run whose process is gone reads as interrupted.
    assert any("Not finished, so not counted: 1 " in text for text in board.warnings)


def test_half_written_runs_are_listed_and_do_not_crash(tmp_path):
    good = add_run(tmp_path, ALL, seed=0)
    missing = good.with_name("1-missing")
    missing.mkdir()
    broken = add_run(tmp_path, ALL, seed=2)
    (broken / "config.json").write_text('{"schema": 1, "se')
    odd = add_run(tmp_path, ALL, seed=3)
    write(odd / "config.json", {"schema": 1, "seed": 3})
    newer = add_run(tmp_path, ALL, seed=4)
    write(newer / "config.json", {**make_config(seed=4), "schema": 2})
    nonsense = add_run(tmp_path, ALL, seed=5)
    write(nonsense / "status.json", ["done"])
    unevaluated = add_run(tmp_path, seed=6)
    half = add_run(tmp_path, ALL, seed=7)
    (half / "evaluation.json").write_text('{"schema"')
    words = add_run(tmp_path, ALL, seed=8)
    write(words / "evaluation.json", make_evaluation(make_config(), {"ari/decoder": "high"}))
    bad = {missing, broken, odd, newer, nonsense, unevaluated, half, words}
    board = leaderboard(tmp_path)
    assert only(board)["seed_list"] == [0]
    for run in bad:
        lines = [text for text in board.warnings if run.name in text.partition(": ")[0]]
        assert len(lines) == 1, run
    assert len(find(tmp_path)) == 1 + len(bad)
    assert any(f"slotbench evaluate {unevaluated.name}" in text for text in board.warnings)
    assert "Left out" in text_of(board)
    assert "Left out" in board.to_markdown()


def test_older_versions_of_a_metric_are_left_out(tmp_path):
    add_run(tmp_path, {"fg_ari/decoder": 0.1}, seed=0, version=1)
    config = make_config(seed=1)
    run = add_run(tmp_path, {}, seed=1)
    evaluation = make_evaluation(config, {"fg_ari/decoder": 0.9}, version=2)
    evaluation["metrics"]["ari/decoder"] = {"value": 0.3, "version": 1}
    write(run / "evaluation.json", evaluation)
    board = leaderboard(tmp_path)
    row = only(board)
    assert row["metrics"]["fg_ari/decoder"]["mean"] == 0.9
    assert row["metrics"]["fg_ari/decoder"]["n"] == 1
    assert row["metrics"]["ari/decoder"]["mean"] == 0.3
    assert row["seed_list"] == [1]
    assert any("older version of fg_ari/decoder" in text for text in board.warnings)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"split": "val"}, "evaluated on val, not test"),
        ({"fingerprint": "other"}, "other data"),
        ({"schema": 2}, "schema should be 1"),
        ({"images": 320}, "320 images"),
        ({"resolution": [128, 128]}, "128x128 px"),
    ],
)
def test_evaluations_of_something_else_are_left_out(tmp_path, fields, words):
    for seed in range(2):
        add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=seed)
    add_run(tmp_path, {"fg_ari/decoder": 0.1}, seed=2, evaluation=fields)
    board = leaderboard(tmp_path)
    assert only(board)["metrics"]["fg_ari/decoder"]["mean"] == pytest.approx(0.8)
    assert only(board)["seeds"] == 2
    assert any(words in text for text in board.warnings)


@pytest.mark.parametrize(
    "fields",
    [
        {"overrides": {"core.slot_init": "gaussian"}},
        {"overrides": {"train.steps": 1000}},
        {"preset": "base"},
        {"variant": "clevr10"},
        {"origin": "original"},
        {"size": 128},
        {"core": "slot-mlp"},
        {"learning_rate": 1e-3},
    ],
)
def test_rows_never_mix_settings(tmp_path, fields):
    add_run(tmp_path, {"fg_ari/decoder": 0.8})
    add_run(tmp_path, {"fg_ari/decoder": 0.2}, **fields)
    found = leaderboard(tmp_path).to_json()["rows"]
    assert sorted(row["metrics"]["fg_ari/decoder"]["mean"] for row in found) == [0.2, 0.8]


def test_rows_never_mix_alignments_or_versions(tmp_path):
    for alignment in ("pool", "hungarian"):
        add_run(tmp_path, {"fg_ari/attention": 0.5}, objective="simclr", alignment=alignment)
    run = add_run(tmp_path, {"fg_ari/attention": 0.5}, objective="simclr", alignment="pool")
    config = make_config(objective="simclr", alignment="pool")
    write(run / "config.json", {**config, "versions": {"core": 1, "objective": 2}})
    found = leaderboard(tmp_path).to_json()["rows"]
    assert len(found) == 3
    labels = {(row["alignment"], row["settings"]) for row in found}
    assert labels == {
        ("hungarian", ""),
        ("pool", "versions.objective=1"),
        ("pool", "versions.objective=2"),
    }


def test_settings_are_short_and_a_hidden_difference_is_named(tmp_path):
    overrides = {"core.slot_init": "gaussian", "train.steps": 1000, "encoder.channels": 64}
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, overrides=overrides)
    assert only(leaderboard(tmp_path))["settings"] == (
        "slot_init=gaussian, encoder.channels=64, steps=1000"
    )
    # The preset itself has changed between two runs: the same label, other numbers.
    add_run(tmp_path, {"fg_ari/decoder": 0.1}, overrides=overrides, learning_rate=1e-3)
    settings = [row["settings"] for row in leaderboard(tmp_path).to_json()["rows"]]
    assert sorted(text.rpartition(", ")[2] for text in settings) == [
        "train.learning_rate=0.001",
        "train.learning_rate=0.002",
    ]


def test_a_copied_run_counts_once_and_a_contradicted_one_not_at_all(tmp_path):
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=0)
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=0)
    add_run(tmp_path, {"fg_ari/decoder": 0.4}, seed=1)
    assert only(leaderboard(tmp_path))["seed_list"] == [0, 1]
    add_run(tmp_path, {"fg_ari/decoder": 0.5}, seed=1)
    board = leaderboard(tmp_path)
    assert only(board)["seed_list"] == [0]
    assert any("none counts" in text for text in board.warnings)


def test_published_results_stand_beside_runs_and_count_once(tmp_path):
    publish(tmp_path, {"fg_ari/decoder": 0.8}, [0, 1])
    add_run(tmp_path, {"fg_ari/decoder": 0.8}, seed=0)
    board = leaderboard(tmp_path)
    row = only(board)
    assert (row["seeds"], row["published"]) == (2, 1)
    assert "1+1†" in text_of(board)
    assert "(1 published)" in text_of(board, wide=True)
    assert not board.warnings


def test_where_a_run_is_published_with_other_numbers_this_machine_counts(tmp_path):
    publish(tmp_path, {"fg_ari/decoder": 0.8}, [0])
    add_run(tmp_path, {"fg_ari/decoder": 0.7}, seed=0)
    board = leaderboard(tmp_path)
    assert only(board)["metrics"]["fg_ari/decoder"]["mean"] == 0.7
    assert any("published with other numbers" in text for text in board.warnings)


def test_a_published_result_counts_where_the_run_here_is_not_done(tmp_path):
    publish(tmp_path, {"fg_ari/decoder": 0.8}, [0])
    add_run(tmp_path, seed=0, status=make_status("failed", reason="killed"))
    row = only(leaderboard(tmp_path))
    assert (row["seeds"], row["published"], row["failed"]) == (1, 1, 0)
