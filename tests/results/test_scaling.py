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


LABELLED = {"random": 0.5, "supervised": 0.5, "reconstruction": 0.6}
REASONS = {
    "no floor: no run of random on this data": ({"reconstruction": 0.6}, FG),
    "no ceiling: no run of supervised on this data": ({"random": 0.2, "reconstruction": 0.6}, FG),
    "no floor: random has no fg_ari/decoder": ({**LABELLED, "random": None}, "fg_ari/decoder"),
    "the ceiling, 0.5, is not better than the floor, 0.5": (LABELLED, FG),
    "neither more nor less of it is better": (LABELLED, "health/effective_rank"),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_number_that_cannot_be_scaled_is_missing_with_its_reason(tmp_path, reason):
    values, metric = REASONS[reason]
    for objective, value in values.items():
        add_run(tmp_path, {metric: value, "ari/attention": 0.5}, objective=objective)
    found = cells(tmp_path, metric)["reconstruction"]
    scaled = found.pop("scaled")
    assert (scaled["raw"], scaled["reason"]) == (0.6, reason)
    assert found == dict.fromkeys(("mean", "low", "high", "iqm")) | {"n": 0}
    board = leaderboard(tmp_path, scale=True, metrics=[metric])
    assert "—" in text_of(board)
    for text in (text_of(board, wide=True), board.to_markdown()):
        assert f"not scaled, {reason}" in " ".join(text.split())


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
