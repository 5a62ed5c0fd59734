"""The site's plots, as SVG that takes the page's ink and font.

Drawn with Matplotlib's object interface, so that the same numbers give the same bytes. Families
differ in colour and in mark; the colours are those of Okabe and Ito 2008.
"""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from slotbench.evaluation.groups import direction
from slotbench.results.leaderboard import Row
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.scaling import CEILING, FLOOR

_INK = "#010203"
"""Placeholder for the page's colour of text, which depends on its theme."""
STYLE: Mapping[str, tuple[str, str]] = {
    "reconstruction": ("#0072b2", "s"),
    "self-supervised": ("#d55e00", "o"),
    "combined": ("#009e73", "D"),
    "control": ("#808080", "^"),
    "external": ("#cc79a7", "P"),
    "unknown": ("#808080", "x"),
}
"""Colour and mark of each family."""
AXES = {"seconds": "seconds of training", "flops": "FLOPs of training"}
"""Fields of a cost, and the labels of their axes."""
MOST_ROWS = 40
"""Of an interval plot; the table has all of them."""
MOST_NAMES = 12
"""Beyond so many rows, a cost plot names those of the front only."""
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with two $ is no formula
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
Point = tuple[float, float, Row]


def style(family: str) -> tuple[str, str]:
    """Colour and mark of a family; a plugin's own family looks like an unknown one."""
    return STYLE.get(family, STYLE["unknown"])


def contestants(rows: Sequence[Row]) -> list[Row]:
    """The best row of each objective on the primary measure, best first."""
    found: dict[str, tuple[float, Row]] = {}
    for row in rows:
        cell = row.metrics.get(PRIMARY)
        if cell is not None and cell.mean is not None:
            found[row.objective] = max(
                found.get(row.objective, (cell.mean, row)), (cell.mean, row), key=lambda one: one[0]
            )
    return [row for _, row in sorted(found.values(), key=lambda one: -one[0])]


def intervals(rows: Sequence[Row], metrics: Sequence[str], width: float = 2.1) -> str:
    """Mean, 95 % interval and every seed of each row, a panel of ``width`` inches a metric.

    The means of floor and ceiling are lines. A row without a value has no mark. Of more than
    :data:`MOST_ROWS` rows, the first are shown.
    """
    rows = rows[:MOST_ROWS]
    with mpl.rc_context(_SETTINGS):
        figure = Figure((width * len(metrics) + 2.4, 0.26 * len(rows) + 0.9))
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for place, row in enumerate(rows):
                cell = row.metrics.get(metric)
                if cell is None or cell.mean is None:
                    continue
                color, mark = style(row.family)
                seeds = list(row.values.get(metric, {}).values())
                if not row.scales:
                    below = [place + 0.28] * len(seeds)
                    axes.plot(seeds, below, ".", color=color, alpha=0.6, markersize=4)
                if cell.low is not None and cell.high is not None:
                    axes.hlines(place, cell.low, cell.high, color=color, linewidth=1.5)
                axes.plot([cell.mean], [place], mark, color=color, markersize=5)
                if row.objective in (FLOOR, CEILING):
                    axes.axvline(cell.mean, color=color, linewidth=0.8, linestyle="--", alpha=0.7)
            axes.set_title(metric.replace("properties/", "properties/\n"), fontsize=9)
            axes.grid(axis="x", alpha=0.25)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        return _svg(figure, f"intervals {metrics} {len(rows)} {rows[0].group}")


def costs(rows: Sequence[Row], metric: str, cost: str = "seconds") -> str:
    """A metric against a cost of :data:`AXES`, with the Pareto front as a line.

    Rows without a known cost are left out; "" where fewer than two are left.
    """
    known: list[Point] = [
        (spent, cell.mean, row)
        for row in rows
        if (cell := row.metrics.get(metric))
        and cell.mean is not None
        and (spent := getattr(row.cost, cost)) is not None
    ]
    if len(known) < 2:
        return ""
    front = pareto([(spent, mean) for spent, mean, _ in known], direction(metric) or 1)
    with mpl.rc_context(_SETTINGS):
        figure = Figure((4.4, 3.2))
        axes = figure.subplots()
        for family in dict.fromkeys(row.family for *_, row in known):
            color, mark = style(family)
            members = [(spent, mean) for spent, mean, row in known if row.family == family]
            # A mark at no cost stands on the axis, and whole.
            axes.plot(*zip(*members, strict=True), mark, color=color, markersize=6, clip_on=False)
        for spent, mean, row in known:
            if len(known) <= MOST_NAMES or (spent, mean) in front:
                # Names grow towards the middle: none leaves the picture.
                right = spent > 0.6 * max(each for each, *_ in known)
                axes.annotate(
                    _name(row),
                    (spent, mean),
                    xytext=(-6 if right else 6, 4),
                    fontsize=8,
                    textcoords="offset points",
                    ha="right" if right else "left",
                )
        axes.step(*zip(*front, strict=True), where="post", color=_INK, alpha=0.4, linewidth=1)
        axes.set_xlabel(AXES[cost])
        axes.set_ylabel(metric)
        axes.set_xlim(0, 1.06 * max(spent for spent, *_ in known) or 1)
        axes.margins(y=0.12)
        axes.grid(alpha=0.25)
        return _svg(figure, f"costs {cost} {metric} {rows[0].group}")


def _name(row: Row) -> str:
    """The row's name, with the beginning of its settings where it has some."""
    if not row.settings:
        return row.name
    return f"{row.name} ({row.settings if len(row.settings) <= 24 else row.settings[:23] + '…'})"


def pareto(points: Sequence[tuple[float, float]], sign: int) -> list[tuple[float, float]]:
    """The points (cost, value) that no point of the same or a lower cost beats, by cost.

    ``sign`` is 1 where a higher value is better, -1 where a lower one is.
    """
    ordered = sorted(points, key=lambda point: (point[0], -sign * point[1]))
    tops = accumulate((sign * value for _, value in ordered), max)
    front: list[tuple[float, float]] = []
    for point, top in zip(ordered, tops, strict=True):
        if sign * point[1] == top and (not front or point[1] != front[-1][1]):
            front.append(point)
    return front


def _svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element whose ids no other figure of the page has."""
    figure.set_layout_engine("tight")
    text = io.StringIO()
    # The salt makes the ids of markers and clips; without a date the bytes repeat.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[A-Za-z0-9_.]+"/>\s*', "", svg)
    svg = re.sub(r'<g id="[A-Za-z0-9_.]+">', "<g>", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # A page may hold dozens: what says nothing goes. Numbers in the text stay as they are.
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d)\d+", r"\1", tag.group()), svg)
    svg = re.sub(r" font-family: [^;\"]*;?| transform=\"rotate\(-0 [^\"]*\"", "", svg)
    svg = re.sub(r'style="fill: (#\w+); stroke: \1[^"]*"', r'fill="\1" stroke="\1"', svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    # The page scales it; and what it shows is said in words beside it.
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', _opening, svg, count=1)


def _opening(found: re.Match[str]) -> str:
    box = found.group(1)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    width = float(box.split()[2])
    return f'<svg {names} {box} width="{width:.0f}pt" aria-hidden="true" focusable="false">'
