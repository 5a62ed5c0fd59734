"""The sentence says what the numbers say, and no more."""

from pathlib import Path

import numpy as np
import pytest

from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.comparisons import METRICS
from tests.results.results import add_run, add_seeds, make_status, text_of
from tests.results.test_comparisons import add_pair

Verdict = dict[str, object]


def add_differences(results: Path, differences: dict[str, list[float]]) -> None:
    """One self-supervised row whose pairs differ from reconstruction by these, by metric."""
    seeds = max(map(len, differences.values()))
    for seed in range(seeds):
        base = dict.fromkeys(differences, 0.5 + 0.01 * seed)
        add_run(results, base, seed=seed)
        ours = {
            metric: base[metric] + values[seed]
            for metric, values in differences.items()
            if seed < len(values)
        }
        add_run(results, ours, seed=seed, objective="simclr", alignment="pool")


def test_better_and_worse_are_said_with_their_evidence(tmp_path: Path) -> None:
    up = [0.10 + 0.01 * (seed % 3) for seed in range(9)]
    add_differences(tmp_path, {METRICS[0]: [-value for value in up], METRICS[3]: up})
    board = leaderboard(tmp_path)
    found = board.to_json()["verdict"]
    assert found["claim"] == "mixed"
    sentence = found["sentence"]
    assert sentence.startswith("Mean over 1 row on 1 dataset (9 pairs of one seed)")
    # Nine pairs of one side: 2 / 2^9, twice after Holm.
    assert f"is worse than reconstruction on {METRICS[0]} (-0.11 [-0.12, -0.10]" in sentence
    assert f"is better than reconstruction on {METRICS[3]} (+0.11 [0.10, 0.12]" in sentence
    assert sentence.count("p = 0.008") == 2
    assert sentence.count(". ") == 0
    assert found["seeds_needed"] == {}
    for text in (text_of(board, 400), board.to_markdown()):
        assert sentence in text


def test_what_is_open_says_how_many_seeds_would_settle_it(tmp_path: Path) -> None:
    add_differences(
        tmp_path, {METRICS[0]: [0.1, 0.12, 0.11, 0.13], METRICS[3]: [0.1, -0.1, 0.2, 0]}
    )
    board = leaderboard(tmp_path)
    found = board.to_json()["verdict"]
    assert found["claim"] == "none shown"
    assert f"leans better, not significantly, on {METRICS[0]}" in found["sentence"]
    assert f"shows no difference on {METRICS[3]}" in found["sentence"]
    needs = found["seeds_needed"]
    # Alpha is 0.05 / 2: seven pairs of one side reach it, and four are there.
    assert needs[METRICS[0]]["more"] == 3
    assert needs[METRICS[3]]["more"] > 5
    (note,) = [note for note in found["notes"] if note.startswith("Seeds more")]
    assert f"3 for {METRICS[0]} and {needs[METRICS[3]]['more']} for {METRICS[3]}" in note
    assert "if the difference and spread seen so far are the true ones" in note


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_claimed(tmp_path: Path, seeds: int) -> None:
    add_pair(tmp_path, [0.9] * seeds, [0.1] * 5)
    found = leaderboard(tmp_path).to_json()["verdict"]
    assert found["claim"] == "too few seeds"
    assert f"too few seeds to say ({seeds} of 3)" in found["sentence"]
    assert not any(word in found["sentence"] for word in ("better", "worse", "difference"))
    assert found["seeds_needed"] == {}


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    add_seeds(tmp_path, METRICS[0], [0.1, 0.2, 0.3])
    found = leaderboard(tmp_path).to_json()["verdict"]
    assert found["claim"] == "nothing to compare"
    assert "nothing to compare yet" in found["sentence"]


def test_failed_runs_and_runs_without_a_partner_are_named(tmp_path: Path) -> None:
    add_seeds(tmp_path, METRICS[0], [0.5, 0.6, 0.7, 0.8])
    add_seeds(tmp_path, METRICS[0], [0.4, 0.3, 0.2], objective="simclr")
    for seed in (7, 8):
        add_run(tmp_path, seed=seed, objective="simclr", status=make_status("failed"))
    found = leaderboard(tmp_path).to_json()["verdict"]
    assert "Failed runs, which are in no mean: 2 of self-supervision." in found["notes"]
    assert "Runs without a partner of the same seed, not compared: 1." in found["notes"]


def test_single_rows_are_counted_and_the_best_is_not_picked(tmp_path: Path) -> None:
    theirs = np.linspace(0.4, 0.6, 10)
    add_seeds(tmp_path, METRICS[0], theirs.tolist())
    for objective, shift in (("simclr", 0.2), ("byol", -0.2), ("vicreg", -0.1)):
        values = (theirs + shift + 0.001 * np.arange(10)).tolist()
        add_seeds(tmp_path, METRICS[0], values, objective=objective)
    found = leaderboard(tmp_path).to_json()["verdict"]
    expected = f"Row by row after Holm's correction: 1 better and 2 worse of 3 on {METRICS[0]}."
    assert expected in found["notes"]
    assert "simclr" not in found["sentence"]


def test_the_document_names_effect_and_claim_for_each_comparison(tmp_path: Path) -> None:
    values = [0.1, 0.12, 0.09, 0.11]
    add_differences(tmp_path, {METRICS[0]: values})
    document = leaderboard(tmp_path).to_json()
    expected = np.mean(values) / np.std(values, ddof=1) * (1 - 3 / 11)
    assert document["families"][0]["effect"] == pytest.approx(expected)
    assert document["comparisons"][0]["effect"] == pytest.approx(expected)
