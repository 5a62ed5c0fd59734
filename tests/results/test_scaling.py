"""Numbers between the floor and the ceiling of their dataset."""

import pytest

from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.scaling import NOTE
from tests.results.results import add_run, add_seeds, text_of
from tests.results.test_entries import add_entry

FG = "fg_ari/attention"


def cells(results, metric=FG, **options):
    document = leaderboard(results, metrics=[metric], scale=True, **options).to_json()
    return {row["objective"]: row["metrics"][metric] for row in document["rows"]}


def test_floor_is_0_ceiling_is_1_and_between_is_linear(tmp_path):
    add_seeds(tmp_path, FG, [0.1, 0.3], objective="random")
    add_seeds(tmp_path, FG, [0.8, 1.0], objective="supervised")
    add_seeds(tmp_path, FG, [0.5, 0.6, 0.7])
    document = leaderboard(tmp_path).to_json()
    raw = document["rows"][0]["metrics"][FG]
    assert "scaled" not in raw
    assert "scale" not in document
    assert leaderboard(tmp_path, scale=True).to_json()["scale"] == NOTE
    found = cells(tmp_path)
    assert found["random"]["mean"] == pytest.approx(0)
    assert found["supervised"]["mean"] == pytest.approx(1)
    cell = found["reconstruction"]
    for key in ("mean", "low", "high"):
        assert cell[key] == pytest.approx((raw[key] - 0.2) / 0.7)
    assert cell["n"] == 3
    ends = {"floor": pytest.approx(0.2), "ceiling": pytest.approx(0.9)}
    assert cell["scaled"] == {"raw": pytest.approx(0.6), "reason": "", **ends}


def test_a_missing_end_leaves_the_number_missing_with_the_reason(tmp_path):
    add_run(tmp_path, {FG: 0.5, "fg_ari/decoder": 0.6})
    board = leaderboard(tmp_path, scale=True)
    found = cells(tmp_path)["reconstruction"]
    scaled = {"raw": 0.5, "reason": "no floor: no run of random on this data"}
    assert found.pop("scaled") == {"floor": None, "ceiling": None, **scaled}
    assert found == dict.fromkeys(("mean", "low", "high", "iqm")) | {"n": 0}
    assert "not scaled, no floor: no run of random on this data" in " ".join(
        text_of(board, wide=True).split()
    )
    assert "not scaled, no floor" in board.to_markdown()
    add_run(tmp_path, {FG: 0.2}, objective="random")
    assert "no ceiling: no run of supervised" in cells(tmp_path)["random"]["scaled"]["reason"]
    add_run(tmp_path, {FG: 0.9, "fg_ari/decoder": 0.9}, objective="supervised")
    reason = cells(tmp_path, "fg_ari/decoder")["reconstruction"]["scaled"]["reason"]
    assert reason == "no floor: random has no fg_ari/decoder"
    failed = leaderboard(tmp_path, scale=True, metrics=["fg_ari"])
    assert "—" in text_of(failed)


def test_a_ceiling_that_is_not_above_the_floor_scales_nothing(tmp_path):
    for objective, value in (("random", 0.5), ("supervised", 0.5), ("reconstruction", 0.6)):
        add_run(tmp_path, {FG: value}, objective=objective)
    assert "not better than the floor" in cells(tmp_path)["reconstruction"]["scaled"]["reason"]


def test_where_lower_is_better_the_best_is_still_the_highest(tmp_path):
    errors = {"random": 0.05, "supervised": 0.01, "reconstruction": 0.02, "simclr": 0.04}
    for objective, value in errors.items():
        add_seeds(tmp_path, "recon_mse", [value - 0.001, value + 0.001], objective=objective)
    found = cells(tmp_path, "recon_mse")
    assert found["reconstruction"]["mean"] == pytest.approx(0.75)
    assert found["reconstruction"]["low"] <= 0.75 <= found["reconstruction"]["high"]
    markdown = leaderboard(tmp_path, metrics=["recon_mse"], scale=True).to_markdown()
    assert markdown.count("**") == 2
    assert "**1.00**" in markdown


def test_numbers_without_a_better_side_have_no_scale(tmp_path):
    for objective in ("random", "supervised", "simclr"):
        add_run(tmp_path, {"health/effective_rank": 3.0, FG: 0.1}, objective=objective)
    cell = cells(tmp_path, "health/effective_rank")["simclr"]
    assert cell["scaled"]["reason"] == "neither more nor less of it is better"
    assert cell["mean"] is None


def test_ends_are_of_the_same_core_and_preset_where_there_are_any(tmp_path):
    for preset, floor in (("quick", 0.1), ("base", 0.3)):
        add_run(tmp_path, {FG: floor}, objective="random", preset=preset)
        add_run(tmp_path, {FG: 0.9}, objective="supervised", preset=preset)
        add_run(tmp_path, {FG: 0.5}, preset=preset)
    add_run(tmp_path, {FG: 0.3}, objective="random", preset="base", seed=1)
    add_run(tmp_path, {FG: 0.8}, objective="random", variant="clevr10")  # other data: no say
    add_entry(tmp_path, {FG: 0.6})
    rows = leaderboard(tmp_path, dataset="clevr:clevr6", metrics=[FG], scale=True).to_json()["rows"]
    floors = {
        (row["objective"], row["preset"]): row["metrics"][FG]["scaled"]["floor"] for row in rows
    }
    assert floors["reconstruction", "quick"] == 0.1
    assert floors["reconstruction", "base"] == 0.3
    # Nothing was trained here: the floor with most seeds stands in, and says which it is.
    assert floors["SLATE (authors' code)", ""] == 0.3
    (external,) = [row for row in rows if row["external"]]
    assert "floor: slot-attention + random, base" in external["warnings"]
