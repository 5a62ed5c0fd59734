"""Self-supervision against reconstruction: the comparison that the project is for.

A self-supervised row is compared with the reconstruction row of the same data, core, preset,
settings and budget, on the seeds that both have. Only metrics that both families have by the
same means are compared: attention masks with attention masks, never with a decoder's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slotbench.results.leaderboard.grouping import Row
from slotbench.results.leaderboard.memo import Memo
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Comparison, holm, verdict

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
    strata: tuple[tuple[float, ...], ...] = ()
    """The paired differences, a tuple for each reconstruction row."""

    @property
    def verdict(self) -> str:
        return verdict(self.result, self.corrected)


def comparisons(rows: Sequence[Row], memo: Memo | None = None) -> list[Paired]:
    """Every self-supervised row against reconstruction, on each of :data:`METRICS`.

    The family of Holm's correction is everything that is returned, so hand in all rows, not
    those that a filter leaves: the choice of what to look at must not change a p-value.
    """
    alike: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.family == "reconstruction" and row.seeds:
            alike[row.pair].append(row)
    pairs = [
        (row, baseline, metric)
        for row in rows
        if row.family == "self-supervised" and row.seeds
        for baseline in _baselines(alike.get(row.pair, []))
        for metric in METRICS
        if metric in row.metrics or metric in baseline.metrics
    ]
    known = memo or Memo()
    results = [_compare(*pair, known) for pair in pairs]
    corrected = holm([result.p for result in results])
    return [
        Paired(metric, row, baseline, _shared(row, baseline, metric), result, p)
        for (row, baseline, metric), result, p in zip(pairs, results, corrected, strict=True)
    ]


def families(paired: Sequence[Paired], memo: Memo | None = None) -> list[Family]:
    """Self-supervision as a whole against reconstruction, one entry a metric.

    A stratum is a reconstruction row. One pair is one of its seeds: the mean over the
    self-supervised rows of their difference to it, so that a seed of reconstruction counts once
    however many rows are compared with it. Rows below three shared seeds take no part.
    """
    known = memo or Memo()
    found = [
        _family(metric, [pair for pair in paired if pair.metric == metric], known)
        for metric in METRICS
    ]
    corrected = holm([family.result.p for family in found])
    return [replace(family, corrected=p) for family, p in zip(found, corrected, strict=True)]


def _family(metric: str, paired: Sequence[Paired], memo: Memo) -> Family:
    groups: dict[int, list[Paired]] = defaultdict(list)
    for pair in paired:
        if len(pair.seeds) >= LEAST_FOR_A_CLAIM:
            groups[id(pair.baseline)].append(pair)
    strata, rows, datasets = [], 0, set()
    for group in groups.values():
        baseline = group[0].baseline
        seeds = sorted(set.intersection(*(set(pair.seeds) for pair in group)))
        if len(seeds) < LEAST_FOR_A_CLAIM:
            continue
        strata.append(
            tuple(
                sum(_difference(pair.row, baseline, metric, seed) for pair in group) / len(group)
                for seed in seeds
            )
        )
        rows += len(group)
        datasets.add(baseline.group)
    result = memo.comparison(strata, "families", metric)
    return Family(metric, rows, len(datasets), result, None, tuple(strata))


def _baselines(alike: Sequence[Row]) -> Sequence[Row]:
    """The reconstruction rows to compare with: the one with its own defaults, else all."""
    return [other for other in alike if not _own_settings(other)] or alike


def _own_settings(row: Row) -> bool:
    overrides: Mapping[str, object] = row.config.get("overrides") or {}
    return any(key.split(".")[0] in _OWN_SECTIONS for key in overrides)


def _shared(row: Row, baseline: Row, metric: str) -> tuple[int, ...]:
    ours, theirs = row.values.get(metric, {}), baseline.values.get(metric, {})
    return tuple(sorted(ours.keys() & theirs.keys()))


def _difference(row: Row, baseline: Row, metric: str, seed: int) -> float:
    return row.values[metric][seed] - baseline.values[metric][seed]


def _compare(row: Row, baseline: Row, metric: str, memo: Memo) -> Comparison:
    seeds = _shared(row, baseline, metric)
    strata = [[_difference(row, baseline, metric, seed) for seed in seeds]] if seeds else []
    keys = ("comparison", row.label, baseline.label, row.group.fingerprint, metric)
    return memo.comparison(strata, *keys)
