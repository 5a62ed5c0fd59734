"""Rows as tables, as Markdown and LaTeX, and as the entries of JSON and CSV."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slotbench.grid import Cell as Cell
from slotbench.grid import Table as Table
from slotbench.results.leaderboard import wording
from slotbench.results.leaderboard.comparisons import OURS, THEIRS, Family, Paired
from slotbench.results.leaderboard.grouping import COSTS, Row, by_group
from slotbench.results.leaderboard.statistics import EMPTY
from slotbench.results.leaderboard.wording import MISSING, fewer, interval, number

if TYPE_CHECKING:
    import pandas as pd

NOTE = (
    "Mean over seeds, its 95 % interval (Student's t below ten seeds, bootstrap from ten), "
    f"inter-quartile mean (IQM) from five seeds; {MISSING}: missing."
)
_MARKDOWN = re.compile(r"[\\|<>*`]|\[(?![-+.\d])")
"""Characters with a meaning of their own; intervals keep their bracket."""
_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "—": "---",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "\n": " ",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that spreadsheets run."""


def row_tables(rows: Sequence[Row], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard, a table a dataset."""
    groups = by_group(rows)
    named = wording.titles([group for group, _ in groups])
    return [row_table(named[group], members, metrics) for group, members in groups]


def row_table(title: str, rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """All columns of the leaderboard, for rows that share their data."""
    wanted = wording.columns(rows, metrics)
    marked = {metric: wording.best(rows, metric) for metric in wanted}
    counted = any(row.cost.flops is not None for row in rows)
    costs = [wording.cost_words(row.cost, with_flops=counted) for row in rows]
    cells = [
        [
            *map(Cell, (row.name, row.core, row.family)),
            Cell(row.preset, (f"({row.settings})",) if row.settings else ()),
            Cell(row.tuned or MISSING),
            Cell(str(len(row.seeds)), (f"({row.published} published)",) if row.published else ()),
            Cell(str(row.failed)),
            *(metric_cell(row, metric, iqm=True, best=k in marked[metric]) for metric in wanted),
            *map(Cell, costs[k].values()),
        ]
        for k, row in enumerate(rows)
    ]
    labels = ("objective", "core", "family", "preset", "tuning", "seeds", "failed")
    notes = [f"{row.label}: {text}" for row in rows for text in row.warnings]
    return Table(title, [*labels, *wanted, *costs[0]], cells, notes, 5, text_last=True)


def metric_cell(row: Row, metric: str, *, best: bool, span: bool = True, iqm: bool = False) -> Cell:
    """Mean, interval, inter-quartile mean, and the number of seeds where some lack the metric."""
    found = wording.shown(row, metric)
    middle = f"IQM {number(found.iqm)}" if iqm and found.iqm is not None else ""
    small = (interval(found) if span else "", middle, fewer(row, metric))
    return Cell(number(found.mean), tuple(filter(None, small)), best)


def markdown_text(text: str) -> str:
    """Text in which no character has a meaning for Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\g<0>", text.replace("\n", " "))


def to_markdown(table: Table) -> str:
    """A heading, the table and its notes."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"### {markdown_text(table.title)}", "", line(map(markdown_text, table.headings))]
    lines += [line("---" for _ in table.headings)]
    lines += [line(cell.words(markdown_text, "**{}**") for cell in row) for row in table.rows]
    lines += ["", *(f"- {markdown_text(note)}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n\n"


def latex_escape(text: str) -> str:
    """Text in which no character has a meaning of its own for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(table: Table, note: str) -> str:
    r"""A ``table`` for ``\usepackage{booktabs}``."""
    import pandas as pd

    frame = pd.DataFrame(
        [[cell.words(latex_escape, r"\textbf{{{}}}") for cell in row] for row in table.rows],
        columns=list(map(latex_escape, table.headings)),
    )
    text: str = frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        caption=latex_escape(f"{table.title}. {note}"),
        column_format="".join("rl"[table.left(k)] for k in range(len(table.headings))),
    )
    return text


def cell_text(value: Any) -> Any:
    """A value of a CSV file; text that a spreadsheet would run gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def identity(row: Row) -> dict[str, Any]:
    """The fields that identify a row."""
    names = ("core", "objective", "alignment", "preset", "settings")
    return {**vars(row.group), **{name: getattr(row, name) for name in names}}


def _counts(row: Row) -> dict[str, Any]:
    """Its family and how many of its seeds count."""
    counts = {"seeds": len(row.seeds), "failed": row.failed, "published": row.published}
    return {"family": row.family, "external": row.external, **counts}


def row_document(row: Row, members: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """A row, with every metric of ``members``, the rows of its dataset; null where missing."""
    cells = {
        key: vars(row.metrics.get(key, EMPTY))
        | ({"scaled": row.scales[key]} if key in row.scales else {})
        for key in metrics
        if any(key in member.metrics or key in member.scales for member in members)
    }
    # FLOPs are there where they were counted.
    known = {key: of for key, of in vars(row.cost).items() if key != "flops" or of is not None}
    return {
        **identity(row),
        **_counts(row),
        "tuning": row.config.get("tuning"),
        "seed_list": row.seeds,
        "metrics": cells,
        "cost": known,
        "warnings": row.warnings,
    }


def pair_document(pair: Paired) -> dict[str, Any]:
    """One self-supervised row against a reconstruction row, on one metric."""
    against, result = pair.baseline, asdict(pair.result)
    del result["spread"]
    found = {
        **identity(pair.row),
        "budget": pair.row.budget,
        "against": against.objective,
        **{f"against_{name}": getattr(against, name) for name in ("core", "preset", "settings")},
        "metric": pair.metric,
        "seeds": pair.seeds,
        **result,
        "p_corrected": pair.corrected,
        "verdict": pair.verdict,
    }
    if isinstance(pair, Family):
        found |= {
            "families": [OURS, THEIRS],
            "candidates": pair.candidates,
            "chosen_on": "tuning seeds" if pair.tuned else "the same seeds",
            "seeds_needed": pair.need,
        }
    return found


def long_form(rows: Sequence[Row], metrics: Sequence[str]) -> "pd.DataFrame":
    """A line for each row and metric, full precision; missing values are None.

    A row without any of its dataset's metrics (all its runs failed) has one line without metric.
    """
    import pandas as pd

    lines = []
    for _, members in by_group(rows):
        present = [metric for metric in metrics if any(metric in row.metrics for row in members)]
        for row in members:
            tuning = row.config.get("tuning") or {}
            names = {**identity(row), **_counts(row)}
            names |= {f"tuning_{name}": tuning.get(name) for name in ("trials", "steps")}
            rest = {name: getattr(row.cost, name) for name in COSTS}
            rest["warnings"] = "; ".join(row.warnings)
            for metric in present or [""]:
                cell = vars(row.metrics.get(metric, EMPTY))
                lines.append({**names, "metric": metric, **cell, **rest})
    return pd.DataFrame(lines, dtype=object)
