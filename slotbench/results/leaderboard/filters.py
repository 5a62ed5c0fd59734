"""Which rows and which metrics a user asks for."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from slotbench import registry
from slotbench.errors import UserError
from slotbench.evaluation.groups import split_names
from slotbench.results.leaderboard.grouping import Row


def choose(metrics: str | Iterable[str], present: Sequence[str]) -> list[str]:
    """The keys that are meant, in the order asked for; all of them where nothing is asked for.

    :class:`UserError` with the nearest name where a wish fits none.
    """
    chosen: dict[str, None] = {}
    wishes = [name.rstrip("/") for name in split_names(metrics)]
    for wish in wishes or ["all"]:
        # A key that is there is meant itself, though it may begin others: `mean`, `mean/dropped`.
        found = [key for key in present if key == wish] or [
            key for key in present if wish == "all" or key.startswith(f"{wish}/")
        ]
        if not found and wish != "all":
            parts = (key.split("/") for key in present)
            prefixes = {"/".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
            advice = "Every metric is shown by: slotbench leaderboard --metric all"
            raise registry.unknown("metric", wish, sorted(prefixes), advice)
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def select(
    everything: Sequence[Row],
    dataset: str | None,
    core: str | None,
    family: str | None,
    keep: Callable[[Row], bool] | None = None,
) -> list[Row]:
    """The rows that a user asks for; :class:`UserError` where none fits, naming the nearest."""
    found = [row for row in everything if keep is None or keep(row)]
    if not found:
        raise UserError("None of these runs is finished.", "Type: slotbench leaderboard")
    if dataset is not None:
        found = _of_dataset(found, dataset)
    for what, wish in (("core", core), ("family", family)):
        known = sorted({getattr(row, what) for row in everything})
        if wish is not None and wish not in known:
            raise registry.unknown(what, wish, known, "That is what the results hold.")
        found = [row for row in found if wish in (None, getattr(row, what))]
    if not found:
        wishes = {"--dataset": dataset, "--core": core, "--family": family}
        typed = " ".join(f"{option} {wish}" for option, wish in wishes.items() if wish)
        raise UserError(f"No row fits {typed}.", "Leave one of them out.")
    return found


def _of_dataset(found: Sequence[Row], dataset: str) -> list[Row]:
    advice = f"slotbench train --dataset {dataset}"
    if dataset.endswith(".h5"):
        from slotbench.datasets.format.dataset_file import DatasetFile

        with DatasetFile(Path(dataset)) as file:
            same = {file.fingerprint, file.attributes.get("recipe")}
        kept = [row for row in found if row.group.fingerprint in same]
        if not kept:
            raise UserError(f"No run was trained on {dataset}.", f"Type: {advice}")
        return kept
    names = [(row.group.dataset, row.group.dataset.partition(":")[0]) for row in found]
    kept = [row for row, both in zip(found, names, strict=True) if dataset in both]
    if not kept:
        advice = f"Without a run of it there is no row; type: {advice}"
        raise registry.unknown("dataset", dataset, sorted(set().union(*names)), advice)
    return kept
