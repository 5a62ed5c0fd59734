"""The rows and metrics that a user asks for, and messages about runs that do not count."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from slotbench import registry
from slotbench.datasets.format.places import is_file
from slotbench.errors import UserError
from slotbench.fields import Names, listed
from slotbench.progress import counted
from slotbench.results.leaderboard.grouping import FAMILIES, Row
from slotbench.results.leaderboard.records import Found

_ALL = "Every metric is shown by: slotbench leaderboard --metrics all"
UNFINISHED = ("new", "running", "interrupted")
_ALIKE = 3
"""Runs with one problem that are named one by one."""


def choose(metrics: Names, present: Sequence[str]) -> list[str]:
    """The keys that match ``metrics``, in its order; all keys if it is empty.

    :class:`UserError` with the nearest name if a name matches no key.
    """
    chosen: dict[str, None] = {}
    wishes = [name.rstrip("/") for name in listed(metrics)]
    if metrics and not wishes:
        raise UserError("--metrics names no metric.", _ALL)
    for wish in wishes or ["all"]:
        # A key names itself alone, even if it begins others: `mean`, `mean/dropped`.
        found = [key for key in present if key == wish] or [
            key for key in present if wish == "all" or key.startswith(f"{wish}/")
        ]
        if not found and wish != "all":
            parts = (key.split("/") for key in present)
            prefixes = {"/".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
            raise registry.unknown("metric", wish, sorted(prefixes), _ALL)
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def select(
    everything: Sequence[Row],
    runs: Sequence[Found],
    dataset: str | Path | None,
    core: str | None,
    family: str | None,
    keep: Callable[[Row], bool] | None = None,
) -> list[Row]:
    """The rows that match; :class:`UserError` with the nearest name or the reason if none does.

    ``runs`` explain why a dataset has no row.
    """
    found = [row for row in everything if keep is None or keep(row)]
    if not found:
        raise UserError("None of these runs is finished.", "Type: slotbench leaderboard")
    if dataset is not None:
        dataset = str(dataset)
        found = _of_dataset(found, runs, dataset)
    for what, wish, names in (
        ("core", core, registry.names("cores")),
        ("family", family, FAMILIES),
    ):
        known = sorted({getattr(row, what) for row in everything} | set(names))
        if wish is not None and wish not in known:
            raise registry.unknown(what, wish, known)
        found = [row for row in found if wish in (None, getattr(row, what))]
    if not found:
        wishes = {"--dataset": dataset, "--core": core, "--family": family}
        typed = " ".join(f"{option} {wish}" for option, wish in wishes.items() if wish)
        raise UserError(
            f"No row fits {typed}.",
            "Leave it out." if typed.count("--") == 1 else "Leave one of them out.",
        )
    return found


def _of_dataset(found: Sequence[Row], runs: Sequence[Found], dataset: str) -> list[Row]:
    if is_file(dataset):
        from slotbench.datasets.format.dataset_file import DatasetFile

        with DatasetFile(Path(dataset)) as file:
            same = {file.fingerprint, file.attributes.get("recipe")}
        kept = [row for row in found if row.group.fingerprint in same]
        alike = [run for run in runs if run.data in same]
    else:
        kept = [row for row in found if dataset in _names(row.group.dataset)]
        alike = [run for run in runs if run.dataset and dataset in _names(run.dataset)]
    if kept:
        return kept
    entries = registry.entries("datasets")
    there = {f"{name}:{each}" for name, entry in entries.items() for each in entry.variants}
    there |= entries.keys()
    if alike or is_file(dataset) or dataset in there:
        raise nothing_counts(alike, f"on {dataset}", f"slotbench train --dataset {dataset}")
    there |= {name for row in found for name in _names(row.group.dataset)}
    raise registry.unknown("dataset", dataset, sorted(there))


def _names(reference: str) -> tuple[str, str]:
    return reference, reference.partition(":")[0]


def unfinished(found: Iterable[Found]) -> str:
    """How many runs are not finished, such as ``1 interrupted, 2 running``; "" if none."""
    counts = Counter(run.state for run in found if run.dataset and run.state in UNFINISHED)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"Not finished, so not counted: {told}." if told else ""


def warnings(found: Sequence[Found]) -> list[str]:
    """One line for each problem of a run."""
    lines = [f"{run.run}: {problem}" for run in found for problem in run.problems]
    return [*lines, *filter(None, [unfinished(found)])]


def summed_up(warnings: Sequence[str]) -> list[str]:
    """The warnings, but of many runs with one problem only the first few and a count."""
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
    """How many finished runs are not evaluated, and what to type; None if there is none."""
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
    """The error that says why no run ``where`` can be shown; ``command`` would train one."""
    if not found:
        return UserError(f"No results {where}: there is no run.", f"Type: {command}")
    waiting = unevaluated(found)
    if waiting is not None:
        return UserError(f"No results {where}: {waiting.message}", waiting.advice)
    return UserError(f"No results {where}. {' '.join(summed_up(warnings(found)))}")
