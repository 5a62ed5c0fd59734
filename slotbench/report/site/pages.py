"""What stands on the pages: plain values for the templates, made from the leaderboard."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench.evaluation.groups import direction
from slotbench.files import read_json
from slotbench.report.site.curves import Curve
from slotbench.results.leaderboard import Board, Row
from slotbench.results.leaderboard.grouping import by_group as groups
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
"""Of a learning curve; more would not be seen."""
COSTS = ("steps", "seconds", "images_per_second", "parameters", "flops", "device")
"""Fields of a cost, in the order of ``cost_words``; FLOPs only where a table has the column."""
SHOWN_COSTS = ("steps", "time", "FLOPs")
"""Columns of cost that a reader sees at once."""
_HEALTH = ("health/effective_rank", "health/slot_cosine", "health/consistency")


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read, what is sorted by, and how it looks."""

    text: str
    value: str = ""
    """What it is sorted by; "" comes last, whatever the order. Said only where it is not what
    stands in the cell: a page of a thousand runs has 30,000 cells."""
    small: str = ""
    best: bool = False
    link: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; ``shown`` says whether a reader sees it at once."""

    name: str
    numeric: bool = True
    shown: bool = True


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    cells: list[Cell]
    family: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What the template draws."""

    title: str
    columns: list[Column]
    lines: list[Line]


def board_tables(board: Board, links: Mapping[str, str]) -> list[Table]:
    """The leaderboard, a table a dataset; ``links`` has the page of a row's first run."""
    named = titles([group for group, _ in groups(board.rows)])
    return [_table(named[group], rows, board, links) for group, rows in groups(board.rows)]


def _table(title: str, rows: Sequence[Row], board: Board, links: Mapping[str, str]) -> Table:
    default = columns(rows, board.shown)
    more = [
        key
        for key in board.metrics
        if key not in default
        and any(key in row.metrics for row in rows)
        and (direction(key) or key in _HEALTH)
    ]
    metrics = [*default, *more]
    counted = any(row.cost.flops is not None for row in rows)
    costs = list(cost_words(rows[0].cost, with_flops=counted))
    heads = [
        Column("objective", numeric=False),
        Column("core", numeric=False),
        Column("family", numeric=False),
        Column("preset", numeric=False),
        Column("seeds"),
        *(Column(key, shown=key in default) for key in metrics),
        *(Column(name, numeric=name != "device", shown=name in SHOWN_COSTS) for name in costs),
    ]
    winners = {key: best(rows, key) for key in metrics}
    lines = []
    for place, row in enumerate(rows):
        cells = _names(row, links)
        cells += [_metric(row, key, place in winners[key]) for key in metrics]
        words = cost_words(row.cost, with_flops=counted).values()
        fields = [name for name in COSTS if counted or name != "flops"]
        cells += [
            Cell(text, _value(getattr(row.cost, name)))
            for text, name in zip(words, fields, strict=True)
        ]
        lines.append(Line(cells, row.family, row.warnings))
    return Table(title, heads, lines)


def _names(row: Row, links: Mapping[str, str]) -> list[Cell]:
    seeds = str(len(row.seeds))
    notes = [f"{row.failed} failed"] if row.failed else []
    notes += [f"{row.published} published"] if row.published else []
    return [
        Cell(row.name, row.name, link=links.get(key_of(row.config), "")),
        Cell(row.core, row.core),
        Cell(row.family, row.family),
        Cell(row.preset, f"{row.preset} {row.settings}", small=row.settings),
        Cell(seeds, seeds, small=", ".join(notes)),
    ]


def _metric(row: Row, key: str, wins: bool) -> Cell:
    cell = row.metrics.get(key)
    if cell is None or cell.mean is None:
        return Cell(MISSING)
    small = " ".join(part for part in (interval(cell), fewer(row, key)) if part)
    return Cell(number(cell.mean), _value(cell.mean), small, wins)


def _value(value: float | str | None) -> str:
    """What is sorted by: five digits are enough for that."""
    return f"{value:.5g}" if isinstance(value, float | int) else value or ""


def key_of(config: Mapping[str, Any]) -> str:
    """Equal for the runs of one row: the configuration without its seed."""
    return json.dumps(
        {name: value for name, value in config.items() if name != "seed"}, sort_keys=True
    )


def runs_table(records: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """Every run, finished or not, with what is wrong with it."""
    heads = [
        Column("run", numeric=False),
        Column("dataset", numeric=False),
        Column("objective", numeric=False),
        Column("core", numeric=False),
        Column("seed"),
        Column("state", numeric=False),
        Column(metric),
        Column("seconds"),
    ]
    lines = []
    for record in records:
        value, seconds = record.get(metric), record.get("seconds")
        known = isinstance(value, float) and value == value  # NaN differs from itself
        words = [str(record.get(key) or MISSING) for key in ("dataset", "objective", "core")]
        objective = " · ".join(filter(None, (words[1], record.get("alignment"))))
        state = str(record["state"])
        cells = [
            Cell(record["name"], record["name"], link=record.get("page", "")),
            Cell(words[0], words[0]),
            Cell(objective, objective),
            Cell(words[2], words[2]),
            Cell(str(record.get("seed", MISSING)), str(record.get("seed", ""))),
            Cell(state, state, small=str(record.get("reason") or "")),
            Cell(number(value) if known else MISSING, _value(value) if known else ""),
            Cell(f"{seconds:.0f}" if seconds else MISSING, _value(seconds) if seconds else ""),
        ]
        problems = tuple(record["problems"]) + tuple(record["warnings"])
        lines.append(Line(cells, str(record.get("family") or "unknown"), problems))
    return Table("Runs", heads, lines)


def run_facts(run: Run) -> dict[str, Any]:
    """What the page of a run says: configuration, provenance, state, numbers with intervals."""
    environment = run.path / "environment.json"
    evaluation = read_json(run.evaluation) if run.evaluation.is_file() else {}
    metrics = evaluation.get("metrics", {})
    return {
        "config": _flat(read_json(run.config_file)),
        "status": _flat(run.status()),
        "environment": _flat(read_json(environment)) if environment.is_file() else [],
        "metrics": [
            (key, number(cell["value"]), _interval(cell), f"{cell['n']:,}", cell["version"])
            for key, cell in sorted(metrics.items())
        ],
        "health": [
            (key, number(cell["value"]))
            for key, cell in metrics.items()
            if key.startswith("health/")
        ],
        "judged": {
            key: value
            for key, value in evaluation.items()
            if key in ("split", "images", "objects", "resolution", "slots")
        },
        "skipped": evaluation.get("skipped", {}),
    }


def _interval(cell: Mapping[str, Any]) -> str:
    if cell.get("low") is None or cell.get("high") is None:
        return ""
    return f"[{number(cell['low'])}, {number(cell['high'])}]"


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
    """(step, loss) of ``metrics.jsonl``, thinned to :data:`MOST_POINTS`; empty where there is none.

    Lines that are not whole are passed over: a run may be writing.
    """
    file = run.path / "metrics.jsonl"
    points: list[tuple[float, float]] = []
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return points
    for line in lines:
        try:
            found = json.loads(line)
            points.append((float(found["step"]), float(found["loss"])))
        except (ValueError, KeyError, TypeError):
            continue
    step = max(1, -(-len(points) // MOST_POINTS))
    return points[::step]


def directory(results_dir: Path, name: str) -> Run | None:
    """The run of a record; None where there is no directory of that name."""
    run = Run(results_dir / name)
    return run if run.config_file.is_file() else None
