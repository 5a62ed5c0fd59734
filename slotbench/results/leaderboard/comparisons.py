"""Compares self-supervision with reconstruction.

A contestant is a row: a core, an objective and its settings, all of which may differ. Data, image
size, budget and seeds are equal. Metrics must have the same source on both sides: attention masks
are compared with attention masks, never with a decoder's.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from slotbench.evaluation.groups import compared_keys
from slotbench.results.leaderboard import statistics
from slotbench.results.leaderboard.grouping import TUNING_SEED, Row
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Comparison, Need

PRIMARY = "fg_ari/attention"
"""The measure of the verdict, fixed beforehand."""
SECONDARY = tuple(key for key in compared_keys() if key != PRIMARY)
METRICS = (PRIMARY, *SECONDARY)
OURS, THEIRS = "self-supervised", "reconstruction"
Pair = TypeVar("Pair", bound="Paired")


@dataclass(eq=False)
class Paired:
    """A self-supervised row against a reconstruction row, on one metric."""

    metric: str
    row: Row
    baseline: Row
    seeds: tuple[int, ...]
    """The seeds that both have."""
    corrected: float | None = None
    """p after Holm's correction over all rows: over the primary measure, or over the others."""

    @property
    def factor(self) -> int:
        """The factor by which p is multiplied before the correction."""
        return 1

    @cached_property
    def result(self) -> Comparison:
        """The comparison over the seeds, computed on first use."""
        both = (self.row.values, self.baseline.values)
        ours, theirs = ([values[self.metric][seed] for seed in self.seeds] for values in both)
        return statistics.compare([ours], [theirs])

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``equivalent``, ``undecided``, or that there are too few seeds."""
        return statistics.conclusion(self.result, self.corrected)


@dataclass(eq=False)
class Family(Paired):
    """The best contestants of both families on one dataset, budget and metric.

    For the primary measure, Holm's correction covers the datasets; for the other measures, it
    covers datasets and measures.
    """

    candidates: tuple[int, int] = (1, 1)
    """The numbers of self-supervised and of reconstruction rows that they were chosen from."""
    tuned: bool = False
    """Whether they were chosen on tuning seeds, not on the compared seeds."""
    tests: int = 1
    """The number of tests that p is corrected for."""
    content: str = ""
    """The first digits of the data's hash, if other data have the same name; else ""."""

    @property
    def factor(self) -> int:
        """The candidates of the side that is ahead, if they were chosen on the compared seeds."""
        return 1 if self.tuned else self.candidates[(self.result.difference or 0.0) < 0]

    @property
    def need(self) -> Need | None:
        """The number of further seeds that would settle it, if it is undecided."""
        undecided = self.verdict == "undecided"
        return statistics.seeds_needed(self.result, self.tests * self.factor) if undecided else None

    @property
    def title(self) -> str:
        """``clevr:clevr6 (rendered, 64 px, 96,000 images)``."""
        group, content = self.row.group, f"content {self.content}" if self.content else ""
        facts = (group.origin, f"{group.image_size} px", content, self.row.budget)
        return f"{group.dataset} ({', '.join(filter(None, facts))})"


def matches(rows: Sequence[Row]) -> list[Paired]:
    """Every self-supervised row against a reconstruction row, on :data:`METRICS`; uncorrected.

    The baseline is a reconstruction row of the same core and preset; else of the same core; else
    of the same data and budget. Of several, it is the best one on the primary measure.
    """
    found = []
    for ours, theirs in _contests(rows):
        for row in ours:
            alike = [other for other in theirs if other.core == row.core]
            same = [other for other in alike if other.preset == row.preset]
            baseline = max(
                same or alike or theirs, key=lambda each: (_enough(each), _reported(each))
            )
            found += _matched(Paired, row, baseline)
    return found


def comparisons(rows: Sequence[Row]) -> list[Paired]:
    """:func:`matches` with Holm's correction over all of them.

    Pass all rows, because a filter must not change a p-value.
    """
    return _corrected(matches(rows))


def families(rows: Sequence[Row]) -> list[Family]:
    """The best contestants of both families against each other, for every dataset and budget.

    They are the best on the primary measure: on the tuning seeds that all contestants of both
    families share, or, if there are none, on the compared seeds.
    """
    found = []
    titles = Counter(group.title for group in {row.group for row in rows})
    for sides in _contests(rows):
        # Rows with too few seeds are no candidates where others have enough.
        ours, theirs = (list(filter(_enough, side)) or side for side in sides)
        known = [row.tuning.get(PRIMARY, {}) for row in (*ours, *theirs)]
        tuning = set.intersection(*map(set, known))

        def tuned(row: Row, seeds: set[int] = tuning) -> float:
            return sum(row.tuning[PRIMARY][seed] for seed in seeds) / len(seeds)

        judge = tuned if tuning else _reported
        row, baseline = max(ours, key=judge), max(theirs, key=judge)
        facts = {"candidates": (len(ours), len(theirs)), "tuned": bool(tuning)}
        facts["content"] = row.group.fingerprint[:8] if titles[row.group.title] > 1 else ""
        found += _matched(Family, row, baseline, **facts)
    tests = Counter(each.metric == PRIMARY for each in found if each.result.p is not None)
    for each in found:
        each.tests = tests[each.metric == PRIMARY]
    return _corrected(found)


def _contests(rows: Sequence[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Rows of both families that may be compared, for every dataset and budget."""
    alike: dict[object, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for row in rows:
        if row.family in (OURS, THEIRS) and row.seeds:
            alike[row.group, row.budget][row.family == THEIRS].append(row)
    return [both for both in alike.values() if all(both)]


def _enough(row: Row) -> bool:
    return len(_seeds_of(row)) >= LEAST_FOR_A_CLAIM


def _reported(row: Row) -> float:
    values = [row.values[PRIMARY][seed] for seed in _seeds_of(row)]
    return sum(values) / len(values) if values else float("-inf")


def _seeds_of(row: Row, metric: str = PRIMARY) -> set[int]:
    return {seed for seed in row.values.get(metric, {}) if seed < TUNING_SEED}


def _matched(kind: type[Pair], row: Row, baseline: Row, **facts: Any) -> list[Pair]:
    present = [key for key in METRICS if key in row.values or key in baseline.values]
    shared = {key: _seeds_of(row, key) & _seeds_of(baseline, key) for key in present}
    return [kind(key, row, baseline, tuple(sorted(shared[key])), **facts) for key in present]


def _corrected(found: list[Pair]) -> list[Pair]:
    """With Holm's correction over the primary measure, and one over the secondary measures."""
    for primary in (True, False):
        pairs = [pair for pair in found if (pair.metric == PRIMARY) == primary]
        p_values = [(p := pair.result.p) and min(1.0, p * pair.factor) for pair in pairs]
        for pair, corrected in zip(pairs, statistics.holm(p_values), strict=True):
            pair.corrected = corrected
    return found
