"""A page about a suite: its question, its runs, and the effects of its axes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench import registry
from slotbench.errors import UserError
from slotbench.fields import text_of
from slotbench.results.leaderboard.comparisons import METRICS
from slotbench.results.leaderboard.factors import Contrast, Observation, answer, contrasts
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.verdict import plain
from slotbench.suites.document import Suite, read

QUESTION = "Does a slot-based model need reconstruction, or can self-supervision train it?"
"""The project's question; a suite has its own."""
_NOT_AXES = ("seed", "dataset")
Cells = Mapping[str, Mapping[str, Any]]
"""Run -> its values of the suite's axes."""


@dataclass(frozen=True)
class Study:
    """The question of a page."""

    question: str
    name: str = ""
    """The suite's name; "" where the page is about all results."""
    answer: str = ""
    """The effects of the suite's axes; "" where the families are compared instead."""
    contrasts: tuple[Contrast, ...] = ()
    notes: tuple[str, ...] = ()
    runs: frozenset[str] | None = None
    """Names of the suite's runs that exist; None: the page is about every run."""


def study(
    runs: Sequence[Found],
    data_dir: Path,
    results_dir: Path,
    device: str,
    suite: str | None,
    question: str | None,
) -> Study:
    """The question about these runs.

    ``suite`` is a file or a name. Without it the page is about the only suite that was run here, or
    else about all results. :class:`UserError` for an unknown suite.
    """
    asked, name = question or QUESTION, ""
    try:
        files = sorted((results_dir / "suites").glob("*/suite.toml"))
        chosen = read(files[0]) if len(files) == 1 and not suite else None
        if chosen is None and not suite:
            return Study(asked)
        # These need torch, which a page without a suite does not.
        from slotbench.suites.commands import Where, find, planned

        chosen = chosen or find(str(suite), results_dir)
        asked, name = question or chosen.question, chosen.name
        plan = planned(chosen, Where(data_dir, results_dir, device))
    except UserError as error:
        if suite:
            raise
        note = f"The suite that was run here cannot be laid out: {error}"
        return Study(asked, name, notes=(note,))
    root = results_dir.absolute()
    cells = {cell.run.path.relative_to(root).as_posix(): cell.values for cell in plan.cells}
    known = {run.run: run for run in runs if run.run in cells}
    notes = [_progress(cells, known)] if cells else []
    if plan.unprepared:
        missing = ", ".join(plan.unprepared)
        notes.append(f"Not prepared here, so its runs are not part of this page: {missing}.")
    if not known:
        return Study(asked, name, notes=tuple(notes))
    found = contrasts(*_observations(chosen, cells, known))
    told = "" if _of_families(chosen) else answer(found)
    return Study(asked, name, told, tuple(found), tuple(notes), frozenset(known))


def _progress(cells: Cells, known: Mapping[str, Found]) -> str:
    """``12 of 15 runs of the suite count; 2 failed, 1 missing.``"""

    def state(name: str) -> str:
        if name not in known:
            return "missing"
        run = known[name]
        return "" if run.counts else "not evaluated" if run.state == "done" else run.state

    states = Counter(map(state, cells))
    gaps = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if state)
    text = f"{states['']} of {len(cells)} runs of the suite count"
    return f"{text}; {gaps}." if gaps else f"{text}."


def _of_families(suite: Suite) -> bool:
    """Whether the suite compares the families alone, and has objectives of both."""
    known = registry.entries("objectives")
    names = [str(name) for name in suite.axes.get("objective", ())]
    families = {known[name].family for name in names if name in known}
    axes = {key for key in suite.axes if key not in _NOT_AXES}
    both = {"reconstruction", "self-supervised"} <= families
    return both and axes == {"objective"} and not suite.prepare.get("shifts")


def _observations(
    suite: Suite, cells: Cells, known: Mapping[str, Found]
) -> tuple[list[Observation], list[str]]:
    """The suite's runs that count, and the metrics on which its axes are compared."""
    shifted = bool(suite.prepare.get("shifts"))
    names = {
        metric: f"change of {plain(metric)} under shifts" if shifted else metric
        for metric in METRICS
    }
    found = []
    for name, levels in cells.items():
        run = known.get(name)
        if run is None or not run.counts or run.seed is None:
            continue
        read = {
            metric: _under_shifts(run, metric) if shifted else run.values.get(metric)
            for metric in METRICS
        }
        values = {names[metric]: value for metric, value in read.items() if value is not None}
        texts = {key: text_of(value) for key, value in levels.items() if key not in _NOT_AXES}
        found.append(Observation(run.data, run.seed, texts, values))
    present = [name for name in names.values() if any(name in each.values for each in found)]
    return found, present


def _under_shifts(run: Found, metric: str) -> float | None:
    """Mean over the shifts of the value on shifted images minus that on the test images."""
    plain_value = run.values.get(metric)
    shifted = [
        value
        for key, value in run.values.items()
        if key.startswith("shifts/") and key.endswith(f"/all/{metric}") and value is not None
    ]
    if not shifted or plain_value is None:
        return None
    return sum(shifted) / len(shifted) - plain_value
