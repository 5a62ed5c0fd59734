"""Values on the pages: rows of the tables that ``site.js`` draws, and facts of single runs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from slotbench.errors import UserError
from slotbench.evaluation.groups import direction, group_of
from slotbench.files import read_json
from slotbench.results.leaderboard import Board, Row, wording
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.grouping import by_group
from slotbench.results.leaderboard.ranks import NOTE as RANK_NOTE
from slotbench.results.leaderboard.ranks import standings
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.scaling import CEILING, FLOOR
from slotbench.results.run import Run

MOST_POINTS = 60
"""Most points of a learning curve."""
MOST_ROWS = 200
"""Rows of a table in the index; the others are in ``rows.js``."""
COSTS = {"steps": "steps", "time": "seconds", "images/s": "images_per_second"} | {
    "parameters": "parameters",
    "FLOPs": "flops",
}
"""Headings of ``cost_words``, and the field of each."""
SHOWN_COSTS = ("time", "FLOPs")
"""Columns of cost that are shown at first."""
_HEALTH = ("health/effective_rank", "health/slot_cosine", "health/consistency")
Document = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One picture and its caption."""

    file: str
    """Its address from the site's folder."""
    text: str


def column(name: str, group: str = "", **facts: Any) -> Document:
    """A column as ``site.js`` reads it.

    ``better`` (1, -1 or 0) marks a numeric column. A ``constant`` column moves into the caption
    where all rows agree. ``shown`` says whether it is visible at first.
    """
    return {"name": name, "group": group, "shown": True, **facts}


def score(value: float | None, text: str, *more: Any) -> list[Any] | None:
    """A numeric cell: number to sort by, text, interval, note, best. None if it is missing."""
    return None if value is None else [float(f"{value:.5g}"), text, *more]


def contestants(rows: Sequence[Row]) -> list[Row]:
    """The best row of each objective on the primary measure, best first."""
    cells = ((row, row.metrics.get(PRIMARY)) for row in rows)
    means = {row: cell.mean for row, cell in cells if cell and cell.mean is not None}
    found: dict[str, Row] = {}
    for row in sorted(means, key=lambda row: -means[row]):
        found.setdefault(row.objective, row)
    return list(found.values())


def board_data(board: Board, links: Mapping[str, str], opening: Any = None) -> Document:
    """The leaderboard, one table of all datasets.

    ``links`` maps :attr:`Row.key` to the page of the row's first run. The rows of the group
    ``opening`` come first.
    """
    groups = sorted(by_group(board.rows), key=lambda each: each[0] != opening)
    named = wording.titles([group for group, _ in groups])
    counted = any(row.cost.flops is not None for row in board.rows)
    costs = [name for name in COSTS if counted or name != "FLOPs"]
    metrics = _metrics(board)
    heads = [
        column("objective"),
        column("settings", constant=True, shown=any(row.settings for row in board.rows)),
        *(column(name, constant=True) for name in ("dataset", "core", "family", "preset")),
        column("seeds", better=1),
        column("rank", better=-1, hint=RANK_NOTE),
        *(
            column(key, group_of(key) or "other", better=direction(key), shown=key in board.shown)
            for key in metrics
        ),
        *(column(name, "cost", better=-1, shown=name in SHOWN_COSTS) for name in costs),
        column("device", "cost", constant=True, shown=False),
    ]
    made = []
    for group, rows in groups:
        first = set(contestants(rows))
        places = {one.row: (one.rank, one.place) for one in standings(rows, PRIMARY)}
        winners = {key: wording.best(rows, key) for key in metrics}
        found = []
        for place, row in enumerate(rows):
            words = wording.cost_words(row.cost, with_flops=counted)
            seeds = len(row.seeds)
            cells = [
                row.name,
                row.settings,
                *(named[group], row.core, row.family, row.preset),
                [seeds, str(seeds), "", f"{row.failed} failed" * bool(row.failed)],
                score(*places.get(row, (None, ""))),
                *(_metric(row, key, place in winners[key]) for key in metrics),
                *(score(getattr(row.cost, COSTS[name]), words[name]) for name in costs),
                words["device"],
            ]
            facts = _row_facts(row, board, links)
            found.append({"cells": cells, "best": row in first, **facts})
        made += sorted(found, key=lambda each: not each["best"])
    shown = dict.fromkeys(key for key in (PRIMARY, *board.shown) if key in metrics)
    names = [named[group] for group, _ in groups]
    return {"columns": heads, "rows": made, "datasets": names, "measures": list(shown)}


def _row_facts(row: Row, board: Board, links: Mapping[str, str]) -> Document:
    """What a row's line has beside its cells."""
    return {
        "family": row.family,
        "link": links.get(row.key, ""),
        "from": ("both" if row.own else "published") if row.published else "own",
        "end": {FLOOR: "floor", CEILING: "ceiling"}.get(row.objective, ""),
        "warnings": row.warnings,
        "plot": {key: _spread(row, key) for key in board.shown if key in row.metrics},
    }


