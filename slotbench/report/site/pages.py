"""The tables and facts on the pages: plain values for the templates."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slotbench.errors import UserError
from slotbench.evaluation.groups import direction
from slotbench.files import read_json
from slotbench.report.site.curves import Curve
from slotbench.results.leaderboard import Board, Row
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.grouping import by_group
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.wording import (
    MISSING,
    best,
    columns,
    cost_words,
    fewer,
    interval,
    number,
    titles,
)
from slotbench.results.run import Run

MOST_POINTS = 60
"""Points of a learning curve; more would not be visible."""
COSTS = {"steps": "steps", "time": "seconds", "images/s": "images_per_second"} | {
    "parameters": "parameters",
    "FLOPs": "flops",
    "device": "device",
}
"""Headings of ``cost_words``, and the field of each."""
SHOWN_COSTS = ("steps", "time", "FLOPs")
"""Columns of cost that are shown at first."""
IN_CAPTION = ("core", "family", "preset", "steps", "device")
"""Columns that move into the caption where all rows agree."""
_HEALTH = ("health/effective_rank", "health/slot_cosine", "health/consistency")


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    value: str = ""
    """What it is sorted by, where that is not the text; cells without a value come last."""
    small: str = ""
    hint: str = ""
    """Shown when the pointer rests on the cell."""
    best: bool = False
    link: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; ``shown`` says whether it is shown at first."""

    name: str
    cells: list[Cell]
    numeric: bool = True
    shown: bool = True


@dataclass(frozen=True)
class Table:
    """A table that can be sorted and searched."""

    title: str
    columns: list[Column]
    families: list[str]
    """Of each row."""
    warnings: list[tuple[str, ...]]
    """Of each row."""
    constant: str = ""
    """The values that all rows share, in words."""


def board_tables(board: Board, links: Mapping[str, str]) -> list[Table]:
    """The leaderboard, a table a dataset; ``links`` has the page of a row's first run."""
    groups = by_group(board.rows)
    named = titles([group for group, _ in groups])
    return [_table(named[group], rows, board, links) for group, rows in groups]


def _table(title: str, rows: Sequence[Row], board: Board, links: Mapping[str, str]) -> Table:
    default = columns(rows, board.shown)
    metrics = default + [
        key
        for key in board.metrics
        if key not in default
        and any(key in row.metrics for row in rows)
        and (direction(key) or key in _HEALTH)
    ]
    counted = any(row.cost.flops is not None for row in rows)
    words = [cost_words(row.cost, with_flops=counted) for row in rows]
    every = [
        Column("objective", [_name(row, links) for row in rows], numeric=False),
        Column("core", [Cell(row.core) for row in rows], numeric=False),
        Column("family", [Cell(row.family) for row in rows], numeric=False),
        Column("preset", [_preset(row) for row in rows], numeric=False),
        Column("seeds", [_seeds(row) for row in rows]),
        *(Column(key, _metric(rows, key), shown=key in default) for key in metrics),
        *(
            Column(
                name,
                [
                    Cell(words[k][name], _value(getattr(row.cost, COSTS[name])))
                    for k, row in enumerate(rows)
                ],
                numeric=name != "device",
                shown=name in SHOWN_COSTS,
            )
            for name in words[0]
        ),
    ]
    alike = [
        column
        for column in every
        if column.name in IN_CAPTION
        and len(rows) > 1
        and len({(cell.text, cell.small) for cell in column.cells}) == 1
    ]
    said = (" ".join(filter(None, (one.cells[0].text, one.cells[0].small))) for one in alike)
    constant = ", ".join(f"{column.name} {text}" for column, text in zip(alike, said, strict=True))
    return Table(
        title,
        [column for column in every if column not in alike],
        [row.family for row in rows],
        [row.warnings for row in rows],
        constant,
    )


def _name(row: Row, links: Mapping[str, str]) -> Cell:
    return Cell(row.name, row.name, link=links.get(key_of(row.config), ""))


def _preset(row: Row) -> Cell:
    return Cell(row.preset, f"{row.preset} {row.settings}".strip(), row.settings)


def _seeds(row: Row) -> Cell:
    notes = [f"{row.failed} failed"] if row.failed else []
    notes += [f"{row.published} published"] if row.published else []
    return Cell(str(len(row.seeds)), str(len(row.seeds)), ", ".join(notes))


