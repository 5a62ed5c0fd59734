"""Stored results of baselines and of predictions from other models.

``results/external/<dataset>/<name>-<id>/`` and ``results/baselines/<dataset>/<name>-<id>/`` hold
``config.json`` (of predictions also the file's name, sha256 and arrays), ``status.json``,
``environment.json`` and ``evaluation.json``, as a run's directory does. The id is a hash of name,
seed and dataset: evaluating the same name again replaces the entry.
"""

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

from slotbench.errors import UserError
from slotbench.files import write_json
from slotbench.results.documents import SCHEMA_VERSION
from slotbench.results.run import Run

FOLDERS = {"external": "external", "baseline": "baselines"}
"""Kind of entry -> its folder below the results directory."""
NAME_LENGTH = 80
NAME_EXAMPLE = 'For example: --name "SLATE (authors\' code)"'

Document = dict[str, Any]


def identity(config: Document) -> Document:
    """The fields that identify an entry. Without ``seed``, they identify its row."""
    keys = ("kind", "name", "seed", "slots", "version")
    same = {key: config.get(key) for key in keys}
    return {**same, "dataset": config["dataset"]["fingerprint"]}


def check_name(name: str) -> str:
    """The name, stripped; :class:`UserError` where it does not fit a table."""
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise UserError(
            f"--name {name!r}: expected 1 to {NAME_LENGTH} printable characters.", NAME_EXAMPLE
        )
    return name.strip()


def directory(config: Document, results_dir: Path) -> Path:
    """An entry's directory."""
    text = json.dumps(identity(config), sort_keys=True)
    slug = re.sub(r"[^a-z0-9]+", "-", config["name"].lower()).strip("-")[:40] or "entry"
    dataset = f"{config['dataset']['name']}-{config['dataset']['variant']}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return results_dir / FOLDERS[config["kind"]] / dataset / f"{slug}-{digest}"


def store(
    config: Document, evaluation: Document, warnings: list[str], results_dir: Path, threads: int
) -> Path:
    """Write an entry; returns its directory."""
    run = Run(directory(config, results_dir))
    run.path.mkdir(parents=True, exist_ok=True)
    with run.lock():
        # An entry without an evaluation does not count: remove it first, write it last.
        run.evaluation.unlink(missing_ok=True)
        write_json(run.config_file, {"schema": SCHEMA_VERSION, **config})
        run.write_environment("cpu", threads)
        write_json(run.path / "status.json", {"state": "done", "reason": "", "warnings": warnings})
        write_json(run.evaluation, evaluation)
    return run.path


def command(config: Document) -> str:
    """The command that evaluates an entry again."""
    dataset = f"{config['dataset']['name']}:{config['dataset']['variant']}"
    if config["kind"] == "baseline":
        words = ["--baseline", str(config["name"]).removeprefix("baseline:"), "--dataset", dataset]
        options = {"slots": config.get("slots"), "seed": config["seed"]}
    else:
        source = config["source"]
        words = ["--predictions", str(source["file"]), "--dataset", dataset]
        words += ["--name", str(config["name"])]
        options = {"mask-source": source.get("mask_source"), "seed": config["seed"]}
    words += [word for key, value in options.items() if value for word in (f"--{key}", str(value))]
    return f"slotbench evaluate {shlex.join(words)}"
