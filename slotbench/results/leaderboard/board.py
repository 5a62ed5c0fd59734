"""What ``slotbench leaderboard`` shows: filters, the comparison, and every format of it."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.errors import UserError
from slotbench.results.leaderboard import rank_tables, scaling, tables
from slotbench.results.leaderboard.collect import find, metric_keys
from slotbench.results.leaderboard.comparisons import Family, Paired, comparisons, families
from slotbench.results.leaderboard.documents import (
    comparison_document,
    family_document,
    overall_document,
    row_document,
    standing_document,
    verdict_document,
)
from slotbench.results.leaderboard.filters import choose, select
from slotbench.results.leaderboard.grouping import Row, rows
from slotbench.results.leaderboard.index import Index
from slotbench.results.leaderboard.ranks import Overall, Standing, overall, standings
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.verdict import Verdict, verdict
from slotbench.results.leaderboard.wording import DEFAULT_METRICS

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
_MANY = 200
_ALIKE = 3
"""Runs with one problem that a table names one by one."""


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
    verdict: Verdict
    """The answer, for the comparisons that are shown."""
    warnings: tuple[str, ...]
    """What was left out, and why."""
    index: Index
    """What was read; ``index.save()`` makes the next time quicker."""
    running: tuple[str, ...]
    """One line for each run that is being trained now."""
    raw: tuple[Row, ...]
    """The rows as they are without a scale: ranks and comparisons are of these."""
    scale: str = ""
    """How numbers were scaled; "" where they are raw."""
    with_ranks: bool = False
    """Whether tables that people read show ranks too."""

    def standings(self) -> list[Standing]:
        """Places on the metrics shown, by dataset and metric."""
        return [
            standing
            for _, members in tables.groups(self.raw)
            for metric in self.shown
            if any(metric in row.metrics for row in members)
            for standing in standings(members, metric)
        ]

    def overall(self) -> list[Overall]:
        """Ranks over all datasets on the metrics shown; empty where there is one dataset."""
        groups = [members for _, members in tables.groups(self.raw)]
        if len(groups) < 2:
            return []
        return [place for metric in self.shown for place in overall(groups, metric)]

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
            "verdict": verdict_document(self.verdict),
            "ranks": [standing_document(standing) for standing in self.standings()],
            "overall": [overall_document(place) for place in self.overall()],
            "warnings": list(self.warnings),
            **({"scale": self.scale} if self.scale else {}),
        }

    def to_json_text(self) -> str:
        """:meth:`to_json` as text; without indentation where that would take seconds."""
        indent = 2 if len(self.rows) < _MANY else None
        return json.dumps(self.to_json(), indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """Long form: a line for each row and metric."""
        return tables.to_csv(self.rows, self.metrics)

    def to_markdown(self) -> str:
        text = tables.to_markdown(
            self.rows,
            self.shown,
            self.comparisons,
            self.verdict,
            summed_up(self.warnings),
            self.scale,
        )
        return text + (f"\n{rank_tables.to_markdown(self)}" if self.with_ranks else "")

    def to_latex(self) -> str:
        """Tables for booktabs, a ``table`` a dataset."""
        return tables.to_latex(self.rows, self.shown, self.scale)

    def render(self, console: "Console") -> None:
        """Print the tables and the comparison; made for 120 columns, whole at any width."""
        from slotbench.results.leaderboard import terminal

        terminal.render(
            console,
            self.rows,
            self.shown,
            self.comparisons,
            self.verdict,
            summed_up(self.warnings),
            self.scale,
        )
        if self.with_ranks:
            rank_tables.render(console, self)


def leaderboard(
    results_dir: Path,
    *,
    dataset: str | None = None,
    metrics: Sequence[str] = (),
    core: str | None = None,
    family: str | None = None,
    scale: bool = False,
    ranks: bool = False,
    index: Index | None = None,
    keep: Callable[[Row], bool] | None = None,
) -> Board:
    """Read every run and entry below ``results_dir`` and compare.

    ``dataset`` is a name, ``name:variant`` or a prepared .h5 file; ``metrics`` are keys, their
    first parts (``properties/linear``) or ``all``. Filters choose what is shown and change no
    number: intervals, versions and Holm's correction come from all runs. With ``scale``, numbers
    stand between floor and ceiling (:mod:`slotbench.results.leaderboard.scaling`); comparisons and
    ``ranks`` stay raw. ``index`` is what was read before; without one, the folder's file is used.
    ``keep`` is one more filter of rows.

    Raises :class:`UserError` where there is nothing to show, and for a dataset, metric, core or
    family that no row has, with the nearest that one has.
    """
    index = index or Index(results_dir)
    found = find(results_dir, index)
    everything = rows(found, index.memo)
    if not everything:
        raise _empty(found, results_dir)
    paired = comparisons(everything, index.memo)
    shown = raw = select(everything, dataset, core, family, keep)
    present = [key for key in metric_keys(found) if any(key in row.metrics for row in shown)]
    wanted = choose(metrics, present)
    in_table = wanted if metrics else list(DEFAULT_METRICS)
    chosen = set(map(id, shown))
    relevant = [pair for pair in paired if chosen & {id(pair.row), id(pair.baseline)}]
    together = families(relevant, index.memo) if relevant else []
    if scale:
        # Neutral numbers and what no table shows get no notes; JSON and CSV hold all of them.
        shown = scaling.scaled(shown, everything, wanted, in_table)
    return Board(
        rows=tuple(shown),
        metrics=tuple(wanted),
        shown=tuple(in_table),
        comparisons=tuple(relevant),
        families=tuple(together),
        verdict=verdict(relevant, together, index.memo),
        warnings=tuple(_warnings(found, {row.group.dataset for row in shown})),
        index=index,
        running=tuple(_running(found)),
        raw=tuple(raw),
        scale=scaling.NOTE if scale else "",
        with_ranks=ranks,
    )


def _empty(found: Sequence[Found], results_dir: Path) -> UserError:
    advice = "Type: slotbench train --objective simclr"
    states = _states(found, {"done", "new", "running", "interrupted", "unreadable", "duplicate"})
    if not states:
        return UserError(f"No results in {results_dir}: it holds no run.", advice)
    reasons = " ".join(summed_up(_warnings(found, None)))
    return UserError(f"No run in {results_dir} can be shown ({states}). {reasons}", advice)


def _states(found: Sequence[Found], wanted: set[str]) -> str:
    counts = Counter(run["state"] for run in found if run["state"] in wanted)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _running(found: Sequence[Found]) -> list[str]:
    lines = []
    for run in (run for run in found if run["state"] == "running"):
        alignment = f" · {run['alignment']}" if run["alignment"] else ""
        what = f"{run['dataset']}, {run['core']} + {run['objective']}{alignment}"
        done = f"step {run['step'] or 0:,.0f} of {run['steps'] or 0:,.0f}"
        lines.append(f"Running: {what}, seed {run['seed']}: {done}.")
    return lines


def _warnings(found: Sequence[Found], datasets: set[str] | None) -> list[str]:
    """One line for each problem of a run of these datasets, or of one that cannot be read."""
    concerned = [
        run
        for run in found
        if datasets is None or run.get("dataset") is None or run["dataset"] in datasets
    ]
    lines = [f"{run['run']}: {problem}" for run in concerned for problem in run["problems"]]
    unfinished = _states(
        [run for run in concerned if run.get("dataset")], {"new", "running", "interrupted"}
    )
    return lines + ([f"Not finished, so not counted: {unfinished}."] if unfinished else [])


def summed_up(warnings: Sequence[str]) -> list[str]:
    """For people: the first few of many runs with one problem, and how many more there are."""
    alike: dict[str, list[str]] = defaultdict(list)
    for text in warnings:
        # What to type names the run, and so differs from run to run.
        problem = text.partition(": ")[2].partition(" Type: ")[0]
        alike[problem or text].append(text)
    lines = []
    for problem, texts in alike.items():
        lines += texts[:_ALIKE] if len(texts) > _ALIKE + 1 else texts
        if len(texts) > _ALIKE + 1:
            lines.append(f"and {len(texts) - _ALIKE:,} more runs: {problem}")
    return lines
