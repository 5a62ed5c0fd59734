"""Numbers between a floor and a ceiling: 0 is the untrained core, 1 the one trained with labels.

scaled = (value - floor) / (ceiling - floor). The floor is the mean over seeds of the row of
``random``, the ceiling the mean of ``supervised``, on the same data and metric. Both are taken as
known: the interval is the row's own, mapped by the same line, so it is too short if floor and
ceiling are uncertain. Values below 0 and above 1 are shown. The formula also holds for metrics
that are better low: their ceiling is the lesser number.
"""

from collections.abc import Sequence
from dataclasses import replace

from slotbench.evaluation.groups import direction
from slotbench.results.leaderboard.grouping import Group, Row, Scale
from slotbench.results.leaderboard.statistics import Summary

FLOOR, CEILING = "random", "supervised"
NOTE = (
    "Scaled: (value - floor) / (ceiling - floor); floor: random, ceiling: supervised, of the same "
    "data and, where there is one, of the same core and preset."
)


def scaled(
    rows: Sequence[Row], everything: Sequence[Row], metrics: Sequence[str], noted: Sequence[str]
) -> list[Row]:
    """``rows`` with their numbers on ``metrics`` scaled; the ends are sought in ``everything``.

    Where a number cannot be scaled it is missing, with the reason in ``scales`` and, for metrics
    that are ``noted``, in the row's warnings. Metrics that are neither better high nor low have
    no scale, and are missing.
    """
    return [_row(row, everything, metrics, noted) for row in rows]


def _row(row: Row, everything: Sequence[Row], metrics: Sequence[str], noted: Sequence[str]) -> Row:
    scales, summaries = {}, {}
    ends = [
        reference_row(name, row.group, row.core, row.preset, everything)
        for name in (FLOOR, CEILING)
    ]
    for metric in (key for key in metrics if key in row.metrics):
        summary = row.metrics[metric]
        floor, ceiling = (
            end.metrics[metric].mean if end is not None and metric in end.metrics else None
            for end in ends
        )
        reason = _reason(metric, ends, floor, ceiling)
        scales[metric] = Scale(summary.mean, floor, ceiling, reason)
        if not reason and floor is not None and ceiling is not None:
            summaries[metric] = _map(summary, floor, ceiling)
    said = {metric: scale for metric, scale in scales.items() if metric in noted}
    return replace(
        row, metrics=summaries, scales=scales, warnings=(*row.warnings, *_notes(row, said, ends))
    )


def reference_row(
    objective: str, group: Group, core: str, preset: str, everything: Sequence[Row]
) -> Row | None:
    """The row of an objective on the same data: of this core and preset, else the most seeds."""
    found = [
        row for row in everything if row.objective == objective and row.group == group and row.seeds
    ]
    same = [row for row in found if (row.core, row.preset) == (core, preset)]
    return max(same or found, key=lambda row: (len(row.seeds), row.label), default=None)


def _reason(
    metric: str, ends: Sequence[Row | None], floor: float | None, ceiling: float | None
) -> str:
    """Why a number cannot be scaled; "" where it can."""
    sign = direction(metric)
    if sign == 0:
        return "neither more nor less of it is better"
    for name, role, end, value in zip(
        (FLOOR, CEILING), ("floor", "ceiling"), ends, (floor, ceiling), strict=True
    ):
        if end is None:
            return f"no {role}: no run of {name} on this data"
        if value is None:
            return f"no {role}: {name} has no {metric}"
    assert floor is not None
    assert ceiling is not None
    if sign * (ceiling - floor) <= 0:
        return f"the ceiling, {ceiling:.3g}, is not better than the floor, {floor:.3g}"
    return ""


def _map(summary: Summary, floor: float, ceiling: float) -> Summary:
    def place(value: float | None) -> float | None:
        return None if value is None else (value - floor) / (ceiling - floor)

    low, high = place(summary.low), place(summary.high)
    if low is not None and high is not None and low > high:
        low, high = high, low
    return Summary(place(summary.mean), low, high, summary.n, place(summary.iqm))


def _notes(row: Row, scales: dict[str, Scale], ends: Sequence[Row | None]) -> list[str]:
    """One line for each reason, and which rows are the ends where they are not the row's own."""
    lines = []
    for reason in dict.fromkeys(scale.reason for scale in scales.values() if scale.reason):
        metrics = [metric for metric, scale in scales.items() if scale.reason == reason]
        more = f" and {len(metrics) - 3} more" if len(metrics) > 3 else ""
        lines.append(f"not scaled, {reason}: {', '.join(metrics[:3])}{more}")
    for role, end in zip(("floor", "ceiling"), ends, strict=True):
        if end is not None and (end.core, end.preset) != (row.core, row.preset):
            lines.append(f"{role}: {end.label}")
    return lines
