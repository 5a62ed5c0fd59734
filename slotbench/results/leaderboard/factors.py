"""The effect of each axis of a suite: its levels are compared in pairs.

Two levels are compared on runs with the same seed, data and levels of the other axes. A value is
one seed of one dataset, averaged over the levels of the other axes, so each seed counts once. A
stratum is a dataset. Holm's correction covers all comparisons of all axes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from slotbench.progress import counted
from slotbench.results.leaderboard import statistics
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Comparison
from slotbench.results.leaderboard.verdict import plain
from slotbench.results.leaderboard.wording import interval, number, p_value

Levels = Mapping[str, str]


@dataclass(frozen=True)
class Observation:
    """One run of a suite that counts."""

    data: str
    """Identifies the dataset."""
    seed: int
    levels: Levels
    """Axis -> level, for every axis of the run except seed and dataset."""
    values: Mapping[str, float]
    """By metric; higher is better for all of them."""


@dataclass
class Contrast:
    """One level of an axis against another on one metric, the higher mean first."""

    axis: str
    metric: str
    level: str
    other: str
    result: Comparison
    corrected: float | None = None
    """p after Holm's correction."""

    @property
    def verdict(self) -> str:
        """``better``, ``equivalent``, ``undecided``, or that there are too few seeds."""
        return statistics.conclusion(self.result, self.corrected)

    @property
    def words(self) -> str:
        """``pool over shared on segmentation (FG-ARI) (+0.05 [0.03, 0.08], p = 0.012)``."""
        evidence = f"+{number(self.result.difference)} {interval(self.result)}".strip()
        evidence += "" if self.corrected is None else f", {p_value(self.corrected)}"
        return f"{self.level} over {self.other} on {plain(self.metric)} ({evidence})"


def contrasts(observations: Sequence[Observation], metrics: Sequence[str]) -> list[Contrast]:
    """Every pair of levels of every axis on each metric, axes and levels in their first order."""
    found = []
    for axis, levels in _levels(observations).items():
        for metric in metrics:
            blocks = _blocks(observations, axis, metric)
            for one, other in combinations(levels, 2):
                result = statistics.compare(*_strata(blocks, one, other))
                if (result.difference or 0.0) < 0:
                    one, other = other, one
                    result = statistics.compare(*_strata(blocks, one, other))
                found.append(Contrast(axis, metric, one, other, result))
    p_values = [contrast.result.p for contrast in found]
    for contrast, p in zip(found, statistics.holm(p_values), strict=True):
        contrast.corrected = p
    return found


def answer(found: Sequence[Contrast]) -> str:
    """One sentence on all axes; "" if no axis has two levels."""
    by_axis: dict[str, list[Contrast]] = defaultdict(list)
    for contrast in found:
        by_axis[contrast.axis].append(contrast)
    parts = [f"{axis}: {_phrase(each)}" for axis, each in by_axis.items()]
    return f"{'; '.join(parts)}." if parts else ""


def _phrase(found: Sequence[Contrast]) -> str:
    tested = [each for each in found if each.result.n >= LEAST_FOR_A_CLAIM]
    if not tested:
        most = max(each.result.n for each in found)
        return f"too few seeds to say ({most} of {LEAST_FOR_A_CLAIM})"
    clear = [each for each in tested if each.verdict == "better"]
    total = counted(len(tested), "comparison")
    if all(each.verdict == "equivalent" for each in tested):
        return f"equivalent in {total}"
    said = f"it matters, clear in {len(clear)} of {total}" if clear else f"undecided in {total}"
    largest = max(clear or tested, key=lambda each: each.result.difference or 0.0)
    return f"{said}, the largest difference being {largest.words}"


def _levels(observations: Sequence[Observation]) -> dict[str, list[str]]:
    """The axes with two levels or more."""
    seen: dict[str, dict[str, None]] = defaultdict(dict)
    for each in observations:
        for axis, level in each.levels.items():
            seen[axis][level] = None
    return {axis: list(levels) for axis, levels in seen.items() if len(levels) > 1}


Blocks = dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, dict[int, float]]]


def _blocks(observations: Sequence[Observation], axis: str, metric: str) -> Blocks:
    """(Dataset, levels of the other axes) -> level -> seed -> value."""
    found: Blocks = defaultdict(lambda: defaultdict(dict))
    for each in observations:
        if axis in each.levels and metric in each.values:
            others = tuple(sorted(item for item in each.levels.items() if item[0] != axis))
            found[each.data, others][each.levels[axis]][each.seed] = each.values[metric]
    return found


def _strata(blocks: Blocks, one: str, other: str) -> tuple[list[list[float]], list[list[float]]]:
    """The values of both levels on each dataset, for the seeds that all its blocks share."""
    groups: dict[str, list[tuple[dict[int, float], dict[int, float]]]] = defaultdict(list)
    for (data, _), levels in blocks.items():
        ours, theirs = levels.get(one, {}), levels.get(other, {})
        if ours.keys() & theirs.keys():
            groups[data].append((ours, theirs))
    both: tuple[list[list[float]], list[list[float]]] = ([], [])
    for members in groups.values():
        shared = [ours.keys() & theirs.keys() for ours, theirs in members]
        # A block with too few seeds would take the seeds of all others away.
        enough = [len(seeds) >= LEAST_FOR_A_CLAIM for seeds in shared]
        kept = [k for k, fits in enumerate(enough) if fits or not any(enough)]
        seeds = sorted(set.intersection(*(set(shared[k]) for k in kept)))
        for side in (0, 1):
            means = [sum(members[k][side][seed] for k in kept) / len(kept) for seed in seeds]
            both[side].extend([means] if means else [])
    return both
