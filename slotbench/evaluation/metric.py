"""The base class of a group of metrics, and its input."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from slotbench.evaluation.result import Array, Progress, Result, mean_result, silent

if TYPE_CHECKING:
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.evaluation.frozen_pass import Representations
    from slotbench.evaluation.slot_probes import Kind, Probe

JUDGED = "judged"
"""Role of the split that is judged, whatever its name."""


@dataclass
class Context:
    """A metric's input."""

    dataset: "DatasetFile"
    seed: int
    made: "Mapping[str, Representations]"
    """By role: :data:`JUDGED`, and the splits that :meth:`Metric.splits` names."""
    probe_steps: int = 6_000
    """Most steps for which a probe is trained."""
    device: str = "cpu"
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason for each group, or prefix of keys, that could not be computed."""
    report: Progress = silent
    """Takes the progress of this metric."""
    trained: "dict[int, dict[Kind, Probe]]" = field(default_factory=dict)
    """Probes that metrics share, by the width of the hidden layer."""

    @property
    def judged(self) -> "Representations":
        """The frozen core's arrays of the judged split."""
        return self.made[JUDGED]

    def probes(self, hidden: int = 0) -> "dict[Kind, Probe]":
        """Probes of train's slots, selected on val; without ``mask`` where nothing is labelled.

        The first metric that asks trains all of them together. So a metric's numbers do not
        depend on which other metrics are computed.
        """
        if hidden not in self.trained:
            # Training a run imports this module; it needs no probe.
            from slotbench.evaluation.slot_probes import train_probes

            train, val = self.made["train"], self.made["val"]
            kinds: list[Kind] = ["loss", "mask"] if train.labelled and val.labelled else ["loss"]
            self.trained[hidden] = train_probes(
                train,
                val,
                self.dataset.layout,
                seed=self.seed,
                kinds=kinds if hidden else [*kinds, "set"],
                hidden=hidden,
                steps=self.probe_steps,
                progress=self.progress(),
            )
        return self.trained[hidden]

    def progress(self, part: int = 0, parts: int = 1) -> Progress:
        """Reports the progress of one of ``parts`` equal parts of this metric."""
        return lambda done, total: self.report(part + done / max(1, total), parts)

    def means(self, values: Mapping[str, Tensor | Array]) -> dict[str, Result]:
        """:func:`slotbench.evaluation.result.mean_result` of each key's values (n,)."""
        return {key: mean_result(each, self.seed) for key, each in values.items()}

    def skip(self, key: str, reason: str) -> dict[str, Result]:
        """Note why ``key`` has no result; returns no results."""
        self.skipped[key] = reason
        return {}


class Metric(ABC):
    """A group of metrics that are computed together, registered under ``metrics``.

    A subclass's docstring defines its numbers, names their source, and says what happens in the
    cases that the definition leaves open. It must state ``name``, ``summary``,
    ``source``, ``version``, ``keys`` and ``better``.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Version of the definitions. Raise it when the same masks and slots would give other numbers.
    Every result gets it; results of another version are stale."""
    keys: ClassVar[tuple[str, ...]]
    """Patterns (fnmatch) of the keys it gives. No two groups share a key."""
    better: ClassVar[int]
    """1: higher is better; -1: lower is better; 0: neither."""
    directions: ClassVar[Mapping[str, int]] = {}
    """Patterns of keys whose direction is another than ``better``."""
    ranges: ClassVar[Mapping[str, tuple[float | None, float | None]]] = {}
    """Patterns of keys -> least and greatest value, None where there is no bound. The first pattern
    that fits counts. Intervals are cut there when they are shown."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Keys that the leaderboard shows by default."""
    compared: ClassVar[tuple[str, ...]] = ()
    """Keys whose differences the leaderboard tests."""
    default: ClassVar[bool] = True
    """Whether ``all`` includes it."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Arrays of the judged split, from :data:`slotbench.evaluation.frozen_pass.ARRAYS`. An array
    that the core or objective cannot give (no decoder, no initial noise) is missing."""
    trains: ClassVar[tuple[str, ...]] = ()
    """Arrays of train and of val, for probes."""
    cost: ClassVar[float] = 0.0
    """Work beside the passes, in images passed through a small core. Only the bar uses it."""

    def splits(self, dataset: "DatasetFile") -> dict[str, tuple[str, ...]]:
        """Role or split -> arrays that it needs."""
        del dataset
        wanted = {JUDGED: self.needs}
        if self.trains:
            wanted |= dict.fromkeys(("train", "val"), self.trains)
        return wanted

    @abstractmethod
    def compute(self, context: Context) -> dict[str, Result]:
        """Results by key. :meth:`Context.skip` takes the reason for a missing one."""
