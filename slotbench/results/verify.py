"""``slotbench verify``: checks that a dataset or a run is whole and unchanged."""

import os
from pathlib import Path
from typing import Any

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import fingerprint_of, split_digest
from slotbench.datasets.prepare.stored_features import damaged_features
from slotbench.errors import UserError
from slotbench.files import MEND, no_file, read_document
from slotbench.results.bundle import FILES
from slotbench.results.documents import Environment
from slotbench.results.run import Run, check_judged, read_model
from slotbench.training import checkpoint


def dataset(path: Path) -> dict[str, Any]:
    """Read every array of a dataset; returns its facts.

    :class:`UserError` for the first fault: a label above the number of objects, visibility that
    contradicts the mask, a class code out of range, a number that is not finite, content or
    features that do not match their fingerprint.
    """

    def bad(what: str) -> UserError:
        return UserError(f"{path}: {what}.", "Prepare the dataset again, with --force.")

    with DatasetFile(path) as file:
        for split in file.splits:
            for _ in file.blocks(split):
                pass  # reading checks the content
        found = fingerprint_of(file.file, file.layout)
        if found != file.fingerprint:
            stored = file.fingerprint[:12]
            raise bad(f"the content does not match the fingerprint ({found[:12]}, stored {stored})")
        if file.attributes.get("recipe", file.recipe) != file.recipe:
            raise bad("the recipe does not match the attributes; one of them was changed")
        for split, stored in file.manifest.items():
            if split not in file.splits or split_digest(file.file, file.layout, split) != stored:
                raise bad(f"{split} is not what the manifest says")
        for feature in file.layout.features:
            for split in damaged_features(file, feature):
                if feature.key not in file.file[split]:
                    continue  # a shifted test set that was added after them
                raise UserError(
                    f"{path}: {split}/{feature.key} does not match its sha256.",
                    f"Type: slotbench prepare {file.reference} --features TEACHER; "
                    "it makes them again.",
                )
        features = {each.name: file.teacher(each.name) for each in file.layout.features}
        return {
            "file": str(path),
            "ok": True,
            "dataset": file.reference,
            "origin": file.attributes["origin"],
            "generator": file.attributes["generator"],
            "recipe": file.recipe,
            "image_size": file.layout.height,
            "objects": file.layout.objects,
            "properties": ", ".join(prop.name for prop in file.layout.properties),
            "images": {split: file.size(split) for split in file.splits},
            "manifest": file.manifest,
            **({"frames": file.layout.frames} if file.layout.frames else {}),
            **({"features": features} if features else {}),
            "fingerprint": found,
        }


def agreement(facts: dict[str, Any], results_dir: Path, other: Path | None) -> dict[str, Any]:
    """How many published runs share the recipe or fingerprint of ``facts``; does ``other``?

    ``facts`` are those of :func:`dataset`. Original data have no recipe.
    """
    from slotbench.results.leaderboard.collect import published

    keys = ("recipe", "fingerprint")
    known = [run.config.get("dataset", {}) for run in published(results_dir)]
    same = {
        f"same {key}": sum(bool(facts[key]) and of.get(key) == facts[key] for of in known)
        for key in keys
    }
    said: dict[str, Any] = {"published_runs": same}
    if other is not None:
        with DatasetFile(other) as file:
            equal = {key: getattr(file, key) == facts[key] for key in keys}
        told = {key: "the same" if equal[key] else "another" for key in keys}
        said["against"] = {"file": str(other), **told}
    return said


def run(found: Run) -> dict[str, Any]:
    """Check that a run's files belong together; :class:`UserError` for the first that does not."""
    found.check()
    for name in (*FILES, found.checkpoint.name, "metrics.jsonl"):
        if os.path.lexists(file := found.path / name) and (fault := no_file(file)):
            raise UserError(f"{file}: {fault}.", MEND)
    config = found.config()
    if edited := found.edited(config):
        raise UserError(
            f"{edited} has changed since {found.path} was trained.",
            "Put it back as it was, or train anew.",
        )
    if not found.id.endswith(config.id):
        raise UserError(
            f"{found.path}: config.json gives the id {config.id}; the directory's is {found.id}.",
            "The folder was renamed, or slotbench has a newer version.",
        )
    if (environment := found.path / "environment.json").is_file():
        read_document(environment, Environment)
    status = found.status()
    if found.checkpoint.is_file():
        saved = checkpoint.load(found.checkpoint, config)
        if saved.step < status["step"]:
            said = f"is of step {saved.step:,}; status.json says {status['step']:,}"
            raise UserError(f"{found.checkpoint} {said}.")
    if status["state"] == "done":
        read_model(found)
    judged = found.evaluation.is_file()
    if judged:
        evaluation = check_judged(found)
        if evaluation.fingerprint != config.dataset.fingerprint:
            raise UserError(f"{found.evaluation} names other data than config.json.")
    return {
        "run": str(found.path),
        "ok": True,
        "state": status["state"],
        "step": status["step"],
        "evaluated": judged,
    }
