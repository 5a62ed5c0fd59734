"""What ``slotbench leaderboard`` shows: filters, the comparison, and every format of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.errors import UserError
from slotbench.leaderboard import scaling, tables
from slotbench.leaderboard.comparisons import Family, Paired, comparisons, families
from slotbench.leaderboard.documents import comparison_document, family_document, row_document
from slotbench.leaderboard.filters import choose, select
from slotbench.leaderboard.grouping import Row, rows
from slotbench.leaderboard.runs import collect, metric_keys
from slotbench.leaderboard.wording import DEFAULT_METRICS

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Board:
    """The leaderboard after its filters."""

    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    """The metrics asked for, or every one that there is."""
    shown: tuple[str, ...]
    """The same for tables that people read: without a wish, a handful that fits the page."""
    comparisons: tuple[Paired, ...]
    families: tuple[Family, ...]
    warnings: tuple[str, ...]
    """What was left out, and why."""
    scale: str = ""
    """How numbers were scaled; "" where they are raw."""

    def to_json(self) -> dict[str, Any]:
        """The document of ``leaderboard --json``: JSON types only, None for what is missing."""
        return {
            "schema": SCHEMA_VERSION,
            "rows": [
                row_document(row, members, self.metrics)
                for _, members in tables.groups(self.rows)
                for row in members
            ],
            "comparisons": [comparison_document(pair) for pair in self.comparisons],
            "families": [family_document(family) for family in self.families],
            "warnings": list(self.warnings),
            **({"scale": self.scale} if self.scale else {}),
        }

    def to_csv(self) -> str:
        """Long form: a line for each row and metric."""
        return tables.to_csv(self.rows, self.metrics)

    def to_markdown(self) -> str:
        return tables.to_markdown(
            self.rows, self.shown, self.comparisons, self.families, self.warnings, self.scale
        )

    def to_latex(self) -> str:
        """Tables for booktabs, a ``table`` a dataset."""
        return tables.to_latex(self.rows, self.shown, self.scale)

    def render(self, console: "Console") -> None:
        """Print the tables and the comparison; made for 120 columns, whole at any width."""
        from slotbench.leaderboard import terminal

        terminal.render(
            console, self.rows, self.shown, self.comparisons, self.families, self.warnings,
            self.scale,
        )  # fmt: skip


def leaderboard(
    results_dir: Path,
    *,
    dataset: str | None = None,
    metrics: Sequence[str] = (),
    core: str | None = None,
    family: str | None = None,
    scale: bool = False,
) -> Board:
    """Read every run and entry below ``results_dir`` and compare.

    ``dataset`` is a name, ``name:variant`` or a prepared .h5 file; ``metrics`` are keys, their
    first parts (``properties/linear``) or ``all``. Filters choose what is shown and change no
    number: intervals, versions and Holm's correction come from all runs. With ``scale``, numbers
    stand between floor and ceiling (:mod:`slotbench.leaderboard.scaling`); comparisons stay raw.

    Raises :class:`UserError` where there is nothing to show, and for a dataset, metric, core or
    family that no row has, with the nearest that one has.
    """
    frame = collect(results_dir)
    everything = rows(frame)
    if not everything:
        raise _empty(frame, results_dir)
    paired = comparisons(everything)
    shown = select(everything, dataset, core, family)
    present = [key for key in metric_keys(frame) if any(key in row.metrics for row in shown)]
    wanted = choose(metrics, present)
    in_table = wanted if metrics else list(DEFAULT_METRICS)
    relevant = [pair for pair in paired if pair.row in shown or pair.baseline in shown]
    if scale:
        # Neutral numbers and what no table shows get no notes; JSON and CSV hold all of them.
        shown = scaling.scaled(shown, everything, wanted, in_table)
    return Board(
        tuple(shown),
        tuple(wanted),
        tuple(in_table),
        tuple(relevant),
        tuple(families(relevant)) if relevant else (),
        tuple(_warnings(frame, {row.group.dataset for row in shown})),
        scaling.NOTE if scale else "",
    )


def _empty(frame: "pd.DataFrame", results_dir: Path) -> UserError:
    advice = "Type: slotbench train --objective simclr"
    states = _states(frame, {"done", "new", "running", "interrupted", "unreadable", "duplicate"})
    if not states:
        return UserError(f"No results in {results_dir}: it holds no run.", advice)
    reasons = " ".join(_warnings(frame, set(frame["dataset"])))
    return UserError(f"No run in {results_dir} can be shown ({states}). {reasons}", advice)


def _states(frame: "pd.DataFrame", wanted: set[str]) -> str:
    counts = Counter(state for state in frame["state"] if state in wanted)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _warnings(frame: "pd.DataFrame", datasets: set[str]) -> list[str]:
    """One line for each problem of a run of these datasets, or of one that cannot be read."""
    lines = [
        f"{record['run']}: {problem}"
        for record in frame.to_dict("records")
        if record["dataset"] is None or record["dataset"] in datasets
        for problem in record["problems"]
    ]
    unfinished = _states(frame[frame["dataset"].isin(datasets)], {"new", "running", "interrupted"})
    return lines + ([f"Not finished, so not counted: {unfinished}."] if unfinished else [])
