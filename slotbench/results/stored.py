"""What an ``evaluation.json`` holds already, and how new results join it."""

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
    """The evaluation in ``file``; empty where it is of another model, split, seed or data.

    ``model`` is the sha256 of the model's file. A file that is damaged counts as empty.
    """
    before = _read(file)
    expected = {
        "split": split,
        "seed": seed,
        "fingerprint": dataset.fingerprint,
        "model": before.get("model", model),
    }
    same = {key: before.get(key) for key in expected} == {**expected, "model": model}
    return before if same else {}


def left_to_do(
    before: Document, groups: Iterable[str], stale: Iterable[str] = ()
) -> tuple[str, ...]:
    """The groups that are not in a document, or there in another version than this one's.

    ``stale`` names those that count as missing, because their images have changed.
    """
    done = {name: of for name, of in before.get("groups", {}).items() if name not in set(stale)}
    files = before.get("plugins", {})
    return tuple(
        name
        for name in groups
        if done.get(name) != metrics.version(name)
        or files.get(name, "") != metrics.foreign_digest(name)
    )


def groups_left(run: Run, groups: Iterable[str]) -> tuple[str, ...]:
    """The groups that a run is still to be judged by, on the test split."""
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
    """``new``, and the results that ``before`` has of other groups.

    Nothing is taken from an evaluation of other images; what ``before`` has of a group that
    ``new`` computed is gone, whatever its keys.
    """
    if any(before.get(key) != new[key] for key in _SAME):
        return new
    joined = dict(new)
    for part in ("metrics", "skipped"):
        kept = {
            key: value
            for key, value in before.get(part, {}).items()
            if metrics.group_of(key) not in new["groups"]
        }
        joined[part] = _ordered({**kept, **new[part]})
    for part in ("groups", "plugins"):
        joined[part] = {**before.get(part, {}), **new.get(part, {})}
    return joined


def _ordered(results: Document) -> Document:
    """By the order of the groups, unknown keys last."""
    order = {name: index for index, name in enumerate(metrics.names())}

    def place(key: str) -> int:
        return order.get(metrics.group_of(key) or "", len(order))

    return {key: results[key] for key in sorted(results, key=place)}
