"""The suite that a page is about: its question, which runs are its own, and what its axes do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench import registry
from slotbench.errors import UserError
from slotbench.results.leaderboard.comparisons import METRICS
from slotbench.results.leaderboard.factors import Contrast, Observation, answer, contrasts
from slotbench.results.leaderboard.verdict import plain
from slotbench.suites.commands import Where, find, planned
from slotbench.suites.document import Suite, read
from slotbench.suites.plan import Plan, text_of

QUESTION = "Does a slot-based model need reconstruction, or can self-supervision train it?"
"""Of the project; a suite has its own."""
_NOT_AXES = ("seed", "dataset")
Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Study:
    """What a page is asked."""

    question: str
    name: str = ""
    """Of the suite; "" where the page is of all results."""
    answer: str = ""
    """What the suite's axes do; "" where the comparison of the families is the answer."""
    contrasts: tuple[Contrast, ...] = ()
    notes: tuple[str, ...] = ()
    runs: frozenset[str] | None = None
    """Names of the suite's runs that are there; None: every run belongs to the page."""


def study(
    records: Sequence[Mapping[str, Any]], where: Where, suite: str | None, question: str | None
) -> Study:
    """What to ask of ``records``, the rows of :func:`slotbench.results.leaderboard.collect`.

    ``suite`` is a file or a name; without one, the page is of the suite that was run here if
    there was one only, and else of all results. :class:`UserError` for a suite that is not known.
    """
    chosen = find(suite, where.results_dir) if suite else _only(where.results_dir)
    if chosen is None:
        return Study(question or QUESTION)
    known = {str(record["run"]): record for record in records}
    try:
        plan = planned(chosen, where)
    except UserError as error:
        if suite:
            raise
        note = f"The suite {chosen.name} cannot be laid out here: {error}"
        return Study(question or chosen.question, chosen.name, notes=(note,))
    cells = _cells(plan, where.results_dir)
    notes = [_progress(cells, known)] if cells else []
    if plan.unprepared:
        missing = ", ".join(plan.unprepared)
        notes.append(f"Not prepared here, so its runs are not part of this page: {missing}.")
    if not cells.keys() & known.keys():
        return Study(question or chosen.question, chosen.name, notes=tuple(notes))
    found = contrasts(*_observations(chosen, cells, known))
    return Study(
        question or chosen.question,
        chosen.name,
        "" if _of_families(chosen) else answer(found),
        tuple(found),
        tuple(notes),
        frozenset(cells.keys() & known.keys()),
    )


def _only(results_dir: Path) -> Suite | None:
    files = sorted((results_dir / "suites").glob("*/suite.toml"))
    return read(files[0]) if len(files) == 1 else None


def _cells(plan: Plan, results_dir: Path) -> dict[str, Mapping[str, Any]]:
    """Run -> what the axes say of it."""
    root = results_dir.absolute()
    return {cell.run.path.relative_to(root).as_posix(): cell.values for cell in plan.cells}


def _progress(cells: Mapping[str, Any], known: Records) -> str:
    """``12 of 15 runs of the suite count; 2 failed, 1 missing.``: no gap in silence."""
    states = Counter(
        "missing"
        if name not in known
        else ""
        if known[name]["counts"]
        else "not evaluated"
        if known[name]["state"] == "done"
        else str(known[name]["state"])
        for name in cells
    )
    gaps = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if state)
    text = f"{states['']} of {len(cells)} runs of the suite count"
    return f"{text}; {gaps}." if gaps else f"{text}."


def _of_families(suite: Suite) -> bool:
    """Whether its objectives are of both families and its question is theirs."""
    known = registry.entries("objectives")
    names = [str(name) for name in suite.axes.get("objective", ())]
    families = {known[name].family for name in names if name in known}
    axes = {key for key in suite.axes if key not in _NOT_AXES}
    both = {"reconstruction", "self-supervised"} <= families
    return both and axes == {"objective"} and not _shifted(suite)


def _shifted(suite: Suite) -> bool:
    return bool(suite.prepare.get("shifts"))


def _observations(
    suite: Suite, cells: Mapping[str, Mapping[str, Any]], known: Records
) -> tuple[list[Observation], list[str]]:
    """The suite's runs that count, and the metrics that its axes are compared on."""
    found = []
    for name, levels in cells.items():
        record = known.get(name)
        if record is None or not record["counts"]:
            continue
        values = {metric: float(record[metric]) for metric in METRICS if _has(record, metric)}
        if _shifted(suite):
            values = {
                _kept(metric): lost
                for metric in METRICS
                if (lost := _under_shifts(record, metric)) is not None
            }
        texts = {key: text_of(value) for key, value in levels.items() if key not in _NOT_AXES}
        found.append(Observation(str(record["fingerprint"]), int(record["seed"]), texts, values))
    metrics = [_kept(metric) for metric in METRICS] if _shifted(suite) else list(METRICS)
    return found, [metric for metric in metrics if any(metric in each.values for each in found)]


def _has(record: Mapping[str, Any], metric: str) -> bool:
    value = record.get(metric)
    return isinstance(value, float) and value == value  # NaN differs from itself


def _kept(metric: str) -> str:
    return f"change of {plain(metric)} under shifts"


def _under_shifts(record: Mapping[str, Any], metric: str) -> float | None:
    """Mean over the shifts of the value on shifted images minus that on the test images."""
    shifted = [
        float(record[key])
        for key in record
        if str(key).startswith("shifts/")
        and str(key).endswith(f"/all/{metric}")
        and _has(record, key)
    ]
    if not shifted or not _has(record, metric):
        return None
    return sum(shifted) / len(shifted) - float(record[metric])
