"""The verdict on the families against an independent computation: pandas and SciPy, no slotbench.

Two datasets, three self-supervised objectives, seeds that differ from row to row, one run that
failed and one metric that is missing for one run.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.comparisons import METRICS
from tests.results.results import add_run, make_status

SHIFTS = dict(zip(METRICS, (-0.20, -0.03, 0.04, 0.005), strict=True))
OURS = ("simclr", "byol", "vicreg")


def fill(results: Path) -> pd.DataFrame:
    """Writes runs; returns what was written: a line a run and metric."""
    draws, lines = np.random.default_rng(3), []
    for variant in ("clevr6", "clevr10"):
        base = draws.normal(0.6, 0.03, size=(8, len(METRICS)))
        for objective in ("reconstruction", *OURS):
            for seed in range(8 if variant == "clevr6" else 7):
                ours = objective != "reconstruction"
                values = {
                    metric: float(base[seed, k] + ours * (shift + draws.normal(0, 0.03)))
                    for k, (metric, shift) in enumerate(SHIFTS.items())
                }
                if (variant, objective, seed) == ("clevr6", "byol", 3):
                    failed = make_status("failed", reason="x")
                    add_run(results, status=failed, objective=objective, seed=seed, variant=variant)
                    continue
                if (variant, objective, seed) == ("clevr10", "vicreg", 0):
                    del values[METRICS[1]]
                add_run(results, values, objective=objective, seed=seed, variant=variant)
                lines += [
                    {
                        "data": variant,
                        "objective": objective,
                        "seed": seed,
                        "metric": metric,
                        "value": value,
                    }
                    for metric, value in values.items()
                ]
    return pd.DataFrame(lines)


def pairs(frame: pd.DataFrame, metric: str) -> list[np.ndarray]:
    """Per dataset: over the seeds that all rows have, mean over rows minus reconstruction."""
    found = []
    for _, data in frame[frame.metric == metric].groupby("data"):
        table = data.pivot(index="seed", columns="objective", values="value").dropna()
        found.append((table[list(OURS)].mean(axis=1) - table["reconstruction"]).to_numpy())
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Any]]:
    results = tmp_path_factory.mktemp("families")
    return fill(results), leaderboard(results).to_json()


def test_effect_interval_and_p_are_scipys(made: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    frame, document = made
    found = {family["metric"]: family for family in document["families"]}
    tests = {
        metric: stats.wilcoxon(np.concatenate(pairs(frame, metric)), method="exact").pvalue
        for metric in METRICS
    }
    # Holm by its definition: reject while p_(k) <= alpha / (m - k + 1).
    least = sorted(METRICS, key=lambda metric: tests[metric])
    corrected, upto = {}, 0.0
    for rank, metric in enumerate(least):
        upto = max(upto, min(1.0, tests[metric] * (len(METRICS) - rank)))
        corrected[metric] = upto
    for metric in METRICS:
        groups, ours = pairs(frame, metric), found[metric]
        assert ours["n"] == sum(map(len, groups))
        assert (ours["rows"], ours["datasets"]) == (6, 2)
        difference = np.mean([group.mean() for group in groups])
        assert ours["difference"] == pytest.approx(difference)
        assert ours["p"] == pytest.approx(tests[metric])
        assert ours["p_holm"] == pytest.approx(corrected[metric])
        freedom = sum(map(len, groups)) - len(groups)
        spread = np.sqrt(sum(group.var(ddof=1) * (len(group) - 1) for group in groups) / freedom)
        assert ours["effect"] == pytest.approx(difference / spread * (1 - 3 / (4 * freedom - 1)))
        share = np.mean([(group > 0).mean() for group in groups])
        assert ours["probability_of_improvement"] == pytest.approx(share)
        interval = stats.bootstrap(
            groups,
            lambda *parts, axis=-1: np.mean([p.mean(axis=axis) for p in parts], axis=0),
            n_resamples=20_000,
            method="percentile",
            rng=np.random.default_rng(0),
            vectorized=True,
        ).confidence_interval
        width = interval.high - interval.low
        # Two bootstraps of 10,000 and 20,000 draws: their ends differ by some per cent of a width.
        assert ours["low"] == pytest.approx(interval.low, abs=0.05 * width)
        assert ours["high"] == pytest.approx(interval.high, abs=0.05 * width)


def test_the_claim_follows_from_them(made: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    _, document = made
    verdict = document["verdict"]
    assert verdict["claim"] == "mixed"
    for family in document["families"]:
        clear = family["p_holm"] < 0.05
        word = "better" if family["difference"] > 0 else "worse"
        assert (family["verdict"] == word) == clear
        assert (family["metric"] in verdict["seeds_needed"]) == (not clear)
    assert [metric for metric in METRICS if metric in verdict["seeds_needed"]] == [METRICS[3]]
    assert "Failed runs, which are in no mean: 1 of self-supervision." in verdict["notes"]


def test_the_seeds_named_reach_the_power_in_a_simulation_with_scipy(
    made: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    frame, document = made
    need = document["verdict"]["seeds_needed"][METRICS[3]]
    groups = pairs(frame, METRICS[3])
    mean = float(np.mean([group.mean() for group in groups]))
    freedom = sum(map(len, groups)) - len(groups)
    spread = np.sqrt(sum(group.var(ddof=1) * (len(group) - 1) for group in groups) / freedom)
    side, draws = "greater" if mean > 0 else "less", np.random.default_rng(1)

    def power(more: int, trials: int = 1500) -> float:
        old = np.broadcast_to(np.concatenate(groups), (trials, sum(map(len, groups))))
        new = draws.normal(mean, spread, size=(trials, 2 * more))
        together = np.concatenate([old, new], axis=1)
        # Above 50 pairs SciPy's default is the normal approximation, as good as exact there.
        found = stats.wilcoxon(together, axis=1, alternative=side)
        return float((found.pvalue < 0.05 / 4 / 2).mean())

    assert need["more"] is not None
    # Four standard errors of 1,000 and 1,500 simulations.
    assert power(need["more"]) > 0.8 - 0.06
    assert power(max(0, int(0.7 * need["more"]))) < 0.8
