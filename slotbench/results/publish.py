"""``slotbench publish``: finished runs as one bundle, or as records for ``results/published``."""

import json
import shlex
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slotbench import __version__, files
from slotbench.errors import UserError
from slotbench.results import COPIES, DOCUMENTS
from slotbench.results.bundle import FILES, KIND, MANIFEST, bad_name
from slotbench.results.documents import SCHEMA_VERSION, Config, Environment
from slotbench.results.run import Run, check_judged

_TIME = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive, so that the same runs give the same bytes."""


def publish(runs: Iterable[Run], out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write ``out`` from finished, evaluated runs; returns its facts.

    ``out`` ending in .zip is an archive; in .json, records without weights; else a folder.
    Baselines and external predictions have no weights, so they are published as records.
    :class:`UserError` for a run that is not done or not evaluated, and, without ``force``, if
    ``out`` exists.
    """
    chosen = {run.path.resolve(): run for run in runs}
    if not chosen:
        raise UserError("No run to publish.", "Name one: slotbench publish RUN --out BUNDLE")
    sources: dict[str, Path] = {}
    for run in chosen.values():
        found = _files(run, records=out.suffix == ".json")
        if twice := sources.keys() & found.keys():
            other = sources[min(twice)].parent
            raise UserError(
                f"{other} and {run.path} would be one folder of the bundle.",
                "Publish them as two bundles.",
            )
        sources |= found
    files.check_ending(out, "a folder", ".zip", ".json")
    files.check_new(out, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"bundle": str(out), "runs": len(chosen), "weights": out.suffix != ".json"}
    if out.suffix == ".json":
        records = [
            {Path(name).stem: files.read_json(path / name) for name in DOCUMENTS} for path in chosen
        ]
        for record in records:
            for plugin in record["environment"].get("plugins", []):
                # Do not publish this machine's folders.
                plugin["file"] = Path(plugin["file"]).name
        files.write_json(out, records, follow=True, force=force)
        return facts
    listed: dict[str, dict[str, Any]] = {
        name: {"sha256": files.sha256_of(path), "bytes": path.stat().st_size}
        for name, path in sorted(sources.items())
    }
    manifest = {"schema": SCHEMA_VERSION, "kind": KIND, "slotbench": __version__, "files": listed}
    if out.suffix == ".zip":
        with files.replacing(out, follow=True, force=force) as made:
            _archive(made, manifest, sources)
    else:
        with files.replacing_folder(out, (MANIFEST, "runs"), force=force) as made:
            for name, path in sources.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, made / name)
            files.write_json(made / MANIFEST, manifest)
    total = sum(each["bytes"] for each in listed.values())
    return {**facts, "files": len(sources), "bytes": total}


def writable(run: Run, results_dir: Path) -> Run:
    """The run itself; of a published one, a copy in ``<results_dir>/published/copies``.

    :class:`UserError` where the published run does not match its manifest.
    """
    if not run.bundled:
        return run
    run.check()
    folder = results_dir / "published" / COPIES / "runs"
    copy = Run(folder.joinpath(*run.path.resolve().parts[-3:]))
    if not copy.config_file.is_file():
        try:
            with files.replacing_folder(copy.path, FILES, force=True) as made:
                for name in FILES:
                    shutil.copyfile(run.path / name, made / name)
        except UserError:
            if not copy.config_file.is_file():  # else another process was faster
                raise
    if not copy.model.is_file() or files.sha256_of(copy.model) != files.sha256_of(run.model):
        raise UserError(
            f"{copy.path} is a copy of another run of that id.",
            f"Remove it: rm -r {shlex.quote(str(copy.path))}",
        )
    return copy


def _files(run: Run, *, records: bool) -> dict[str, Path]:
    """The run's files by their name in the bundle; :class:`UserError` where one is missing."""
    kind = files.read_document(run.config_file, Config).kind
    if kind and not records:
        raise UserError(
            f"{run.path} is of kind {kind} and has no weights: it does not go into a bundle.",
            "Publish it as a record: --out NAME.json",
        )
    run.check()
    state = run.status()["state"]
    if state != "done":
        raise UserError(
            f"{run.path} is {state}: only finished runs are published.",
            f"Type: slotbench train --resume {run.typed}",
        )
    if not run.evaluation.is_file():
        raise UserError(f"{run.path} is not evaluated.", f"Type: slotbench evaluate {run.typed}")
    if not kind:
        if run.edited(run.config()) == run.config_file.name:
            raise UserError(
                f"{run.path}: config.json has changed since the training.",
                "Put it back as it was, or train anew.",
            )
        check_judged(run)
    folder = "/".join(("runs", *run.path.resolve().parts[-3:]))
    found = {}
    for name in DOCUMENTS if kind else FILES:
        if (run.path / name).is_symlink():
            raise UserError(f"{run.path / name} is a link; it is not followed out of the run.")
        if not (run.path / name).is_file():
            raise UserError(f"{run.path} has no {name}; it cannot be published.")
        inside = f"{folder}/{name}"
        if bad_name(inside):
            raise UserError(f"{inside} is no name for a file of a bundle: {bad_name(inside)}.")
        found[inside] = run.path / name
    files.read_document(run.path / "environment.json", Environment)
    return found


def _archive(made: Path, manifest: Mapping[str, Any], sources: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(made, "w", allowZip64=True) as archive:
        text = json.dumps(manifest, indent=2) + "\n"
        archive.writestr(_info(MANIFEST), text)
        for name, path in sorted(sources.items()):
            with (
                path.open("rb") as stream,
                archive.open(_info(name), "w", force_zip64=path.stat().st_size > 1 << 30) as target,
            ):
                shutil.copyfileobj(stream, target, 1 << 20)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr = 0o100644 << 16
    # Weights are noise to a compressor.
    json_file = name.endswith(".json")
    info.compress_type = zipfile.ZIP_DEFLATED if json_file else zipfile.ZIP_STORED
    return info
