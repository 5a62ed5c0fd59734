"""The effect of each axis of a suite: pairs, strata and corrections by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from slotbench.results.leaderboard.factors import Observation, answer, contrasts

METRIC = "fg_ari/attention"
WIDTHS, ENCODERS, DATA = ("16", "48"), ("small", "large"), ("one", "two")


def observed(seeds=6, effect=0.1, noise=0.02):
    """Two axes on two datasets; width has an effect, the encoder none."""
    draws, found = np.random.default_rng(seeds), []
    for data, width, encoder, seed in itertools.product(DATA, WIDTHS, ENCODERS, range(seeds)):
        value = 0.5 + effect * (width == "48") + 0.2 * (data == "two") + draws.normal(0, noise)
        levels = {"core.width": width, "encoder": encoder}
        found.append(Observation(data, seed, levels, {METRIC: float(value)}))
    return found


def by_hand(observations, axis, one, other):
    """The differences of each dataset: a mean over the other axes for each seed."""
    rows = [
        {"data": each.data, "seed": each.seed, "value": each.values[METRIC], **each.levels}
        for each in observations
    ]
    index = ["data", "seed"]
    means = pd.DataFrame(rows).pivot_table(index=index, columns=axis, values="value")
    return [pairs.to_numpy() for _, pairs in (means[one] - means[other]).groupby("data")]


def test_levels_are_paired_by_seed_data_and_all_else():
    observations = observed()
    found = {each.axis: each for each in contrasts(observations, [METRIC])}
    assert set(found) == {"core.width", "encoder"}
    p = {}
    for axis, each in found.items():
        strata = by_hand(observations, axis, each.level, each.other)
        assert each.result.n == 12  # a seed of a dataset once, however many encoders
        assert each.result.difference == pytest.approx(np.mean([s.mean() for s in strata]))
        assert each.result.difference >= 0
        p[axis] = each.result.p or 0.0
    assert p["core.width"] < 0.001 < p["encoder"]
    assert (found["core.width"].level, found["core.width"].other) == ("48", "16")
    assert found["core.width"].corrected == pytest.approx(2 * p["core.width"])
    assert found["encoder"].corrected == pytest.approx(p["encoder"])


def test_the_sentence_says_no_more_than_the_verdicts():
    found = contrasts(observed(), [METRIC])
    text = answer(found)
    assert text.startswith("core.width: it matters, clear in 1 of 1 comparison, ")
    assert "48 over 16 on segmentation (FG-ARI) (+0.1" in text
    assert "; encoder: equivalent in 1 comparison." in text or "; encoder: undecided in 1" in text
    assert text.count(". ") == 0
    few = answer(contrasts(observed(seeds=2), [METRIC]))
    # Two seeds on each of two datasets are four pairs; on one, two are too few.
    one = [each for each in observed(seeds=2) if each.data == "one"]
    assert "too few" not in few
    assert answer(contrasts(one, [METRIC])).count("too few seeds to say (2 of 3)") == 2


def test_a_gap_is_left_out_with_its_partner_and_never_averaged_over():
    observations = observed()
    gap = ("two", "48", "small", 3)
    holed = [
        each
        for each in observations
        if (each.data, each.levels["core.width"], each.levels["encoder"], each.seed) != gap
    ]
    (width,) = [each for each in contrasts(holed, [METRIC]) if each.axis == "core.width"]
    # The seed goes as a whole: with one encoder left its mean would be of something else.
    assert width.result.n == 11
    without = [each for each in observations if not (each.data == "two" and each.seed == 3)]
    strata = by_hand(without, "core.width", "48", "16")
    assert width.result.difference == pytest.approx(np.mean([s.mean() for s in strata]))


def test_an_axis_that_only_some_runs_have_is_compared_among_those():
    found = []
    for seed, level in itertools.product(range(5), ("pool", "mask", None)):
        levels = {"objective": "simclr" if level else "random"}
        levels |= {"alignment": level} if level else {}
        value = {"pool": 0.5, "mask": 0.6, None: 0.1}[level] + 0.001 * seed * (level == "mask")
        found.append(Observation("one", seed, levels, {METRIC: value}))
    axes = [
        (each.axis, each.level, each.other, each.result.n) for each in contrasts(found, [METRIC])
    ]
    # No random run shares its alignment with a simclr run: nothing else equal, nothing compared.
    assert ("alignment", "mask", "pool", 5) in axes
    assert [axis for axis in axes if axis[0] == "objective"] == [
        ("objective", "simclr", "random", 0)
    ]


def test_chance_is_called_a_finding_in_five_per_cent_of_suites_at_most():
    draws, claims, trials = np.random.default_rng(2), 0, 150
    for _ in range(trials):
        made = [
            Observation("one", seed, {"alignment": level}, {METRIC: float(draws.normal())})
            for seed, level in itertools.product(range(8), "abcd")
        ]
        found = contrasts(made, [METRIC])
        claims += any(each.verdict in ("better", "worse") for each in found)
    assert stats.binomtest(claims, trials, 0.05, "greater").pvalue > 0.001
