"""Numbers and findings in words, for every format."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from slotbench.evaluation.groups import direction, shown_keys, value_range
from slotbench.results.leaderboard.comparisons import Paired
from slotbench.results.leaderboard.grouping import Cost, Group, Row
from slotbench.results.leaderboard.statistics import EMPTY, LEAST_FOR_A_CLAIM, MARGIN, Summary

MISSING = "—"
TEST = (
    "Mean difference over pairs of one seed, its 95 % interval, the share of pairs in which the "
    "self-supervised row is greater, p of the exact permutation test after Holm's correction. "
    f"Equivalent: the interval lies within ±{MARGIN:g}."
)
DEFAULT_METRICS = shown_keys()


def number(value: float | None) -> str:
    """Two decimals, two significant digits below 0.01; never ``-0.00``."""
    if value is None:
        return MISSING
    # Adding 0.0 turns -0.0, the scaled number of a floor, into 0.0.
    return f"{value:.2g}" if value != 0 and abs(value) < 0.01 else f"{value + 0.0:,.2f}"


def signed(value: float | None) -> str:
    """``+0.12``, ``-0.12``."""
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def interval(found: Any) -> str:
    """``[0.84, 0.88]`` for ``low`` and ``high`` of an object; "" if one is missing."""
    return span(found.low, found.high)


def span(low: float | None, high: float | None) -> str:
    """``[0.84, 0.88]``; "" if an end is missing."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def p_value(p: float | None) -> str:
    """``p = 0.012``, or ``p < 0.001``."""
    if p is None:
        return MISSING
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def best(rows: Sequence[Row], metric: str) -> set[int]:
    """Positions of the best rows; equal shown digits tie. Empty below two rows with a value."""
    known = {
        place: mean
        for place, row in enumerate(rows)
        if metric in row.metrics and (mean := row.metrics[metric].mean) is not None
    }
    # A scaled number is better the higher it is, whatever the metric.
    sign = 1 if any(row.scales for row in rows) else direction(metric)
    if sign == 0 or len(known) < 2:
        return set()
    top = number(max(known.values(), key=lambda mean: sign * mean))
    return {place for place, mean in known.items() if number(mean) == top}


def titles(groups: Sequence[Group]) -> dict[Group, str]:
    """Each group's title, with the fingerprint if two titles are equal."""
    plain = [group.title for group in groups]
    return {
        group: group.title
        if plain.count(group.title) == 1
        else f"{group.title} · content {group.fingerprint[:8]}"
        for group in groups
    }


def columns(rows: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """The wanted metrics that a row of this dataset has; all of them if no row has any."""
    found = [metric for metric in wanted if any(metric in row.metrics for row in rows)]
    return found or list(wanted)


def fewer(row: Row, metric: str) -> str:
    """``n=2`` if some of the row's seeds lack the metric; else ""."""
    summary = row.metrics.get(metric)
    return f"n={summary.n}" if summary and summary.n != len(row.seeds) else ""


def cost_words(cost: Cost, *, with_flops: bool) -> dict[str, str]:
    """The parts of a cost by the heading of their column."""

    def words(value: float | None, form: str, scale: float = 1.0) -> str:
        return MISSING if value is None else form.format(value / scale)

    seconds = cost.seconds or 0.0
    unit, scale = ("s", 1) if seconds < 60 else ("min", 60) if seconds < 3600 else ("h", 3600)
    return {
        "steps": words(cost.steps, "{:,.0f}"),
        "time": words(cost.seconds, f"{{:.{int(scale > 1)}f}} {unit}", scale),
        "images/s": words(cost.images_per_second, "{:,.0f}"),
        "parameters": words(cost.parameters, "{:.2f} M", 1e6),
        **({"FLOPs": words(cost.flops, "{:.3g}")} if with_flops else {}),
        "device": cost.device or MISSING,
    }


def lacking(seeds: Sequence[int], what: str = "comparisons") -> str:
    """How many comparisons have too few shared ``seeds``; "" if none has."""
    short = sum(n < LEAST_FOR_A_CLAIM for n in seeds)
    found = f"{short:,} of {len(seeds):,} {what} lack seeds"
    return f"{found}: each needs {LEAST_FOR_A_CLAIM} on both sides." if short else ""


def shown(row: Row, metric: str) -> Summary:
    """A row's numbers, the interval clipped to the range of the metric unless scaled."""
    found = row.metrics.get(metric, EMPTY)
    if row.scales or found.low is None or found.high is None:
        return found
    least, most = value_range(metric)
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def finding(pair: Paired) -> str:
    """``-0.12 [-0.20, -0.05], 5 pairs, greater in 0 % of pairs, p = 0.008: worse``."""
    result = pair.result
    if result.n < LEAST_FOR_A_CLAIM:
        return pair.verdict
    return (
        f"{signed(result.difference)} {interval(result)}, {result.n} pairs, greater in "
        f"{result.share_of_pairs or 0.0:.0%} of pairs, {p_value(pair.corrected)}: {pair.verdict}"
    ).replace("%", " %")


def comparison_lines(paired: Sequence[Paired]) -> list[tuple[str, list[str]]]:
    """A title for each self-supervised row, with one line for each metric.

    Rows with too few seeds come last, in one entry for each baseline.
    """
    found, short = [], defaultdict[tuple[str, str], list[str]](list)
    for (ours, theirs), members in groupby(paired, lambda pair: (pair.row.named, _theirs(pair))):
        group = list(members)
        if all(pair.result.n < LEAST_FOR_A_CLAIM for pair in group):
            short[theirs, finding(max(group, key=lambda pair: pair.result.n))].append(ours)
        else:
            found.append(
                (f"{ours} {theirs}", [f"{pair.metric}: {finding(pair)}" for pair in group])
            )
    together = [(f"{', '.join(names)} {theirs}", [why]) for (theirs, why), names in short.items()]
    return found + together


def _theirs(pair: Paired) -> str:
    """The baseline and the data; origin and size distinguish datasets of one name."""
    row, baseline = pair.row, pair.baseline
    same = (row.core, row.preset) == (baseline.core, baseline.preset)
    other = "" if same else f"{baseline.core}, {baseline.preset}"
    settings = ", ".join(filter(None, (other, baseline.settings)))
    return (
        f"against {baseline.name}{f' ({settings})' if settings else ''}: {row.core}, {row.preset}, "
        f"{row.group.dataset} ({row.group.origin}, {row.group.image_size} px)"
    )
