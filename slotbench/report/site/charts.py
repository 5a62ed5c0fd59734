"""The site's plots, as SVG text that takes the page's ink and font.

Drawn with Matplotlib's object interface, so that no state is shared and the same numbers give the
same bytes. Families differ in colour and in mark; the colours are those of Okabe and Ito 2008.
"""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.leaderboard import Row
from slotbench.leaderboard.wording import direction

_INK = "#010203"
"""Stands for the page's own colour of text, whatever its theme."""
STYLE: Mapping[str, tuple[str, str]] = {
    "reconstruction": ("#0072b2", "s"),
    "self-supervised": ("#d55e00", "o"),
    "combined": ("#009e73", "D"),
    "control": ("#808080", "^"),
    "external": ("#cc79a7", "P"),
    "unknown": ("#808080", "x"),
}
"""Colour and mark of each family."""
_SETTINGS: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "text.color": _INK,
    "axes.labelcolor": _INK, "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip
Curve = Sequence[tuple[float, float]]


def intervals(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Mean and 95 % interval of each row, a panel a metric; a row without a value has no mark."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure((2.6 * len(metrics) + 2.4, 0.26 * len(rows) + 0.9))
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for place, row in enumerate(rows):
                cell = row.metrics.get(metric)
                if cell is None or cell.mean is None:
                    continue
                color, mark = STYLE[row.family]
                axes.plot([cell.mean], [place], mark, color=color, markersize=5)
                if cell.low is not None and cell.high is not None:
                    axes.plot([cell.low, cell.high], [place, place], color=color, linewidth=1.5)
            axes.set_title(metric, fontsize=9)
            axes.grid(axis="x", alpha=0.25)
        panels[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
        panels[0].invert_yaxis()
        return _svg(figure, f"intervals {metrics}")


def costs(rows: Sequence[Row], metric: str) -> str:
    """A metric against seconds of training, with the line of those that no other row beats."""
    known = [
        (row.cost.seconds, cell.mean, row)
        for row in rows
        if (cell := row.metrics.get(metric)) and cell.mean is not None and row.cost.seconds
    ]
    if len(known) < 2:
        return ""
    with mpl.rc_context(_SETTINGS):
        figure = Figure((4.9, 3.3))
        axes = figure.subplots()
        for seconds, mean, row in known:
            color, mark = STYLE[row.family]
            axes.plot([seconds], [mean], mark, color=color, markersize=6)
            axes.annotate(
                row.name, (seconds, mean), xytext=(5, 3), textcoords="offset points", fontsize=8
            )
        front = pareto([(seconds, mean) for seconds, mean, _ in known], direction(metric) or 1)
        axes.step(*zip(*front, strict=True), where="post", color=_INK, alpha=0.4, linewidth=1)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.25)
        return _svg(figure, f"costs {metric}")


def _name(row: Row) -> str:
    """The row's name, with the beginning of its settings where it has some."""
    if not row.settings:
        return row.name
    return f"{row.name} ({row.settings if len(row.settings) <= 24 else row.settings[:23] + '…'})"


def pareto(points: Sequence[tuple[float, float]], sign: int) -> list[tuple[float, float]]:
    """Of (cost, value), those that nothing at the same or a lower cost beats, by cost.

    ``sign`` is 1 where a higher value is better, -1 where a lower one is.
    """
    ordered = sorted(points, key=lambda point: (point[0], -sign * point[1]))
    tops = accumulate((sign * value for _, value in ordered), max)
    front: list[tuple[float, float]] = []
    for point, top in zip(ordered, tops, strict=True):
        if sign * point[1] == top and (not front or point[1] != front[-1][1]):
            front.append(point)
    return front


def curves(title: str, family: str, seeds: Mapping[int, Curve]) -> str:
    """The training loss of each seed of a row by step."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure((2.9, 1.9))
        axes = figure.subplots()
        for points in seeds.values():
            axes.plot(*zip(*points, strict=True), color=STYLE[family][0], linewidth=1, alpha=0.8)
        if all(loss > 0 for points in seeds.values() for _, loss in points):
            axes.set_yscale("log")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step")
        _few_ticks(axes)
        return _svg(figure, f"curves {title}")


def _few_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4, integer=True))
    axes.grid(alpha=0.25)


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
    svg = re.sub(r'<g id="[a-z0-9_.]+">', "<g>", svg)
    # The page scales it; and what it shows is said in words beside it.
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', _opening, svg, count=1)


def _opening(found: re.Match[str]) -> str:
    box = found.group(1)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    width = float(box.split()[2])
    return f'<svg {names} {box} width="{width:.0f}pt" aria-hidden="true" focusable="false">'
