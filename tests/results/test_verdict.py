"""The sentence says what the numbers say, and no more."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.comparisons import METRICS, PRIMARY, SECONDARY, families
from slotbench.results.leaderboard.grouping import Cost, Group, Row, Summaries
from slotbench.results.leaderboard.verdict import PLAIN, verdict
from tests.results.results import add_run, add_seeds, make_status, text_of

LOW, HIGH = [0.40, 0.42, 0.38, 0.41, 0.45], [0.80, 0.84, 0.79, 0.82, 0.90]


def contest(results, ours, theirs, **fields):
    add_seeds(results, PRIMARY, theirs, **fields)
    add_seeds(results, PRIMARY, ours, objective="simclr", alignment="pool", **fields)


def found(results):
    document = leaderboard(results).to_json()
    assert "lean" not in str(document)
    return dict(document["verdict"])


def test_five_seeds_that_separate_completely_are_said_with_their_evidence(tmp_path):
    contest(tmp_path, HIGH, LOW)
    board = leaderboard(tmp_path)
    said = board.to_json()["verdict"]
    assert said["claim"] == "better"
    assert said["sentence"] == (
        "By fg_ari/attention, the measure fixed beforehand, the best self-supervised contestant is "
        "better than the best of reconstruction on clevr:clevr6 (rendered, 64 px, 96,000 images: "
        "simclr · pool against reconstruction +0.42 [0.39, 0.44], 5 seeds, p = 0.008)."
    )
    assert said["notes"] == []
    assert said["headline"] == (
        "On clevr:clevr6, simclr · pool (self-supervised, FG-ARI 0.83) finds objects better than "
        "reconstruction (0.41)."
    )
    assert said["sentence"] in text_of(board, 400)


def test_datasets_are_judged_one_by_one_and_corrected_together(tmp_path):
    contest(tmp_path, HIGH, LOW)
    contest(tmp_path, LOW, HIGH, variant="clevr10")
    same = [0.5, 0.51, 0.5, 0.49, 0.5]
    contest(tmp_path, same, same, variant="other")
    document = leaderboard(tmp_path).to_json()
    verdicts = {each["dataset"]: each["verdict"] for each in document["families"]}
    assert verdicts == {
        "clevr:clevr6": "better",
        "clevr:clevr10": "worse",
        "clevr:other": "equivalent",
    }
    assert document["verdict"]["claim"] == "mixed"
    assert document["verdict"]["sentence"].count("; it ") == 2

    corrected = sorted(each["p_corrected"] for each in document["families"])
    assert corrected == pytest.approx([3 * 2 / 252, 3 * 2 / 252, 1.0])


def test_data_of_one_name_are_told_apart_by_their_content(tmp_path):
    contest(tmp_path, HIGH, LOW)
    contest(tmp_path, LOW, HIGH, content="f-other-1")
    said = leaderboard(tmp_path).verdict.sentence
    for content in ("f-clevr-", "f-other-"):
        assert f"clevr:clevr6 (rendered, 64 px, content {content}, 96,000 images" in said


def test_what_is_open_says_how_many_seeds_would_settle_it(tmp_path):
    contest(tmp_path, [0.5, 0.7, 0.6, 0.8], [0.45, 0.6, 0.55, 0.7])
    said = found(tmp_path)
    assert said["claim"] == "undecided"
    assert said["headline"].startswith("Not settled: ")
    (note,) = said["notes"]
    (family,) = leaderboard(tmp_path).to_json()["families"]
    assert f"{family['seeds_needed']['more']} on clevr:clevr6" in note
    assert "while seeds are added needs a corrected level" in note


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_claimed(tmp_path, seeds):
    add_seeds(tmp_path, PRIMARY, LOW)
    add_seeds(tmp_path, PRIMARY, HIGH, objective="random")
    said = found(tmp_path)
    assert said["claim"] == "nothing to compare"
    assert "nothing to compare yet" in said["sentence"]
    add_seeds(tmp_path, PRIMARY, [0.9] * seeds, objective="simclr")
    said = found(tmp_path)
    assert said["claim"] == "too few seeds"
    assert f"too few seeds to say ({seeds} of 3)" in said["sentence"]


def test_without_tuning_seeds_the_best_is_chosen_on_the_same_ones_and_pays(tmp_path):
    contest(tmp_path, HIGH, LOW)
    for objective in ("byol", "vicreg", "moco"):
        add_seeds(tmp_path, PRIMARY, [0.1, 0.2, 0.15, 0.12, 0.3], objective=objective)
    add_seeds(tmp_path, PRIMARY, [0.99], objective="dino")  # one seed: no candidate
    (family,) = leaderboard(tmp_path).to_json()["families"]
    assert (family["objective"], family["candidates"]) == ("simclr", [4, 1])
    assert family["chosen_on"] == "the same seeds"
    assert family["p_corrected"] == pytest.approx(4 * 2 / 252)
    assert any("chosen on the seeds that are compared" in note for note in found(tmp_path)["notes"])


def test_with_tuning_seeds_the_best_is_chosen_on_those_and_they_are_not_compared(tmp_path):
    contest(tmp_path, LOW, [0.39, 0.41, 0.40, 0.42, 0.43])
    add_seeds(tmp_path, PRIMARY, HIGH, objective="byol")
    for objective, value in (("simclr", 0.7), ("byol", 0.6), ("reconstruction", 0.1)):
        alignment = "pool" if objective == "simclr" else None
        add_run(tmp_path, {PRIMARY: value}, seed=1000, objective=objective, alignment=alignment)
    document = leaderboard(tmp_path).to_json()
    (family,) = document["families"]
    assert {tuple(row["seed_list"]) for row in document["rows"]} == {(0, 1, 2, 3, 4)}
    (row,) = (each for each in document["rows"] if each["objective"] == "simclr")
    assert row["metrics"][PRIMARY]["mean"] == pytest.approx(np.mean(LOW))
    assert (family["objective"], family["chosen_on"]) == ("simclr", "tuning seeds")
    assert family["seeds"] == [0, 1, 2, 3, 4]
    assert family["p"] == family["p_corrected"]
    assert any("chosen on tuning seeds" in note for note in found(tmp_path)["notes"])


def test_seeds_of_tuning_alone_compare_nothing(tmp_path):
    for seed in (1000, 1001, 1002):
        for objective in ("simclr", "reconstruction"):
            add_run(tmp_path, {PRIMARY: 0.5}, seed=seed, objective=objective)
    assert found(tmp_path)["claim"] == "too few seeds"


def test_secondary_measures_are_those_of_the_same_contestants_with_holm_of_their_own(tmp_path):
    draws = np.random.default_rng(3)
    values = {}
    for objective, shift in (("reconstruction", 0.0), ("simclr", 0.1)):
        values[objective] = {
            key: draws.normal(0.5 + k * shift, 0.05, 6).tolist() for k, key in enumerate(SECONDARY)
        }
        for seed in range(6):
            numbers = {key: each[seed] for key, each in values[objective].items()}
            add_run(tmp_path, {**numbers, PRIMARY: LOW[0] + seed}, seed=seed, objective=objective)
    document = leaderboard(tmp_path).to_json()
    ours = {each["metric"]: each for each in document["families"]}
    p = {}
    for key in SECONDARY:
        one, other = values["simclr"][key], values["reconstruction"][key]
        p[key] = stats.permutation_test(
            (one, other), lambda a, b, axis=-1: np.mean(a, axis) - np.mean(b, axis), n_resamples=1e4
        ).pvalue
        assert ours[key]["p"] == pytest.approx(p[key])
        apart = np.subtract(one, other)
        ends = stats.t.interval(0.95, 5, apart.mean(), stats.sem(apart))
        assert (ours[key]["low"], ours[key]["high"]) == pytest.approx(ends)
    # Holm by its definition: reject while p_(k) <= alpha / (m - k + 1).
    upto = 0.0
    for rank, key in enumerate(sorted(SECONDARY, key=lambda key: p[key])):
        upto = max(upto, min(1.0, p[key] * (len(SECONDARY) - rank)))
        assert ours[key]["p_corrected"] == pytest.approx(upto)
        assert (ours[key]["verdict"] == "better") == (upto < 0.05)
    (note,) = [note for note in document["verdict"]["notes"] if note.startswith("Secondary")]
    assert "better in" in note
    assert all(PLAIN[key] in note and key not in note for key in SECONDARY)


def test_the_docs_name_every_compared_measure_and_each_has_a_plain_name():
    text = (Path(__file__).parents[2] / "docs/leaderboard.md").read_text()
    (listed,) = re.findall(r"The primary measure, fixed beforehand,.*?\)\.", text, re.DOTALL)
    assert set(re.findall(r"`([^` ]+/[^` ]+)`", listed)) == set(METRICS) == PLAIN.keys()


def test_failed_runs_runs_without_a_partner_and_single_rows_are_named(tmp_path):
    contest(tmp_path, [*HIGH, 0.8], [*LOW, 0.4, 0.4])
    add_seeds(tmp_path, PRIMARY, [0.1, 0.11, 0.12, 0.1, 0.2, 0.1], objective="byol")
    for seed in (7, 8):
        failed = make_status("failed")
        add_run(tmp_path, seed=seed, objective="simclr", alignment="pool", status=failed)
    notes = found(tmp_path)["notes"]
    assert "Failed runs, which are in no mean: 2 of self-supervised." in notes
    assert "Not compared, because the other side lacks the seed: 1 run." in notes
    counted = "Row by row on fg_ari/attention, after Holm's correction: 1 better and 1 worse of 2."
    assert counted in notes


def simulated(draws):
    """A board without any difference: datasets, contestants, seeds and their spread vary."""
    rows, cost = [], Cost(None, None, None, None, "")
    seeds, common = int(draws.integers(3, 9)), draws.choice([0.0, 0.03])
    tuning = [1000, 1001][: int(draws.integers(0, 3))]
    for data in range(int(draws.integers(1, 4))):
        group = Group(f"d{data}", "rendered", 64, "f")
        noise = dict(enumerate(draws.normal(0, common, 8)))
        for family, most in (("self-supervised", 6), ("reconstruction", 3)):
            for name in range(int(draws.integers(1, most + 1))):
                values, chosen = (
                    {PRIMARY: {s: 0.5 + noise.get(s, 0) + draws.normal(0, 0.05) for s in drawn}}
                    for drawn in (range(seeds), tuning)
                )
                names = ("core", f"{family}-{name}", None, "quick", "", family)
                seen = tuple(range(seeds))
                rest = (seen, 0, 0, values, chosen, Summaries(values), cost, (), {})
                rows.append(Row(group, *names, *rest, budget="96,000 images"))
    return rows


@pytest.mark.parametrize("boards", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_without_any_difference_one_is_claimed_on_five_per_cent_of_boards_at_most(boards):
    draws, claims = np.random.default_rng(2), 0
    for _ in range(boards):
        said = verdict(families(simulated(draws)))
        claims += said.claim in ("better", "worse", "mixed")
        assert bool(re.search("is (better|worse) than", said.sentence)) == (
            said.claim in ("better", "worse", "mixed")
        )
    assert stats.binomtest(claims, boards, 0.05, "greater").pvalue > 0.01
