"""The base of every tracker. A tracker that hangs or fails does not disturb the training."""

import os
import queue
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from slotbench import registry
from slotbench.files import Document, read_document, write_json
from slotbench.progress import warn

CLOSE_SECONDS = 60.0
"""How long a run waits at its end for a tracker that is still sending."""
Values = Mapping[str, float]
Setting = str | int | float | bool
Told = queue.SimpleQueue[tuple[int, Values] | str]
"""The numbers of each step, then the state in which the run ends."""
_writing = threading.Lock()
_SECRETS = ("KEY", "PASSWORD", "SECRET", "TOKEN", "USERNAME")


@dataclass(frozen=True)
class Tracked:
    """The facts of a run that a tracker gets."""

    path: Path
    """The run directory, ``<results>/runs/<dataset>/<core>+<objective>/<seed>-<id>``."""
    settings: Mapping[str, Setting]
    """The configuration, fully resolved: ``section.field`` -> value."""
    step: int = 0
    """The step from which the run goes on; later steps are sent again."""

    @property
    def name(self) -> str:
        """``<seed>-<id>``."""
        return self.path.name

    @property
    def group(self) -> str:
        """``<dataset>/<core>+<objective>``, shared by runs that differ in seed and settings."""
        return "/".join(self.path.parts[-3:-1])

    @property
    def results_dir(self) -> Path:
        """The folder that holds ``runs/``; the run's own parent for a run that stands elsewhere."""
        runs = (parent for parent in self.path.parents if parent.name == "runs")
        return next(runs, self.path).parent

    def known(self, tracker: str) -> str | None:
        """The tracker's name for this run; None where the run is new to it."""
        return self._names().get(tracker)

    def remember(self, tracker: str, name: str) -> None:
        """Store the tracker's name for this run."""
        with _writing:  # each tracker has a thread of its own
            write_json(self.path / "tracking.json", {**self._names(), tracker: name})

    def _names(self) -> dict[str, str]:
        file = self.path / "tracking.json"
        found = read_document(file, Document).model_dump() if file.exists() else {}
        return {key: str(name) for key, name in found.items()}


class Tracker(ABC):
    """One run in a tracking service. An error that it raises ends only the tracking."""

    packages: ClassVar[tuple[str, ...]] = ()
    """The packages of the tracker's extra, as they are imported."""

    @abstractmethod
    def __init__(self, run: Tracked) -> None:
        """Begin, or go on with the run that ``run.known`` names."""

    @abstractmethod
    def log(self, step: int, values: Values) -> None:
        """Numbers of a step, counted from 1, as in a line of ``metrics.jsonl``."""

    @abstractmethod
    def close(self, state: str) -> None:
        """The run ends: ``done``, ``failed`` or ``interrupted``."""


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Setting]:
    """A nested document with dots: ``{"train": {"steps": 3}}`` -> ``{"train.steps": 3}``."""
    found: dict[str, Setting] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value if isinstance(value, str | int | float) else str(value)
    return found


def check(names: Iterable[str]) -> None:
    """:class:`UserError` for a tracker that does not exist or whose packages are missing."""
    for name in names:
        kind: type[Tracker] = registry.get("trackers", name).load()
        for package in kind.packages:
            registry.optional(package, f"--track {name}", name)


def tell_evaluation(names: Sequence[str], run: Tracked, evaluation: Mapping[str, Any]) -> None:
    """Add the metrics of ``evaluation.json`` to the run's last step, as ``test/<metric>``."""
    values = {
        f"{evaluation['split']}/{name}": float(found["value"])
        for name, found in evaluation["metrics"].items()
        if found["value"] is not None
    }
    trackers = Trackers(names, run)
    trackers.log(run.step, values)
    trackers.close("done")


def without_secrets(text: str) -> str:
    """A message without the passwords of its addresses and the secrets of the environment."""
    text = re.sub(r"://\S*@", "://***@", text)
    for key, value in os.environ.items():
        if key.startswith(("MLFLOW_", "WANDB_")) and key.endswith(_SECRETS) and value:
            text = text.replace(value, "***")
    return text


class Trackers:
    """All trackers of a run, each in its own thread: none can delay or end the run."""

    def __init__(self, names: Sequence[str], run: Tracked) -> None:
        self._queues: dict[str, Told] = {name: queue.SimpleQueue() for name in names}
        self._threads = {
            name: threading.Thread(target=_track, args=(name, told, run), daemon=True)
            for name, told in self._queues.items()
        }
        for thread in self._threads.values():
            thread.start()

    def log(self, step: int, values: Values) -> None:
        """Queue the numbers of a step; a tracker that has failed gets none."""
        for name, told in self._queues.items():
            if self._threads[name].is_alive():
                told.put((step, values))

    def close(self, state: str) -> None:
        """End every tracker's run; warn where one does not answer in time."""
        for name, told in self._queues.items():
            told.put(state)
            self._threads[name].join(CLOSE_SECONDS)
            if self._threads[name].is_alive():
                warn(f"{name} does not answer; the run ends without it.")


def _track(name: str, queued: Told, run: Tracked) -> None:
    try:
        tracker: Tracker = registry.get("trackers", name).load()(run)
        while not isinstance(told := queued.get(), str):
            tracker.log(*told)
        tracker.close(told)
    # No error of a service, SystemExit included, ends a run.
    except BaseException as error:
        why = " ".join(without_secrets(f"{type(error).__name__}: {error}").split())[:300]
        warn(f"{name} has failed and gets no more numbers ({why}). All are in metrics.jsonl.")
