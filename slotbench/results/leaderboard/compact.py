"""The leaderboard for a terminal: the order of its rows, and a table with one line a row."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from slotbench.evaluation.groups import direction
from slotbench.grid import Cell, Table
from slotbench.results.leaderboard import wording
from slotbench.results.leaderboard.board import Board
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.formats import metric_cell
from slotbench.results.leaderboard.grouping import Group, Row, by_group, settled
from slotbench.results.leaderboard.records import TRANSFER
from slotbench.results.leaderboard.wording import MISSING

SHORT = {
    PRIMARY: "FG-ARI",
    "ari/attention": "ARI",
    "miou/attention": "mIoU",
    "properties/linear/mask/mean": "props",
    "linear_probe/slots/map": "probe",
}
"""Metrics shown by default -> headings. Of the last two, only one is shown."""
UNLESS = " unless said"


def in_order(board: Board) -> list[Row]:
    """Own rows first; then the rows of the verdict, the best of each control, and the others."""
    first = {row.key for family in board.families for row in (family.row, family.baseline)}
    placed = []
    for _, members in by_group(board.rows):
        controls = set[str]()
        for place, row in enumerate(ranked(members, board)):
            control = row.family == "control" and row.objective not in controls
            controls |= {row.objective} if control else set()
            turn = 0 if row.key in first else 1 if control else 2
            placed.append((published(row), turn, place, row))
    return [row for *_, row in sorted(placed, key=lambda each: each[:3])]


def of_own_datasets(rows: Sequence[Row]) -> list[Row]:
    """The rows of datasets with own rows; if there is none, of the most :func:`settled` one."""
    own = {row.group for row in rows if not published(row)}
    groups = defaultdict[Group, list[Row]](list)
    for row in rows:
        groups[row.group].append(row)
    chosen = own or {max(groups, key=lambda group: settled(groups[group]))}
    return [row for row in rows if row.group in chosen]


def ranked(rows: Sequence[Row], board: Board) -> list[Row]:
    """Own rows, then published ones, each best first on the primary or the first shown measure."""
    metric = PRIMARY if PRIMARY in board.shown or not board.asked else board.shown[0]
    sign = 1 if board.scale else direction(metric) or 1

    def place(row: Row) -> tuple[bool, float]:
        mean = row.metrics[metric].mean if metric in row.metrics else None
        return published(row), float("inf") if mean is None else -sign * mean

    return sorted(rows, key=place)


def published(row: Row) -> bool:
    """Whether all seeds of the row are published results."""
    return bool(row.seeds) and not row.own


def compact_metrics(rows: Sequence[Row], board: Board) -> list[str]:
    """The metrics of :data:`SHORT` that rows have; of the last two, the more frequent one."""
    count = {key: sum(key in row.metrics for row in rows) for key in SHORT}
    *masks, properties, probe = SHORT
    last = probe if count[probe] > count[properties] else properties
    return [key for key in (*masks, last) if count[key]] or wording.columns(rows, board.shown)


def compact_table(title: str, rows: Sequence[Row], metrics: Sequence[str], *, spans: bool) -> Table:
    """One line for each row. The settings that all trained rows share stand in the title.

    ``spans`` shows the interval of every metric, not only of the primary one.
    """
    shared = _shared(rows)
    cells = [[Cell(_name(row, shared)), Cell(_seeds(row))] for row in rows]
    for metric in metrics:
        span, winners = spans or metric == PRIMARY, wording.best(rows, metric)
        for k, row in enumerate(rows):
            cells[k].append(metric_cell(row, metric, best=k in winners, span=span))
    for line, row in zip(cells, rows, strict=True):
        seconds = row.cost.seconds
        line.append(Cell(MISSING if seconds is None else f"{seconds / 60:,.1f}"))
    heads = ["objective", "seeds", *(SHORT.get(metric, metric) for metric in metrics), "min"]
    notes = [f"{row.label}: {text}" for row in rows for text in row.warnings]
    said = ", ".join(filter(None, shared.values()))
    return Table("\n".join(filter(None, (title, said))), heads, cells, notes, labels=1)


def _shared(rows: Sequence[Row]) -> dict[str, str]:
    """The settings that all trained rows share, in words, and the preset that most have."""
    made = [row for row in rows if row.preset]
    trained = [row for row in made if row.cost.steps] or made
    presets = Counter(row.preset for row in trained)
    most = min(presets, key=lambda name: (-presets[name], name), default="")
    values = {
        "core": {row.core for row in trained},
        "preset": {most + (UNLESS if len(presets) > 1 else "")},
        "settings": {row.settings for row in trained},
        "alignment": {f"{row.alignment} alignment" for row in trained if row.alignment},
        "budget": {row.budget for row in trained},
        "tuning": {f"tuned: {row.tuned}" if row.tuned else "not tuned" for row in trained},
        "device": {row.cost.device for row in trained},
    }
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def _name(row: Row, shared: dict[str, str]) -> str:
    name = row.objective if "alignment" in shared and not row.external else row.name
    if row.family == TRANSFER:  # first, since long names are cut in the middle
        name = f"{TRANSFER}: {name.removesuffix(f' ({TRANSFER})')}"
    # A line is short: fields stand without their section, and those that are true without a value.
    settings = re.sub(r"(?<![^ ])[\w-]+\.(?=\w+=)", "", row.settings)
    settings = settings.replace("=true", "")
    if not row.preset:  # nothing was trained
        return ", ".join(filter(None, (name, settings)))
    apart = {"core": row.core, "settings": settings}
    fields = [text for field, text in apart.items() if field not in shared]
    usual = shared["preset"].removesuffix(UNLESS)
    return ", ".join(filter(None, (name, *fields, row.preset if row.preset != usual else "")))


def _seeds(row: Row) -> str:
    counts = [str(row.own)] if row.own or not row.published else []
    counts += [f"{row.published}†"] if row.published else []
    return "+".join(counts) + (f", {row.failed} failed" if row.failed else "")
