"""Runs that do not count, in words: how many, why, and what to type."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from slotbench.errors import UserError
from slotbench.progress import counted
from slotbench.results.leaderboard.records import Found

UNFINISHED = ("new", "running", "interrupted")
_ALIKE = 3
"""Runs with one problem that are named one by one."""


def states(found: Iterable[Found], wanted: Iterable[str] = UNFINISHED) -> str:
    """``1 interrupted, 2 running``: how many runs there are of each of these states."""
    counts = Counter(run.state for run in found if run.state in wanted)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def warnings(found: Sequence[Found]) -> list[str]:
    """One line for each problem of a run."""
    lines = [f"{run.run}: {problem}" for run in found for problem in run.problems]
    waiting = states(run for run in found if run.dataset)
    return lines + ([f"Not finished, so not counted: {waiting}."] if waiting else [])


def summed_up(warnings: Sequence[str]) -> list[str]:
    """For people: the first few of many runs with one problem, and how many more there are."""
    alike: dict[str, list[str]] = defaultdict(list)
    for text in warnings:
        # The command to type names the run, so it differs from run to run.
        problem = text.partition(": ")[2].partition(" Type: ")[0]
        alike[problem or text].append(text)
    lines = []
    for texts in alike.values():
        left = len(texts) - _ALIKE
        lines += texts if left < 2 else texts[:_ALIKE]
        lines += [f"and {left:,} more runs with the same problem"] if left > 1 else []
    return lines


def unevaluated(found: Iterable[Found]) -> UserError | None:
    """How many runs are done and not evaluated, and what to type; None where none is."""
    runs = [run for run in found if run.unevaluated]
    if not runs:
        return None
    several = "are" if len(runs) > 1 else "is"
    names = " ".join(Path(run.run).name for run in runs[:_ALIKE])
    return UserError(
        f"{counted(len(runs), 'run')} {several} not evaluated.",
        f"Type: slotbench evaluate {names}{runs[0].option}",
    )


def nothing_counts(
    found: Sequence[Found], where: str, command: str = "slotbench train --objective simclr"
) -> UserError:
    """Why none of these runs can be shown: ``where`` they are, and the ``command`` for a run."""
    if not found:
        return UserError(f"No results {where}: there is no run.", f"Type: {command}")
    waiting = unevaluated(found)
    if waiting is not None:
        return UserError(f"No results {where}: {waiting.message}", waiting.advice)
    return UserError(f"No results {where}. {' '.join(summed_up(warnings(found)))}")
