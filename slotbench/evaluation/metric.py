"""What a group of metrics is, and what it is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result

JUDGED = "judged"
"""The role of the split that is judged, whatever its name."""
Progress = Callable[[int, int], None]


@dataclass
class Context:
    """What a metric computes from."""

    dataset: "DatasetFile"
    seed: int
    made: "Mapping[str, Representations]"
    """By role: :data:`JUDGED`, and the splits that :meth:`Metric.splits` names."""
    probe_steps: int = 6_000
    """At most how many steps a probe is trained."""
    device: str = "cpu"
    skipped: dict[str, str] = field(default_factory=dict)
    """Why something could not be computed, by group or beginning of key."""
    report: Callable[[float], None] = lambda _: None
    """Takes the share of this metric's work that is done."""

    @property
    def judged(self) -> "Representations":
        return self.made[JUDGED]

    def progress(self, part: int = 0, parts: int = 1) -> Progress:
        """A callback (done, of how many) for part ``part`` of ``parts`` equal ones."""
        return lambda done, total: self.report((part + done / max(1, total)) / parts)

    def skip(self, key: str, reason: str) -> "dict[str, Result]":
        """Note why ``key`` has no result; returns no results."""
        self.skipped[key] = reason
        return {}


class Metric(ABC):
    """A group of metrics that is computed together.

    A subclass says in its docstring what its numbers are, from which source, and what happens
    in the cases that the definition leaves open. It is registered by its name under ``metrics``.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Of the definitions: raised when the same masks and slots would give other numbers, or when
    there are further keys. It stands in every result; older results are stale."""
    default: ClassVar[bool] = True
    """Whether it is computed where no group is named."""
    keys: ClassVar[tuple[str, ...]]
    """Patterns (fnmatch) of the keys it gives; no two groups share one."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Arrays of the judged split, names of :data:`slotbench.evaluation.representations.ARRAYS`.
    One that a core or objective cannot give (no decoder, no initial noise) is not there."""
    trains: ClassVar[tuple[str, ...]] = ()
    """Arrays of train and of val, for what is trained on one and chosen on the other."""
    cost: ClassVar[float] = 0.0
    """What it takes beside the passes, in images passed through a small core: for the bar."""

    def splits(self, dataset: "DatasetFile") -> dict[str, tuple[str, ...]]:
        """Role or split -> arrays that must be there."""
        del dataset
        wanted = {JUDGED: self.needs}
        if self.trains:
            wanted |= dict.fromkeys(("train", "val"), self.trains)
        return wanted

    @abstractmethod
    def compute(self, context: Context) -> "dict[str, Result]":
        """Results by key. What cannot be computed goes to :meth:`Context.skip`."""
