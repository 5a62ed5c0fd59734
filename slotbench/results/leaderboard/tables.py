"""The leaderboard as text for other programs: CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby

from slotbench.results.leaderboard.comparisons import Paired
from slotbench.results.leaderboard.grouping import Group, Row
from slotbench.results.leaderboard.statistics import Summary
from slotbench.results.leaderboard.verdict import Verdict
from slotbench.results.leaderboard.wording import (
    MISSING,
    TEST,
    best,
    columns,
    comparison_lines,
    cost_words,
    fewer,
    interval,
    number,
    titles,
)

NOTE = (
    "Mean over seeds with its 95 % bootstrap interval; best of a column in bold; "
    f"{MISSING}: missing."
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "—": "---",
    "·": r"$\cdot$",
}
_CSV = (
    "dataset",
    "origin",
    "image_size",
    "fingerprint",
    "core",
    "objective",
    "alignment",
    "preset",
    "settings",
    "family",
    "external",
    "seeds",
    "failed",
    "published",
    "metric",
    "mean",
    "low",
    "high",
    "n",
    "iqm",
    "steps",
    "seconds",
    "images_per_second",
    "parameters",
    "flops",
    "device",
    "warnings",
)
_EMPTY = Summary(None, None, None, 0, None)


def groups(rows: Sequence[Row]) -> list[tuple[Group, list[Row]]]:
    """Rows by the data that they share; rows come sorted."""
    return [(group, list(members)) for group, members in groupby(rows, lambda row: row.group)]


def to_csv(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Long form: a line for each row and metric, full precision, empty where missing.

    A row without any of its dataset's metrics (all its runs failed) has one line without metric.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for group, members in groups(rows):
        present = [metric for metric in metrics if any(metric in row.metrics for row in members)]
        for row in members:
            for metric in present or [""]:
                cell, cost = row.metrics.get(metric, _EMPTY), row.cost
                writer.writerow(
                    (
                        group.dataset,
                        group.origin,
                        group.image_size,
                        group.fingerprint,
                        row.core,
                        row.objective,
                        row.alignment,
                        row.preset,
                        row.settings,
                        row.family,
                        row.external,
                        len(row.seeds),
                        row.failed,
                        row.published,
                        metric,
                        cell.mean,
                        cell.low,
                        cell.high,
                        cell.n,
                        cell.iqm,
                        cost.steps,
                        cost.seconds,
                        cost.images_per_second,
                        cost.parameters,
                        cost.flops,
                        cost.device,
                        "; ".join(row.warnings),
                    )
                )
    return text.getvalue()


def _headings(wanted: Sequence[str], costs: Sequence[dict[str, str]]) -> list[str]:
    return ["objective", "core", "family", "preset", "seeds", "failed", *wanted, *costs[0]]


def _costs(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The cost columns of each row; FLOPs where any of them has it."""
    counted = any(row.cost.flops is not None for row in rows)
    return [cost_words(row.cost, with_flops=counted) for row in rows]


def _labels(row: Row) -> list[str]:
    preset = f"{row.preset} ({row.settings})".strip() if row.settings else row.preset
    seeds = f"{len(row.seeds)} ({row.published} published)" if row.published else len(row.seeds)
    return [row.name, row.core, row.family, preset, str(seeds), str(row.failed)]


def to_markdown(
    rows: Sequence[Row],
    metrics: Sequence[str],
    paired: Sequence[Paired],
    answer: Verdict,
    warnings: Sequence[str],
    scale: str = "",
) -> str:
    """A table a dataset, then the comparison, then warnings."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"

    lines: list[str] = []
    named = titles([group for group, _ in groups(rows)])
    for group, members in groups(rows):
        wanted = columns(members, metrics)
        costs = _costs(members)
        headings = _headings(wanted, costs)
        lines += [f"### {named[group]}", "", line(headings), "|" + " --- |" * len(headings)]
        marked = {metric: best(members, metric) for metric in wanted}
        for index, row in enumerate(members):
            cells = []
            for metric in wanted:
                text, rest = _cell(row, metric)
                cells.append(f"**{text}**{rest}" if index in marked[metric] else text + rest)
            lines.append(line([*_labels(row), *cells, *costs[index].values()]))
        notes = [f"- {row.label}: {text}" for row in members for text in row.warnings]
        lines += ["", *notes, ""] if notes else [""]
    lines += [f"{NOTE} {scale}".strip(), "", "### Self-supervision against reconstruction", ""]
    for title, found in comparison_lines(paired):
        lines += [f"- {title}", *(f"  - {text}" for text in found)]
    lines += ["", TEST, ""] if paired else []
    lines += [answer.sentence, "", *(f"- {note}" for note in answer.notes)]
    lines += ["", "### Left out", "", *(f"- {text}" for text in warnings)] if warnings else []
    return "\n".join(lines) + "\n"


def _cell(row: Row, metric: str) -> tuple[str, str]:
    """The mean, and what stands behind it: interval and, if seeds are missing, their number."""
    summary = row.metrics.get(metric)
    if summary is None:
        return MISSING, ""
    rest = [text for text in (interval(summary), fewer(row, metric)) if text]
    return number(summary.mean), "".join(f" {text}" for text in rest)


def markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def latex_escape(text: str) -> str:
    """Text in which no character has a meaning of its own for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(rows: Sequence[Row], metrics: Sequence[str], scale: str = "") -> str:
    r"""A ``table`` for each dataset, for ``\usepackage{booktabs}``."""
    lines = [r"% Needs \usepackage{booktabs}."]
    named = titles([group for group, _ in groups(rows)])
    for group, members in groups(rows):
        wanted = columns(members, metrics)
        costs = _costs(members)
        headings = _headings(wanted, costs)
        lines += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_escape(f'{named[group]}. {NOTE} {scale}'.strip())}}}",
            rf"\begin{{tabular}}{{llll{'r' * (len(headings) - 5)}l}}",
            r"\toprule",
            " & ".join(latex_escape(text) for text in headings) + r" \\",
            r"\midrule",
        ]
        marked = {metric: best(members, metric) for metric in wanted}
        for index, row in enumerate(members):
            cells = [latex_escape(text) for text in _labels(row)]
            for metric in wanted:
                text, rest = (latex_escape(part) for part in _cell(row, metric))
                cells.append(
                    rf"\textbf{{{text}}}{rest}" if index in marked[metric] else text + rest
                )
            cells += [latex_escape(text) for text in costs[index].values()]
            lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)
