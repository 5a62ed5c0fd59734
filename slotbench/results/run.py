"""The run directory: what a run is, how far it has come, and what came of it.

``results/runs/<dataset>/<core>+<objective>/<seed>-<id>/`` holds ``config.json``,
``status.json``, ``metrics.jsonl``, ``checkpoint.pt``, ``model.safetensors``,
``environment.json``, ``evaluation.json`` and ``pictures/``. Every file is written whole or not
at all, and the directories are the only truth: all tables are derived from them.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Literal

from slotbench import plugins, registry
from slotbench.config.run_config import RunConfig
from slotbench.errors import RunLocked, SlotbenchError, UserError
from slotbench.files import read_json, write_json, write_whole
from slotbench.locks import Held, Lock

State = Literal["new", "running", "done", "failed", "interrupted"]


class Run:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = False

    @classmethod
    def of(cls, config: RunConfig, results_dir: Path) -> "Run":
        """Where a configuration's run lives; nothing is created yet."""
        names = f"{config.names['core']}+{config.names['objective']}"
        dataset = f"{config.dataset.name}-{config.dataset.variant}"
        return cls(results_dir / "runs" / dataset / names / f"{config.seed}-{config.id}")

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def results_dir(self) -> Path:
        """The folder of runs that it stands in, as :meth:`of` places it."""
        parents = self.path.resolve().parents
        return parents[min(3, len(parents) - 1)]

    def create(self, config: RunConfig) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.config_file.exists():
            write_json(self.config_file, config.to_dict())

    def config(self) -> RunConfig:
        """:class:`UserError` where the directory holds no run of this version."""
        if not self.config_file.is_file():
            raise UserError(f"{self.path} is not a run: it has no config.json.")
        file = self.path / "environment.json"
        environment = read_json(file) if file.is_file() else {}
        with plugins.hints(environment.get("plugins")):
            config = RunConfig.from_dict(read_json(self.config_file))
            if config.alignment is not None:
                registry.get("alignments", config.alignment)
        return config

    def status(self) -> dict[str, Any]:
        """``status.json``; a run whose process has died without a word reads as interrupted."""
        file = self.path / "status.json"
        if not file.is_file():
            return {"state": "new", "reason": "", "step": 0, "seconds": 0.0, "warnings": []}
        status: dict[str, Any] = read_json(file)
        if status["state"] == "running" and not self.locked():
            # It may have ended, and said so, since the file was read.
            status = read_json(file)
            if status["state"] == "running":
                status |= {"state": "interrupted", "reason": "its process ended without a word"}
        return status

    def write_status(self, state: State, reason: str = "", **fields: Any) -> None:
        """Replace the state and reason; other fields stay as they are unless given."""
        write_json(
            self.path / "status.json", {**self.status(), **fields, "state": state, "reason": reason}
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: the kernel lets go of it when the process ends, however it ends.

        :class:`RunLocked` where another process holds it. Whoever holds it may ask again.
        """
        if self._held:
            yield
            return
        try:
            with Lock(self.path / ".lock").hold():
                self._held = True
                self._sweep()
                try:
                    yield
                finally:
                    self._held = False
        except Held as error:
            raise RunLocked(
                f"{self.path} is being trained or evaluated by another process.",
                f"To look at it, type: slotbench show {self.id}",
            ) from error

    def _sweep(self) -> None:
        """Remove what a killed process left half written; whoever holds the run may."""
        for file in self.path.glob(".*.tmp"):
            if not file.name.startswith(f".{self.config_file.name}."):  # written without the lock
                file.unlink(missing_ok=True)

    def locked(self) -> bool:
        """Whether a living process holds the run."""
        return Lock(self.path / ".lock").held()

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last line that is not whole is left out."""
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return []
        rows = []
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        return rows

    def rewind_metrics(self, step: int) -> None:
        """Drop the lines after ``step``: they will be written again, with the same numbers."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_whole(self.path / "metrics.jsonl", text.encode())

    def open_metrics(self) -> IO[str]:
        return (self.path / "metrics.jsonl").open("a", buffering=1)

    def write_environment(self, device: str, threads: int) -> None:
        packages = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "h5py")
        write_json(
            self.path / "environment.json",
            {
                "slotbench": _version("slotbench"),
                "git": _git(),
                "python": sys.version.split()[0],
                "platform": platform.platform(),
                "plugins": plugins.loaded(),
                "packages": {name: _version(name) for name in packages},
                "device": device,
                "threads": threads,
                "cores": os.cpu_count(),
            },
        )


def all_runs(results_dir: Path) -> list[Run]:
    """Every run directory, sorted by path."""
    return [Run(file.parent) for file in sorted(results_dir.glob("runs/*/*/*/config.json"))]


def find(reference: str, results_dir: Path) -> Run:
    """The run that a user means: a directory, or a unique prefix of ``<seed>-<id>`` or ``<id>``."""
    path = Path(reference)
    if (path / "config.json").is_file():
        return Run(path)
    runs = all_runs(results_dir)
    found = [
        run
        for run in runs
        if run.id.startswith(reference) or run.id.partition("-")[2].startswith(reference)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(run.path) for run in found[:4])
        raise UserError(f"{len(found)} runs match {reference!r}: {listed}.", "Type more of the id.")
    known = f"There are {len(runs)} runs in {results_dir / 'runs'}."
    raise UserError(f"No run {reference!r}. {known}", "Type: slotbench leaderboard")


def read_model(run: Run) -> dict[str, Any]:
    """The trained weights, tensors by name; :class:`UserError` where the run has none yet."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not run.model.is_file():
        raise UserError(
            f"{run.path} has no trained model; it is {run.status()['state']}.",
            f"Type: slotbench train --resume {run.id}",
        )
    try:
        return load_file(run.model)
    except SafetensorError as error:
        raise SlotbenchError(f"{run.model} is damaged: {error}.") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git() -> dict[str, Any]:
    """The commit of slotbench's own source and whether it was clean; empty outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "clean": git("status", "--porcelain") == ""}
    except (OSError, subprocess.CalledProcessError):
        return {}
