"""How numbers and findings are put into words; every format uses these."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from slotbench.evaluation.groups import direction, shown_keys
from slotbench.results.leaderboard.comparisons import Family, Paired
from slotbench.results.leaderboard.grouping import Cost, Group, Row
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Comparison, Summary

MISSING = "—"
TEST = (
    "Difference, 95 % bootstrap interval, share of pairs that are better, p of Wilcoxon's "
    "signed-rank test after Holm's correction; of n pairs it is never below 2 / 2^n."
)
DEFAULT_METRICS = shown_keys()


def number(value: float | None) -> str:
    """Two decimals, three significant digits below 0.01; never ``-0.00``."""
    if value is None:
        return MISSING
    if value != 0 and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.2f}"


def interval(summary: Summary | Comparison) -> str:
    """``[0.84, 0.88]``; "" where there is none."""
    if summary.low is None or summary.high is None:
        return ""
    return f"[{number(summary.low)}, {number(summary.high)}]"


def best(rows: Sequence[Row], metric: str) -> set[int]:
    """Positions of the rows that are best as shown; none where fewer than two have a value.

    Rows whose shown numbers are equal are best together: what is not shown decides nothing.
    """
    means = {
        index: row.metrics[metric].mean for index, row in enumerate(rows) if metric in row.metrics
    }
    known = {index: mean for index, mean in means.items() if mean is not None}
    # A scaled number is better the higher it is, whatever the metric.
    sign = 1 if any(row.scales for row in rows) else direction(metric)
    if sign == 0 or len(known) < 2:
        return set()
    top = max(known.values(), key=lambda mean: sign * mean)
    return {index for index, mean in known.items() if number(mean) == number(top)}


def titles(groups: Sequence[Group]) -> dict[Group, str]:
    """Each group's title; the fingerprint stands where two would read the same."""
    plain = [group.title for group in groups]
    return {
        group: group.title
        if plain.count(group.title) == 1
        else f"{group.title} · content {group.fingerprint[:8]}"
        for group in groups
    }


def columns(rows: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """Of the wanted metrics, those that a row of this dataset has; all where none has any."""
    found = [metric for metric in wanted if any(metric in row.metrics for row in rows)]
    return found or list(wanted)


def fewer(row: Row, metric: str) -> str:
    """``n=2`` where a metric is missing for some of the row's seeds; else ""."""
    summary = row.metrics.get(metric)
    return f"n={summary.n}" if summary and summary.n != len(row.seeds) else ""


def duration(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def flops(count: float | None) -> str:
    """``1.24e+15``; "" where they were not counted."""
    return "" if count is None else f"{count:.3g}"


def cost_words(cost: Cost, *, with_flops: bool = False) -> dict[str, str]:
    """Every part of a cost by its column's heading; FLOPs only where a table has the column."""
    return {
        "steps": MISSING if cost.steps is None else f"{cost.steps:,.0f}",
        "time": duration(cost.seconds),
        "images/s": (
            MISSING if cost.images_per_second is None else f"{cost.images_per_second:,.0f}"
        ),
        "parameters": MISSING if cost.parameters is None else f"{cost.parameters / 1e6:.2f} M",
        **({"FLOPs": flops(cost.flops) or MISSING} if with_flops else {}),
        "device": cost.device or MISSING,
    }


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def finding(pair: Paired) -> str:
    """``-0.12 [-0.20, -0.05], 5 pairs, better in 0 %, p = 0.250: leans worse, ...``."""
    result = pair.result
    if result.n < LEAST_FOR_A_CLAIM:
        return pair.verdict
    share = 100 * (result.probability or 0.0)
    return (
        f"{signed(result.difference)} {interval(result)}, {result.n} pairs, "
        f"better in {share:.0f} %, {p_value(pair.corrected)}: {pair.verdict}"
    )


def signed(value: float | None) -> str:
    """``+0.12``, ``-0.12``."""
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def comparison_lines(paired: Sequence[Paired]) -> list[tuple[str, list[str]]]:
    """For each self-supervised row a title, and a line a metric.

    Rows with too few seeds to say stand together at the end, one entry a baseline.
    """
    found, short = [], defaultdict[tuple[str, str], list[str]](list)
    for (ours, theirs), members in groupby(paired, lambda pair: (_ours(pair), _theirs(pair))):
        group = list(members)
        if all(pair.result.n < LEAST_FOR_A_CLAIM for pair in group):
            short[theirs, finding(max(group, key=lambda pair: pair.result.n))].append(ours)
        else:
            lines = [f"{pair.metric}: {finding(pair)}" for pair in group]
            found.append((f"{ours} {theirs}", lines))
    together = [(f"{', '.join(names)} {theirs}", [why]) for (theirs, why), names in short.items()]
    return found + together


def _ours(pair: Paired) -> str:
    return pair.row.name + (f" ({pair.row.settings})" if pair.row.settings else "")


def _theirs(pair: Paired) -> str:
    """What it is compared with; origin and size tell apart two datasets of one name."""
    settings = f" ({pair.baseline.settings})" if pair.baseline.settings else ""
    group = pair.row.group
    return (
        f"against {pair.baseline.name}{settings}: {pair.row.core}, {pair.row.preset}, "
        f"{group.dataset} ({group.origin}, {group.image_size} px)"
    )


def span(families: Sequence[Family], field: str, noun: str) -> str:
    """``1 row``, ``3 rows``, ``2 to 3 rows``: metrics may differ in how many rows have them."""
    counts = sorted({int(getattr(family, field)) for family in families})
    number_of = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number_of} {noun}{'' if counts == [1] else 's'}"
