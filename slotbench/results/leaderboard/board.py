"""The leaderboard: every run, filtered and compared; as JSON, CSV, Markdown and LaTeX."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from slotbench.fields import Names
from slotbench.results.leaderboard import comparisons as pairing
from slotbench.results.leaderboard import formats, scaling
from slotbench.results.leaderboard import ranks as placing
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.comparisons import Family, Paired
from slotbench.results.leaderboard.filters import (
    choose,
    nothing_counts,
    select,
    summed_up,
    warnings,
)
from slotbench.results.leaderboard.grouping import Row, by_group, rows
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.verdict import Verdict, notes, verdict
from slotbench.results.leaderboard.wording import DEFAULT_METRICS, TEST, comparison_lines, lacking

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
COMPARED = "Self-supervision against reconstruction"
_MANY = 200


@dataclass(frozen=True)
class Board:
    """The leaderboard after its filters. Comparisons are computed when they are asked for."""

    found: tuple[Found, ...]
    """Every run, also those that do not count."""
    everything: tuple[Row, ...]
    """Every row. Comparisons and corrections use all of them."""
    raw: tuple[Row, ...]
    """The filtered rows, before scaling. Ranks use them."""
    rows: tuple[Row, ...]
    """The filtered rows with the numbers to show."""
    metrics: tuple[str, ...]
    """The metrics asked for, or all metrics of these rows."""
    shown: tuple[str, ...]
    """The metrics of tables for people: those asked for, or a few."""
    asked: bool = False
    """Whether metrics were asked for."""
    scale: str = ""
    """How numbers were scaled; "" where they are raw."""
    with_ranks: bool = False
    """Whether these tables show ranks too."""

    @cached_property
    def comparisons(self) -> tuple[Paired, ...]:
        """Self-supervision against reconstruction, row by row, if one of the rows is shown."""
        return tuple(filter(self._concerns, pairing.comparisons(self.everything)))

    def _concerns(self, pair: Paired) -> bool:
        return not self._chosen.isdisjoint((pair.row, pair.baseline))

    @cached_property
    def _chosen(self) -> frozenset[Row]:
        return frozenset(self.raw)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The best contestants of both families, on the data and budgets shown."""
        groups = {(row.group, row.budget) for row in self.raw}
        return tuple(
            each
            for each in pairing.families(self.everything)
            if (each.row.group, each.row.budget) in groups
        )

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the data and budgets shown. It needs no row-by-row comparison."""
        return verdict(self.families)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Notes on the verdict and its evidence."""
        return tuple(notes(self.comparisons, self.families))

    @property
    def lacking(self) -> str:
        """How many comparisons lack seeds; "" where none has."""
        matches = filter(self._concerns, pairing.matches(self.everything))
        return lacking([len(pair.seeds) for pair in matches])

    @cached_property
    def concerned(self) -> tuple[Found, ...]:
        """The runs whose problems are reported.

        With a filter: runs on the datasets shown, and unreadable runs.
        """
        if len(self.raw) == len(self.everything):
            return self.found
        shown = {None, *(row.group.dataset for row in self.rows)}
        return tuple(run for run in self.found if run.dataset in shown)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Excluded runs and results, with the reason."""
        return tuple(warnings(self.concerned))

    @property
    def running(self) -> tuple[str, ...]:
        """One line for each run that is being trained now."""
        return tuple(
            f"Running: {run.dataset}, {run.core} + "
            f"{' · '.join(filter(None, (run.objective, run.alignment)))}, seed {run.seed}: "
            f"step {run.status.step:,} of {run.status.steps or 0:,}."
            for run in self.found
            if run.state == "running" and run.status is not None
        )

    def rank_tables(self) -> list[formats.Table]:
        """Ranks on the metrics shown: on each dataset, then over all of them."""
        return list(placing.tables(self.raw, self.shown))

    def to_json(self) -> dict[str, Any]:
        """The document of ``leaderboard --json``: JSON types only, None for missing values."""
        document: dict[str, Any] = to_jsonable_python(
            {
                "schema": SCHEMA_VERSION,
                "rows": [
                    formats.row_document(row, members, self.metrics)
                    for _, members in by_group(self.rows)
                    for row in members
                ],
                "comparisons": list(map(formats.pair_document, self.comparisons)),
                "families": list(map(formats.pair_document, self.families)),
                "verdict": {**vars(self.verdict), "notes": self.notes},
                "ranks": [
                    {"metric": each.metric, **formats.identity(each.row)}
                    | {"rank": each.rank, "last": each.last, "reason": each.reason}
                    for each in placing.all_standings(self.raw, self.shown)
                ],
                "overall": placing.overall(self.raw, self.shown),
                "warnings": self.warnings,
                **({"scale": self.scale} if self.scale else {}),
            }
        )
        return document

    def to_json_text(self) -> str:
        """:meth:`to_json` as text; without indentation for many rows, which would take seconds."""
        indent = 2 if len(self.rows) < _MANY else None
        return json.dumps(self.to_json(), indent=indent, allow_nan=False)

    def to_frame(self) -> "pd.DataFrame":
        """A line for each row and metric asked for, full precision, None where missing.

        Columns: what identifies the row (dataset, core, objective, ...), its family and counts,
        the budget of its tuning, metric, mean, low, high, n, iqm, the parts of the cost, warnings.
        """
        return formats.long_form(self.rows, self.metrics).infer_objects()

    def to_csv(self) -> str:
        """:meth:`to_frame` as CSV, safe to open in a spreadsheet."""
        frame = formats.long_form(self.rows, self.metrics).map(formats.cell_text)
        text: str = frame.to_csv(index=False, lineterminator="\n")
        return text

    def to_markdown(self) -> str:
        """A table for each dataset, then the comparisons and the excluded runs."""
        text = formats.markdown_text
        lines = [*map(formats.to_markdown, formats.row_tables(self.rows, self.shown))]
        lines += [f"{formats.NOTE} {self.scale}".strip(), "", f"### {COMPARED}", ""]
        for title, found in comparison_lines(self.comparisons):
            lines += [f"- {text(title)}", *(f"  - {text(line)}" for line in found)]
        lines += ["", TEST, ""] if self.comparisons else []
        lines += [text(self.verdict.sentence), ""]
        lines += [f"- {text(note)}" for note in self.notes]
        if self.warnings:
            lines += ["", "### Left out", ""]
            lines += [f"- {text(line)}" for line in summed_up(self.warnings)]
        if self.with_ranks:
            lines += ["", *map(formats.to_markdown, self.rank_tables()), placing.NOTE]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        r"""Tables for ``\usepackage{booktabs}``, one for each dataset."""
        note = f"{formats.NOTE} {self.scale}".strip()
        tables = formats.row_tables(self.rows, self.shown)
        found = [formats.to_latex(table, note) for table in tables]
        return "\n".join([r"% Needs \usepackage{booktabs}.", *found])


def leaderboard(
    results_dir: Path,
    *,
    dataset: str | Path | None = None,
    metrics: Names = (),
    core: str | None = None,
    family: str | None = None,
    scale: bool = False,
    ranks: bool = False,
    keep: Callable[[Row], bool] | None = None,
    found: Sequence[Found] | None = None,
) -> Board:
    """Read every run and entry below ``results_dir`` and compare.

    ``dataset`` is a name, ``name:variant`` or a prepared .h5 file. ``metrics`` are keys, their
    first parts (``properties/linear``) or ``all``, also with commas between. Filters, ``keep``
    among them, change no number. ``scale`` shows numbers between floor and ceiling
    (:mod:`slotbench.results.leaderboard.scaling`), except in comparisons and ranks. ``found`` are
    the runs, if they have been read already (:func:`find`).

    :class:`UserError` if there is nothing to show. For a dataset, metric, core or family that no
    row has, it gives the nearest name.
    """
    found = find(results_dir) if found is None else found
    everything = rows(found)
    if not everything:
        raise nothing_counts(found, f"in {results_dir}")
    shown = raw = select(everything, found, dataset, core, family, keep)
    wanted = choose(metrics, sorted({key for row in shown for key in row.metrics}))
    in_table = wanted if metrics else list(DEFAULT_METRICS)
    if scale:
        # Neutral numbers and what no table shows get no notes; JSON and CSV hold all of them.
        shown = scaling.scaled(shown, everything, wanted, in_table)
    return Board(
        found=tuple(found),
        everything=tuple(everything),
        raw=tuple(raw),
        rows=tuple(shown),
        metrics=tuple(wanted),
        shown=tuple(in_table),
        asked=bool(metrics),
        scale=scaling.NOTE if scale else "",
        with_ranks=ranks,
    )