def _metric(rows: Sequence[Row], key: str) -> list[Cell]:
    """The interval of the primary measure is in sight; that of others is a hint."""
    winners, found = best(rows, key), []
    for place, row in enumerate(rows):
        cell = row.metrics.get(key)
        if cell is None or cell.mean is None:
            found.append(Cell(MISSING))
            continue
        span, n = interval(cell), fewer(row, key)
        small = f"{span} {n}".strip() if key == PRIMARY else n
        hint = "" if key == PRIMARY else span
        found.append(Cell(number(cell.mean), _value(cell.mean), small, hint, place in winners))
    return found


def _value(value: float | str | None) -> str:
    """The text by which JavaScript sorts: five digits are enough."""
    return f"{value:.5g}" if isinstance(value, float | int) else value or ""


def key_of(config: Mapping[str, Any]) -> str:
    """Equal for the runs of one row: the configuration without its seed."""
    return json.dumps(
        {name: value for name, value in config.items() if name != "seed"}, sort_keys=True
    )


@dataclass
class Page:
    """One run and what the site has of it."""

    found: Found
    run: Run | None
    """Its directory, where it can be read and is not published."""
    pictures: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        """``<seed>-<id>``, or its place in a published file."""
        return self.run.id if self.run else self.found.run

    @property
    def link(self) -> str:
        """The address of its page from the site's folder; "" where it has none."""
        return f"runs/{self.run.id}.html" if self.run else ""

    @property
    def family(self) -> str:
        """The family of the objective; ``unknown`` where no style is known."""
        return self.found.family or "unknown"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the run."""
        return (*self.found.problems, *self.found.warnings)


def runs_table(pages: Sequence[Page], metric: str) -> Table:
    """Every run, finished or not, with its problems."""
    runs = [page.found for page in pages]
    values = [run.values.get(metric) if run.counts else None for run in runs]
    seconds = [run.status.seconds if run.status else None for run in runs]

    def text(name: str, values: Sequence[str | None]) -> Column:
        return Column(name, [Cell(value or MISSING) for value in values], numeric=False)

    heads = [
        Column("run", [Cell(page.name, link=page.link) for page in pages], numeric=False),
        text("dataset", [run.dataset for run in runs]),
        text(
            "objective", [" · ".join(filter(None, (run.objective, run.alignment))) for run in runs]
        ),
        text("core", [run.core for run in runs]),
        Column("seed", [Cell(MISSING if run.seed is None else str(run.seed)) for run in runs]),
        Column("state", [Cell(run.state, run.state, run.reason) for run in runs], numeric=False),
        Column(metric, [Cell(number(value), _value(value)) for value in values]),
        Column(
            "seconds", [Cell(f"{each:.0f}" if each else MISSING, _value(each)) for each in seconds]
        ),
    ]
    return Table("Runs", heads, [page.family for page in pages], [page.notes for page in pages])


def run_facts(page: Page) -> dict[str, Any]:
    """The facts on a run's page: configuration, provenance, state, numbers with intervals."""
    found, judged = page.found, page.found.evaluation
    metrics = dict(sorted(judged.metrics.items())) if judged else {}
    return {
        "config": _flat(found.config),
        "status": _flat(found.status.model_dump()) if found.status else [],
        "environment": _flat(_document(page)),
        "metrics": [
            (
                key,
                number(cell.value),
                interval(cell),
                MISSING if cell.n is None else f"{cell.n:,}",
                cell.version,
            )
            for key, cell in metrics.items()
        ],
        "health": [
            (key, number(cell.value)) for key, cell in metrics.items() if key.startswith("health/")
        ],
        "judged": f"split {judged.split}, {judged.images:,} images" if judged else "",
        "skipped": judged.skipped if judged else {},
    }


def _document(page: Page) -> dict[str, Any]:
    """``environment.json``; empty where it is missing or damaged."""
    try:
        document = read_json(page.run.path / "environment.json") if page.run else {}
    except UserError:
        return {}
    return document if isinstance(document, dict) else {}


def _flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """``section.field`` and its value, in the document's order."""
    found: list[tuple[str, str]] = []
    for key, value in document.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return found


def learning_curve(run: Run) -> Curve:
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
