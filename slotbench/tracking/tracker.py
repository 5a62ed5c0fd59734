"""What every tracker is, and how one that fails is kept away from the training."""

import importlib
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from slotbench import registry
from slotbench.errors import UserError
from slotbench.files import read_json, write_json
from slotbench.progress import warn

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for a tracker that is still sending."""
Values = Mapping[str, float]
_writing = threading.Lock()
Setting = str | int | float | bool


@dataclass(frozen=True)
class Tracked:
    """What a tracker is told of a run."""

    path: Path
    """The run's directory, ``<results>/runs/<dataset>/<core>+<objective>/<seed>-<id>``."""
    settings: Mapping[str, Setting]
    """The configuration, fully resolved: ``section.field`` -> value."""
    step: int = 0
    """The step that the run goes on from; what was told of later ones is told again."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def group(self) -> str:
        """``<dataset>/<core>+<objective>``: runs that differ in seed and settings alone."""
        return "/".join(self.path.parts[-3:-1])

    @property
    def results_dir(self) -> Path:
        return self.path.parents[3]

    def known(self, tracker: str) -> str | None:
        """The name that the tracker knows this run by, where it has been tracked before."""
        file = self.path / "tracking.json"
        found: dict[str, str] = read_json(file) if file.is_file() else {}
        return found.get(tracker)

    def remember(self, tracker: str, name: str) -> None:
        file = self.path / "tracking.json"
        with _writing:  # each tracker has a thread of its own
            found = read_json(file) if file.is_file() else {}
            write_json(file, {**found, tracker: name})


class Tracker(ABC):
    """One run, as a tracking service sees it. Whatever it raises ends the tracking alone."""

    packages: ClassVar[tuple[str, ...]] = ()
    """What the extra of the tracker's name installs, as it is imported."""

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
            known = isinstance(value, str | int | float | bool)
            found[f"{prefix}{key}"] = value if known else str(value)
    return found


def check(names: Iterable[str]) -> None:
    """:class:`UserError` for a tracker that does not exist or whose packages are missing."""
    for name in names:
        kind: type[Tracker] = registry.get("trackers", name).load()
        for package in kind.packages:
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise UserError(
                    f"--track {name} needs the package {package}: {error}.",
                    f"Type: pip install 'slotbench[{name}]'",
                ) from error


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


class Guarded:
    """A tracker in a thread of its own: one that hangs or fails stops nothing but itself."""

    def __init__(self, name: str, run: Tracked) -> None:
        self.name = name
        self._waiting: queue.SimpleQueue[tuple[int, Values] | str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._track, args=(run,), daemon=True, name=name)
        self._thread.start()

    def _track(self, run: Tracked) -> None:
        try:
            tracker: Tracker = registry.get("trackers", self.name).load()(run)
            while True:
                told = self._waiting.get()
                if isinstance(told, str):
                    tracker.close(told)
                    return
                tracker.log(*told)
        # Whatever a service raises, SystemExit included, is no reason to lose a run.
        except BaseException as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            warn(
                f"{self.name} has failed and is told no more ({why}). "
                "Every number is in metrics.jsonl."
            )

    def log(self, step: int, values: Values) -> None:
        if self._thread.is_alive():
            self._waiting.put((step, values))

    def close(self, state: str) -> None:
        self._waiting.put(state)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            warn(f"{self.name} does not answer; the run ends without it.")


class Trackers:
    """All trackers of a run as one; with none of them it does nothing."""

    def __init__(self, names: Sequence[str], run: Tracked) -> None:
        self._guarded = [Guarded(name, run) for name in dict.fromkeys(names)]

    def log(self, step: int, values: Values) -> None:
        for tracker in self._guarded:
            tracker.log(step, values)

    def close(self, state: str) -> None:
        for tracker in self._guarded:
            tracker.close(state)
