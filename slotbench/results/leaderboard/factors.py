"""What an axis of a suite does: its levels compared in pairs, all else being equal.

Two levels are compared on the runs that differ in nothing else: the same seed, data and levels of
the other axes. One pair is one seed of one dataset: the mean of the differences over the other
axes, so that a seed counts once however many axes a suite has. A stratum is a dataset. Holm's
correction is over every comparison of every axis.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from slotbench.results.leaderboard.memo import Memo
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Comparison, holm, verdict
from slotbench.results.leaderboard.verdict import plain
from slotbench.results.leaderboard.wording import interval, number, p_value

Levels = Mapping[str, str]


@dataclass(frozen=True)
class Observation:
    """One run of a suite that counts."""

    data: str
    """What tells datasets apart."""
    seed: int
    levels: Levels
    """Axis -> level, of every axis that the run has, seed and dataset aside."""
    values: Mapping[str, float]
    """By metric; all of them better the higher they are."""


@dataclass(frozen=True)
class Contrast:
    """One level of an axis against another on one metric, the higher mean first."""

    axis: str
    metric: str
    level: str
    other: str
    result: Comparison
    corrected: float | None

    @property
    def verdict(self) -> str:
        return verdict(self.result, self.corrected)

    @property
    def words(self) -> str:
        """``pool over shared on segmentation (FG-ARI) (+0.05 [0.03, 0.08], p = 0.012)``."""
        evidence = ", ".join(
            filter(
                None,
                (
                    f"+{number(self.result.difference)} {interval(self.result)}".strip(),
                    p_value(self.corrected) if self.corrected is not None else "",
                ),
            )
        )
        return f"{self.level} over {self.other} on {plain(self.metric)} ({evidence})"


def contrasts(
    observations: Sequence[Observation], metrics: Sequence[str], memo: Memo | None = None
) -> list[Contrast]:
    """Every pair of levels of every axis on each metric, axes and levels in the order met."""
    known, found = memo or Memo(), []
    for axis, levels in _levels(observations).items():
        for metric in metrics:
            blocks = _blocks(observations, axis, metric)
            for one, other in combinations(levels, 2):
                strata = _strata(blocks, one, other)
                result = known.comparison(strata, "contrast", axis, metric, one, other)
                if result.difference is not None and result.difference < 0:
                    one, other = other, one
                    turned = [[-value for value in stratum] for stratum in strata]
                    result = known.comparison(turned, "contrast", axis, metric, one, other)
                found.append(Contrast(axis, metric, one, other, result, None))
    corrected = holm([contrast.result.p for contrast in found])
    return [replace(contrast, corrected=p) for contrast, p in zip(found, corrected, strict=True)]


def answer(found: Sequence[Contrast]) -> str:
    """One sentence on all axes; "" where no axis has two levels."""
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
    leaning = [each for each in tested if each.verdict.startswith("leans")]
    if clear:
        return (
            f"it matters, clear in {len(clear)} of {_counted(tested)}, the largest difference "
            f"being {_largest(clear).words}"
        )
    if leaning:
        return (
            f"not settled, leaning in {len(leaning)} of {_counted(tested)} and significant in "
            f"none, the largest difference being {_largest(leaning).words}"
        )
    return f"no difference shown in {_counted(tested)}"


def _counted(tested: Sequence[Contrast]) -> str:
    return f"{len(tested)} comparison{'s' if len(tested) > 1 else ''}"


def _largest(found: Iterable[Contrast]) -> Contrast:
    return max(found, key=lambda each: each.result.difference or 0.0)


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


def _strata(blocks: Blocks, one: str, other: str) -> list[list[float]]:
    """The paired differences of each dataset, over the seeds that all its blocks share."""
    groups: dict[str, list[dict[int, float]]] = defaultdict(list)
    for (data, _), levels in blocks.items():
        ours, theirs = levels.get(one, {}), levels.get(other, {})
        pairs = {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}
        if pairs:
            groups[data].append(pairs)
    strata = []
    for members in groups.values():
        # A block with too few seeds would take the seeds of all others away.
        whole = [pairs for pairs in members if len(pairs) >= LEAST_FOR_A_CLAIM] or members
        seeds = sorted(set.intersection(*map(set, whole)))
        if seeds:
            strata.append([sum(pairs[seed] for pairs in whole) / len(whole) for seed in seeds])
    return strata