def _metrics(board: Board) -> list[str]:
    """The metrics shown at first and all others with a direction, by group."""
    present = {key for row in board.rows for key in row.metrics}
    told = [key for key in board.metrics if direction(key) or key in _HEALTH]
    found = [key for key in dict.fromkeys([*board.shown, *told]) if key in present]
    order = {group: place for place, group in enumerate(dict.fromkeys(map(group_of, found)))}
    return sorted(found, key=lambda key: order[group_of(key)])


def _metric(row: Row, key: str, winner: bool) -> list[Any] | None:
    cell = wording.shown(row, key)
    if cell.mean is None:
        return None
    more = [wording.interval(cell), wording.fewer(row, key), int(winner)]
    shown = max((place for place, each in enumerate(more, 1) if each), default=0)
    return score(cell.mean, wording.number(cell.mean), *more[:shown])


def _spread(row: Row, key: str) -> list[Any]:
    """Mean, interval and the value of every seed."""
    cell, seeds = wording.shown(row, key), row.values.get(key, {}).values()
    rounded = [None if one is None else round(one, 5) for one in (cell.mean, cell.low, cell.high)]
    return [*rounded, [round(value, 5) for value in seeds] if not row.scales else []]


@dataclass
class Page:
    """One run with its pictures and its curve on the site."""

    found: Found
    run: Run | None
    """Its directory, where it can be read and is not published."""
    pictures: list[Panel] = field(default_factory=list)

    @cached_property
    def curve(self) -> list[tuple[float, float]]:
        """:func:`learning_curve` of the run; empty where it is not here."""
        return learning_curve(self.run) if self.run else []

    @cached_property
    def name(self) -> str:
        """``<seed>-<id>``, or its name in a published file."""
        return self.run.id if self.run else self.found.run

    @cached_property
    def link(self) -> str:
        """The address of its page from the site's folder; "" where it has none."""
        return quote(f"runs/{self.name}.html", errors="surrogateescape") if self.run else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Problems and warnings of the run."""
        return (*self.found.problems, *self.found.warnings)


def runs_data(pages: Sequence[Page]) -> Document:
    """Every run with its problems; published copies of one run are listed once."""
    heads = [
        column("run"),
        *(column(name, constant=True) for name in ("dataset", "objective", "core")),
        column("seed", better=-1),
        column("state"),
        column(PRIMARY, better=1),
        column("seconds", better=-1),
    ]
    made = []
    for page in pages:
        run = page.found
        if run.published and run.state == "duplicate":
            continue
        value = run.values.get(PRIMARY) if run.counts else None
        seconds = run.status.seconds if run.status else None
        cells = [
            page.name,
            run.dataset or wording.MISSING,
            " · ".join(filter(None, (run.objective, run.alignment))) or wording.MISSING,
            run.core or wording.MISSING,
            score(run.seed, str(run.seed)),
            f"{run.state}: {run.reason}" if run.reason else run.state,
            score(value, wording.number(value)),
            score(seconds or None, f"{seconds or 0:.0f}"),
        ]
        mark = "published" if run.published else "own"
        made.append({"cells": cells, "from": mark, "link": page.link, "warnings": page.notes})
    return {"columns": heads, "rows": made}


def run_facts(page: Page) -> Document:
    """The tables on a run's page: numbers, state, configuration, provenance."""
    found, judged = page.found, page.found.evaluation
    numbers = (
        (key, wording.number(cell["value"]), ends, f"{cell.get('n') or 0:,}", str(cell["version"]))
        for key, cell in (sorted(judged.metrics.items()) if judged else ())
        for ends in [wording.span(cell.get("low"), cell.get("high"))]
    )
    provenance: Any = {}
    with suppress(UserError):
        provenance = read_json(page.run.path / "environment.json") if page.run else {}
    return {
        "metrics": _rows(numbers),
        "judged": f"Split {judged.split}, {judged.images:,} images." if judged else "",
        "skipped": judged.skipped if judged else {},
        "State and cost": _rows(_flat(found.status.model_dump()) if found.status else ()),
        "Configuration": _rows(_flat(found.config)),
        "Provenance": _rows(_flat(provenance if isinstance(provenance, dict) else {})),
    }


def _rows(rows: Iterable[tuple[str, ...]]) -> Markup:
    """Rows of a table; the first cell is a heading.

    All cells are escaped as one text, because 400 cells of each of 5,000 runs would take seconds.
    """
    text = escape("".join("\x1e" + "\x1f".join(row) for row in rows))
    return Markup(text.replace("\x1e", "<tr><th scope=row>").replace("\x1f", "<td>"))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of ``section.field`` and value, in the document's order."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            # repr is what json.dumps gives for numbers, and ten times as fast.
            text = repr(value) if type(value) in (int, float) else json.dumps(value)
            yield f"{prefix}{key}", text


def learning_curve(run: Run) -> list[tuple[float, float]]:
    """(step, loss) of ``metrics.jsonl``, thinned to :data:`MOST_POINTS`; empty without a loss."""
    try:
        rows = run.metrics()
    except (UserError, OSError):
        return []
    points = [
        (float(row["step"]), float(row["loss"]))
        for row in rows
        if isinstance(row.get("loss"), int | float) and abs(row["loss"]) < 1e300
    ]
    return points[:: max(1, -(-len(points) // MOST_POINTS))]
