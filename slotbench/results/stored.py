"""Reads a stored ``evaluation.json``, and merges new results into it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation import groups as metrics
from slotbench.files import parse_document, read_json
from slotbench.results import documents
from slotbench.results.run import Run

Document = dict[str, Any]
_SAME = ("schema", "split", "fingerprint", "resolution", "images", "objects", "slots", "seed")


def last(file: Path, dataset: DatasetFile, split: str, seed: int, model: str) -> Document:
    """The evaluation in ``file``; empty if it has another model, split, seed or dataset.

    ``model`` is the sha256 of the model's file. A damaged file counts as empty.
    """
    before = _read(file)
    asked = {"split": split, "seed": seed, "fingerprint": dataset.fingerprint, "model": model}
    return before if all(before.get(key) == value for key, value in asked.items()) else {}


def left_to_do(
    before: Document, groups: Iterable[str], stale: Iterable[str] = ()
) -> tuple[str, ...]:
    """The groups that are missing in a document, have another version there, or are ``stale``."""
    done = {name: of for name, of in before.get("groups", {}).items() if name not in set(stale)}
    files = before.get("plugins", {})
    return tuple(
        name
        for name in groups
        if done.get(name) != metrics.version(name)
        or files.get(name, "") != metrics.foreign_digest(name)
    )


def groups_left(run: Run, groups: Iterable[str]) -> tuple[str, ...]:
    """The groups that the run's evaluation on the test split lacks."""
    return left_to_do(_read(run.evaluation), groups)


def _read(file: Path) -> Document:
    """The evaluation in a file; empty where it is missing, damaged or of another shape."""
    try:
        found: Document = read_json(file)
        parse_document(found, documents.Evaluation, str(file))
    except UserError:
        return {}
    return found


def merged(before: Document, new: Document) -> Document:
    """``new``, plus the results of ``before`` for other groups, if both are on the same images.

    Keys are in the order of the groups, unknown keys last.
    """
    if any(before.get(key) != new[key] for key in _SAME):
        return new
    order = {name: index for index, name in enumerate(metrics.names())}

    def place(key: str) -> int:
        return order.get(metrics.group_of(key) or "", len(order))

    joined = dict(new)
    for part in ("metrics", "skipped"):
        old = before.get(part, {})
        kept = {key: old[key] for key in old if metrics.group_of(key) not in new["groups"]}
        joined[part] = dict(sorted((kept | new[part]).items(), key=lambda item: place(item[0])))
    for part in ("groups", "plugins"):
        joined[part] = {**before.get(part, {}), **new.get(part, {})}
    return joined
