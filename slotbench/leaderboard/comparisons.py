"""Self-supervision against reconstruction: the comparison that the project is for.

A self-supervised row is compared with the reconstruction row of the same data, core, preset,
settings and budget, on the seeds that both have. Only metrics that both families have by the
same means are compared: attention masks with attention masks, never with a decoder's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slotbench.leaderboard.grouping import Row
from slotbench.rng import numpy_generator
from slotbench.statistics import LEAST_FOR_A_CLAIM, Comparison, compare, holm, verdict

METRICS = (
    "fg_ari/attention",
    "properties/linear/loss/mean",
    "properties/linear/mask/mean",
    "linear_probe/slots/map",
)
_OWN_SECTIONS = ("objective", "decoder", "views")


@dataclass(frozen=True)
class Paired:
    """One self-supervised row beside its reconstruction row, on one metric."""

    metric: str
    row: Row
    baseline: Row
    seeds: tuple[int, ...]
    """The seeds that both have."""
    result: Comparison
    corrected: float | None
    """p after Holm's correction over all comparisons of the leaderboard."""

    @property
    def verdict(self) -> str:
        return verdict(self.result, self.corrected)


@dataclass(frozen=True)
class Family:
    """All self-supervised rows that have seeds enough, beside reconstruction, on one metric."""

    metric: str
    rows: int
    datasets: int
    result: Comparison
    corrected: float | None
    """p after Holm's correction over the metrics."""

    @property
    def verdict(self) -> str:
        return verdict(self.result, self.corrected)


def comparisons(rows: Sequence[Row]) -> list[Paired]:
    """Every self-supervised row against reconstruction, on each of :data:`METRICS`.

    The family of Holm's correction is everything that is returned, so hand in all rows, not
    those that a filter leaves: the choice of what to look at must not change a p-value.
    """
    pairs = [
        (row, baseline, metric)
        for row in rows if row.family == "self-supervised" and row.seeds
        for baseline in _baselines(row, rows)
        for metric in METRICS if metric in row.metrics or metric in baseline.metrics
    ]  # fmt: skip
    results = [_compare(*pair) for pair in pairs]
    corrected = holm([result.p for result in results])
    return [
        Paired(metric, row, baseline, _shared(row, baseline, metric), result, p)
        for (row, baseline, metric), result, p in zip(pairs, results, corrected, strict=True)
    ]


def families(paired: Sequence[Paired]) -> list[Family]:
    """Self-supervision as a whole against reconstruction, one entry a metric.

    A stratum is a reconstruction row. One pair is one of its seeds: the mean over the
    self-supervised rows of their difference to it, so that a seed of reconstruction counts once
    however many rows are compared with it. Rows below three shared seeds take no part.
    """
    found = [_family(metric, [pair for pair in paired if pair.metric == metric])
             for metric in METRICS]  # fmt: skip
    corrected = holm([result.p for _, _, result in found])
    return [
        Family(metric, rows, datasets, result, p)
        for metric, (rows, datasets, result), p in zip(METRICS, found, corrected, strict=True)
    ]


def _family(metric: str, paired: Sequence[Paired]) -> tuple[int, int, Comparison]:
    usable = [pair for pair in paired if len(pair.seeds) >= LEAST_FOR_A_CLAIM]
    strata, rows, datasets = [], 0, set()
    for baseline in {id(pair.baseline): pair.baseline for pair in usable}.values():
        group = [pair for pair in usable if pair.baseline is baseline]
        seeds = sorted(set.intersection(*(set(pair.seeds) for pair in group)))
        if len(seeds) < LEAST_FOR_A_CLAIM:
            continue
        strata.append([
            sum(_difference(pair.row, baseline, metric, seed) for pair in group) / len(group)
            for seed in seeds
        ])  # fmt: skip
        rows += len(group)
        datasets.add(baseline.group)
    return rows, len(datasets), compare(strata, numpy_generator(0, "families", metric))


def _baselines(row: Row, rows: Sequence[Row]) -> list[Row]:
    """The reconstruction rows to compare with: the one with its own defaults, else all."""
    found = [
        other for other in rows
        if other.family == "reconstruction" and other.pair == row.pair and other.seeds
    ]  # fmt: skip
    plain = [other for other in found if not _own_settings(other)]
    return plain or found


def _own_settings(row: Row) -> bool:
    overrides: Mapping[str, object] = row.config.get("overrides") or {}
    return any(key.split(".")[0] in _OWN_SECTIONS for key in overrides)


def _shared(row: Row, baseline: Row, metric: str) -> tuple[int, ...]:
    ours, theirs = row.values.get(metric, {}), baseline.values.get(metric, {})
    return tuple(sorted(ours.keys() & theirs.keys()))


def _difference(row: Row, baseline: Row, metric: str, seed: int) -> float:
    return row.values[metric][seed] - baseline.values[metric][seed]


def _compare(row: Row, baseline: Row, metric: str) -> Comparison:
    seeds = _shared(row, baseline, metric)
    differences = [_difference(row, baseline, metric, seed) for seed in seeds]
    generator = numpy_generator(0, "comparison", row.label, baseline.label, str(row.group), metric)
    return compare([differences], generator)
