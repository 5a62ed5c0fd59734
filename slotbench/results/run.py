"""The run directory: a run's configuration, its progress and its results.

``results/runs/<dataset>/<core>+<objective>/<seed>-<id>/`` holds ``config.json``,
``status.json``, ``metrics.jsonl``, ``checkpoint.pt``, ``model.safetensors``,
``environment.json``, ``evaluation.json`` and ``pictures/``. Tables are derived from these alone.
"""

import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import files, plugins
from slotbench.config.run_config import RunConfig
from slotbench.errors import RunLocked, SlotbenchError, UserError
from slotbench.fields import LARGEST
from slotbench.locks import Held, held, hold
from slotbench.results import documents, is_published
from slotbench.results.documents import State, Status

if TYPE_CHECKING:
    from slotbench.inline import Pictures

BEAT, DEAD = 10.0, 120.0
"""Seconds between two heartbeats, and seconds without one after which a process is dead."""
FOLDERS = ("pictures", "cache", "transfer")
"""Folders of a run that slotbench writes into."""
_ID = re.compile("[0-9]+-[0-9a-f]{8}")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "h5py")


class Run:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = False
        self.config_file = path / "config.json"
        self.status_file = path / "status.json"
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.safetensors"
        self.evaluation = path / "evaluation.json"
        self.pictures = path / "pictures"

    @classmethod
    def of(cls, config: RunConfig, results_dir: Path) -> "Run":
        """A configuration's run; creates nothing."""
        names = f"{config.names['core']}+{config.names['objective']}"
        dataset = f"{config.dataset.name}-{config.dataset.variant}"
        return cls(results_dir / "runs" / dataset / names / f"{config.seed}-{config.id}")

    @property
    def id(self) -> str:
        """``<seed>-<hash>``, the directory's name."""
        return os.path.basename(os.path.realpath(self.path))  # noqa: PTH119  # a loop is no error

    @property
    def typed(self) -> str:
        """The run in a command: its id, or its path outside the default results folder."""
        known = self.results_dir == Path("results").resolve()
        return self.id if known else shlex.quote(str(self.path))

    @property
    def results_dir(self) -> Path:
        """The results folder of the run; the parent folder for a run outside of one."""
        path = Path(os.path.realpath(self.path))
        runs = next((parent for parent in path.parents if parent.name == "runs"), None)
        return path.parent if runs is None else runs.parent

    @property
    def bundled(self) -> bool:
        """Whether it is in a bundle or below ``published/``, and so read-only."""
        folder, places = self.results_dir, self.path.absolute().parents[3:4]
        return (folder / "manifest.json").is_file() or any(map(is_published, (folder, *places)))

    def check(self) -> None:
        """:class:`UserError` where it is in a bundle and does not match the manifest."""
        if self.bundled:
            from slotbench.results.bundle import check_files, listed

            check_files(self.path, listed(self.results_dir))

    def create(self, config: RunConfig) -> None:
        """Make the directory and write ``config.json`` where there is none yet."""
        if self.bundled:
            raise UserError(
                f"{self.results_dir} holds published runs; no run is trained there.",
                "Choose another --results-dir.",
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.config_file.exists():
            files.write_json(self.config_file, config.to_dict())

    def discard(self) -> None:
        """Remove the directory of a run that has not begun, and parent folders left empty."""
        if self.status_file.exists():
            return
        for file in (self.config_file, self.path / ".lock"):
            file.unlink(missing_ok=True)
        for folder in (self.path, *self.path.parents[:2]):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def config(self) -> RunConfig:
        """:class:`UserError` where the directory holds no run of this version."""
        if not self.config_file.is_file():
            raise UserError(f"{self.path} is not a run: it has no config.json.")
        used = documents.environment(self.path / "environment.json").plugins
        with plugins.hints([plugin.file for plugin in used]):
            document = files.read_json(self.config_file)
            files.parse_document(document, documents.Config, str(self.config_file))
            return RunConfig.from_dict(document, str(self.config_file))

    def edited(self, config: RunConfig) -> str:
        """The plugin or ``config.json`` that was edited since the training; else empty."""
        now = {name: of["sha256"] for of in plugins.loaded() for name in of["names"]}
        used = documents.environment(self.path / "environment.json").plugins
        for plugin in used:
            for name in config.plugins().keys() & set(plugin.names):
                if plugin.sha256 and now.get(name, plugin.sha256) != plugin.sha256:
                    return plugin.file
        # Other versions and plugins change the id too, and a folder may be renamed.
        if used or not _ID.fullmatch(self.id) or self.id == f"{config.seed}-{config.id}":
            return ""
        before = files.read_json(self.config_file).get("versions")
        return "config.json" if before == config.to_dict()["versions"] else ""

    def status(self) -> dict[str, Any]:
        """``status.json``; a run whose process has died reads as interrupted."""
        status = read_status(self.path, self.locked)
        return {"seconds": 0.0, **status.model_dump(mode="json", exclude_none=True)}

    def write_status(self, state: State, reason: str = "", **fields: Any) -> None:
        """Replace the state, the reason and the given fields; keep the others."""
        owner = {"host": kernel(), "pid": os.getpid()}
        told = {**self.status(), **owner, **fields, "state": state, "reason": reason}
        files.write_json(self.status_file, told)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run until the block or the process ends; may be nested.

        :class:`RunLocked` where another process holds it.
        """
        if self._held:
            yield
            return
        try:
            with hold(self.path / ".lock"):
                if self._beats_elsewhere():
                    raise Held
                self._held = True
                self._check_folders()
                self._sweep()
                with self._beating():
                    yield
        except Held as error:
            raise RunLocked(
                f"{self.path} is being trained or evaluated by another process.",
                f"To look at it, type: slotbench show {self.typed}",
            ) from error
        finally:
            self._held = False

    def locked(self) -> bool:
        """Whether a living process holds the run."""
        if self._held:
            return True
        with contextlib.suppress(OSError, UserError):  # a read-only folder, or a link
            if held(self.path / ".lock"):
                return True
        return self._beats_elsewhere()

    def _beats_elsewhere(self) -> bool:
        """Whether a process on another machine trains the run; its lock may not show here.

        The heartbeat is the modification time of ``status.json``. "Now" is the modification time
        of a new file in the same folder, because clocks of machines differ.
        """
        status = _read_status(self.status_file)
        if status.state != "running" or status.host in (None, kernel()):
            return False
        try:
            with tempfile.TemporaryFile(dir=self.path) as probe:
                now = os.fstat(probe.fileno()).st_mtime
        except OSError:  # a folder to look at only, or a full disk
            now = time.time()
        return abs(now - self.status_file.stat().st_mtime) < DEAD

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Renew the heartbeat inside the block."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with contextlib.suppress(OSError):
                    os.utime(self.status_file)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _check_folders(self) -> None:
        """:class:`UserError` where a folder that slotbench writes into or empties is a link."""
        for folder in (self.path / name for name in FOLDERS):
            if folder.is_symlink():
                said = f"{folder} is a link; slotbench writes into a folder of the run"
                raise UserError(f"{said}.", f"Remove it: rm {shlex.quote(str(folder))}")

    def _sweep(self) -> None:
        """Remove files that a killed process left half written; the run is locked."""
        for folder in (self.path, *(self.path / name for name in FOLDERS)):
            for file in folder.glob(".*.tmp"):
                if not file.name.startswith(".config.json."):  # written without the lock
                    file.unlink(missing_ok=True)

    def show(self) -> "Pictures":
        """The run's pictures in a notebook: of test images, else the last one of the training.

        ``slotbench.show(run)`` draws the pictures of test images.
        """
        from slotbench.inline import Pictures

        drawn = [] if self.pictures.is_symlink() else sorted(self.pictures.glob("*.png"))
        trained = [file for file in drawn if file.stem.removeprefix("val-").isdigit()]
        chosen = [file for file in drawn if file not in trained] or trained[-1:]
        note = "" if chosen else f"No pictures yet: slotbench show {self.typed}"
        return Pictures(f"{self.path.parent.name}, {self.id}", tuple(chosen), note)

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl`` that are whole rows."""
        file = self.path / "metrics.jsonl"
        rows = []
        for line in files.read_bytes(file).splitlines() if file.is_file() else []:
            with contextlib.suppress(UserError):
                row = files.parse_json(line, str(file))
                step = row.get("step") if isinstance(row, dict) else None
                if isinstance(step, int) and 0 <= step <= LARGEST:
                    rows.append(row)
        return rows

    def rewind_metrics(self, step: int) -> None:
        """Drop the lines after ``step``; they will be written again with the same numbers."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        files.write_whole(self.path / "metrics.jsonl", text.encode())

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        file = self.path / "metrics.jsonl"
        with files.naming(file), file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_environment(self, device: str, threads: int) -> None:
        """Write ``environment.json``: versions, commit, machine and plugins of this process."""
        files.write_json(
            self.path / "environment.json",
            {
                "slotbench": _version("slotbench"),
                "git": source_commit(),
                "python": sys.version.split()[0],
                "platform": platform.platform(),
                "plugins": plugins.loaded(),
                "packages": {name: _version(name) for name in PACKAGES},
                "device": device,
                "threads": threads,
                "cores": os.cpu_count(),
            },
        )


def read_status(path: Path | str, locked: Callable[[], bool]) -> Status:
    """``status.json`` of a run's directory; ``locked`` tells whether a living process holds it."""
    status = _read_status(file := f"{path}/status.json")
    if status.state == "running" and not locked():
        # The run may have ended, and written so, since the file was read.
        status = _read_status(file)
        if status.state == "running":
            told = {"state": "interrupted", "reason": "its process ended without a word"}
            status = status.model_copy(update=told)
    return status


def _read_status(file: Path | str) -> Status:
    try:
        return files.read_document(file, Status)
    except UserError:
        if Path(file).is_file():
            raise
        return Status()


def not_finite(weights: Mapping[str, Any], prefix: str = "") -> str:
    """The first tensor below ``prefix`` that holds NaN or infinite values; empty: none."""
    own = (name for name in weights if name.startswith(prefix))
    return next((name for name in own if not bool(weights[name].isfinite().all())), "")


def read_model(run: Run, *, finite: bool = True) -> dict[str, Any]:
    """The trained weights, tensors by name.

    :class:`UserError` where there are none yet, or where a bundle's do not match its manifest;
    :class:`SlotbenchError` where a core's are not finite, unless ``finite`` is False.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from slotbench.results.bundle import MOST_BYTES

    run.check()
    if not run.model.is_file():
        state = run.status()["state"]
        resume = f"Type: slotbench train --resume {run.typed}"
        raise UserError(
            f"{run.path} has no trained model; it is {state}.",
            "Wait until its training has ended." if state == "running" else resume,
        )
    try:
        found: dict[str, Any] = load(files.read_bytes(run.model, MOST_BYTES[run.model.suffix]))
    except SafetensorError as error:
        raise UserError(
            f"{run.model} is damaged: {error}.",
            f"Remove that file, then type: slotbench train --resume {run.typed}",
        ) from error
    if finite and (name := not_finite(found, "core.")):
        raise SlotbenchError(
            f"{run.model}: {name} holds NaN or infinite values.",
            "The file is damaged, or the training diverged; train the run again.",
        )
    return found


def check_judged(run: Run) -> documents.Evaluation:
    """``evaluation.json``; :class:`UserError` where it was made of another model than the run's."""
    evaluation = files.read_document(run.evaluation, documents.Evaluation)
    if run.model.is_file() and evaluation.model != files.sha256_of(run.model):
        raise UserError(
            f"{run.model} is not the model that {run.evaluation.name} was made of: its sha256 "
            "differs, or none is stored.",
            f"To evaluate this model, type: slotbench evaluate {run.typed} --force",
        )
    return evaluation


@cache
def kernel() -> str:
    """Identifies the running kernel: equal in all containers of a machine until it restarts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def source_commit() -> dict[str, Any]:
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
