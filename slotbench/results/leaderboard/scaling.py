"""Numbers scaled from a floor, the untrained core, to a ceiling, the core trained with labels.

scaled = (value - floor) / (ceiling - floor). Floor and ceiling are the means over seeds of the
rows ``random`` and ``supervised`` on the same data and metric. If lower is better, the ceiling is
below the floor. Intervals are scaled alike and ignore the uncertainty of floor and ceiling.
Values below 0 and above 1 are shown.
"""

from collections.abc import Sequence
from dataclasses import replace

from slotbench.evaluation.groups import direction
from slotbench.progress import first_of
from slotbench.results.leaderboard.grouping import Group, Row, Scale
from slotbench.results.leaderboard.statistics import EMPTY, Summary

FLOOR, CEILING = "random", "supervised"
ROLES = {FLOOR: "floor", CEILING: "ceiling"}
NOTE = (
    "Scaled: (value - floor) / (ceiling - floor); floor: random, ceiling: supervised, of the same "
    "data and, where there is one, of the same core and preset."
)


def scaled(
    rows: Sequence[Row], everything: Sequence[Row], metrics: Sequence[str], noted: Sequence[str]
) -> list[Row]:
    """``rows`` with scaled numbers on ``metrics``; ``everything`` holds floors and ceilings.

    A number that cannot be scaled is missing, such as one without direction. ``scales`` holds the
    reason; for metrics in ``noted``, the row's warnings do too.
    """
    found = []
    for row in rows:
        ends = [reference_row(name, row.group, row.core, row.preset, everything) for name in ROLES]
        scales = {key: _scale(row, key, ends) for key in metrics if key in row.metrics}
        summaries = {key: _map(row.metrics[key], of) for key, of in scales.items() if not of.reason}
        notes = _notes(row, {key: of for key, of in scales.items() if key in noted}, ends)
        warnings = (*row.warnings, *notes)
        found.append(replace(row, metrics=summaries, scales=scales, warnings=warnings))
    return found


def reference_row(
    objective: str, group: Group, core: str, preset: str, everything: Sequence[Row]
) -> Row | None:
    """The row of an objective on the same data, if possible with this core and preset.

    Of several, the one with the most seeds; of equals, one without changed settings.
    """
    found = [
        row for row in everything if row.objective == objective and row.group == group and row.seeds
    ]
    same = [row for row in found if (row.core, row.preset) == (core, preset)]
    return max(
        same or found, key=lambda row: (len(row.seeds), not row.settings, row.label), default=None
    )


def _scale(row: Row, metric: str, ends: Sequence[Row | None]) -> Scale:
    """Floor and ceiling of a number, or the reason why it cannot be scaled."""
    floor, ceiling = (end.metrics.get(metric, EMPTY).mean if end else None for end in ends)
    sign, reason = direction(metric), ""
    for (name, role), end, value in zip(ROLES.items(), ends, (floor, ceiling), strict=True):
        if end is None:
            reason = reason or f"no {role}: no run of {name} on this data"
        elif value is None:
            reason = reason or f"no {role}: {name} has no {metric}"
    if sign == 0:
        reason = "neither more nor less of it is better"
    if not reason and sign * ((ceiling or 0.0) - (floor or 0.0)) <= 0:
        reason = f"the ceiling, {ceiling:.3g}, is not better than the floor, {floor:.3g}"
    return Scale(row.metrics[metric].mean, floor, ceiling, reason)


def _map(summary: Summary, scale: Scale) -> Summary:
    """A summary scaled between a known floor and ceiling."""
    floor, width = scale.floor or 0.0, (scale.ceiling or 0.0) - (scale.floor or 0.0)
    mean, low, high, iqm = (
        None if value is None else (value - floor) / width
        for value in (summary.mean, summary.low, summary.high, summary.iqm)
    )
    ends = (high, low) if width < 0 else (low, high)
    return Summary(mean, *ends, summary.n, iqm)


def _notes(row: Row, scales: dict[str, Scale], ends: Sequence[Row | None]) -> list[str]:
    """A line for each reason, and for a floor or ceiling of another core or preset."""
    lines = []
    for reason in dict.fromkeys(scale.reason for scale in scales.values() if scale.reason):
        metrics = [metric for metric, scale in scales.items() if scale.reason == reason]
        lines.append(f"not scaled, {reason}: {first_of(metrics, 3)}")
    for role, end in zip(ROLES.values(), ends, strict=True):
        if end is not None and (end.core, end.preset) != (row.core, row.preset):
            lines.append(f"{role}: {end.label}")
    return lines
