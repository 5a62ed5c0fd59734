"""Models of a run's documents, which may come from anyone.

Reading one that does not fit raises :class:`UserError` with the field. Control characters are
removed from text.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Required

from annotated_types import Interval, Len
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from slotbench.errors import UserError
from slotbench.files import Document, read_document
from slotbench.progress import plain

SCHEMA_VERSION = 1
_THREAD = re.compile(r"\b1 threads")
Text = Annotated[str, AfterValidator(plain)]
Device = Annotated[Text, AfterValidator(lambda name: _THREAD.sub("1 thread", name))]
"""Earlier runs wrote "cpu, 1 threads"."""
Whole = Annotated[int, Interval(ge=0, lt=2**63)]
Number = Annotated[float, Interval(ge=-1e30, le=1e30)] | None
"""Sums and squares of these are finite, too."""
State = Literal["new", "running", "done", "failed", "interrupted"]


class Schema(Document):
    """A document with a version of its form."""

    form: Annotated[Literal[1], Field(alias="schema")]


class DatasetFacts(Document):
    """The data that a run was trained on."""

    name: Text
    variant: Text
    origin: Text
    fingerprint: Text
    image_size: Annotated[int, Interval(ge=1, le=1 << 16)]
    recipe: Text | None = None

    @property
    def reference(self) -> str:
        """``name:variant``."""
        return f"{self.name}:{self.variant}"

    @property
    def identity(self) -> str:
        """Equal for the same data on every machine: recipe of rendered data, else fingerprint."""
        return (self.recipe if self.origin == "rendered" else None) or self.fingerprint


class Component(Document):
    """A section of a configuration that names a component."""

    name: Text
    alignment: Text | None = None


class TrainFacts(Document):
    """The fields of ``train`` that make up the budget."""

    steps: Whole
    batch_size: Whole = 1
    budget: Text = ""
    starts: Whole = 1
    start_steps: Whole = 0

    @property
    def images(self) -> str:
        """The budget in words: seconds, FLOPs, or the images that all starts and the run see."""
        steps = self.steps + (self.starts * self.start_steps if self.starts > 1 else 0)
        return self.budget or f"{steps * self.batch_size:,} images"


class TransferFacts(Document):
    """The data of a transfer, and the number of slots on it."""

    dataset: DatasetFacts
    slots: Whole


class InitFacts(Document):
    """The run whose weights a run starts from (``--init``)."""

    run: Text
    model: Text
    objective: Text
    dataset: Text


class ExtendedFacts(Document):
    """The finished run that a run extends, and its last step."""

    run: Text
    step: Whole


class Tuning(Document):
    """The budget of a contestant's tuning."""

    trials: Whole
    steps: Whole


class Config(Schema):
    """``config.json`` of a run, or of an entry (``kind``) that was not trained here."""

    seed: Annotated[int, Interval(ge=0, lt=2**64)]
    dataset: DatasetFacts
    preset: Text = ""
    core: Component | None = None
    objective: Component | None = None
    train: TrainFacts | None = None
    overrides: dict[Text, Any] = Field(default_factory=dict)
    tuning: Tuning | None = None
    init: InitFacts | None = None
    extended: ExtendedFacts | None = None
    versions: dict[str, int] = Field(default_factory=dict)
    kind: Literal["external", "baseline"] | None = None
    name: Text = ""
    slots: Whole | None = None
    source: dict[str, Any] = Field(default_factory=dict)
    trained_on: Text | None = None
    """Only of a transfer; its ``dataset`` is the data of the evaluation."""
    judged_slots: Whole | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if self.kind is None and None in (self.core, self.objective, self.train):
            raise ValueError("a run needs core, objective and train")
        if self.kind is not None and not self.name:
            raise ValueError("an entry needs a name")
        if self.kind == "external" and not isinstance(self.source.get("file"), str):
            raise ValueError("an external entry needs the name of its file in source")
        if self.trained_on is not None and self.judged_slots is None:
            raise ValueError("a transfer needs its number of slots in judged_slots")
        return self


class Status(Document):
    """``status.json``: the progress of a run; None for an unknown number."""

    state: State = "new"
    reason: Text = ""
    step: Whole = 0
    steps: Whole | None = None
    seconds: Number = None
    images_per_second: Number = None
    parameters: Number = None
    flops: Number = None
    device: Device = ""
    warnings: list[Text] = Field(default_factory=list)
    host: Text | None = None
    """Identifies the kernel of the machine that trains the run."""
    evaluation_error: Text | None = None


class Result(TypedDict, total=False):
    """One metric of an evaluation: its value and the 95 % interval over images.

    A leaderboard reads hundreds of thousands of these; dictionaries take half the time of models.
    """

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")  # type: ignore[misc]

    value: Required[Number]
    version: Required[int]
    low: Number
    high: Number
    n: Whole | None
    left_out: Whole | None
    spread: Number


def _with_plain_keys(found: dict[str, Result]) -> dict[str, Result]:
    if "".join(found).isprintable():
        return found
    return {plain(key): result for key, result in found.items()}


class Evaluation(Schema):
    """``evaluation.json``."""

    split: Text
    fingerprint: Text
    resolution: Annotated[list[Whole], Len(2, 2)]
    images: Whole
    objects: Whole | None = None
    metrics: Annotated[dict[str, Result], AfterValidator(_with_plain_keys)]
    groups: dict[str, int] = Field(default_factory=dict)
    skipped: dict[Text, Text] = Field(default_factory=dict)
    model: Text | None = None
    transfer: TransferFacts | None = None


class Git(Document):
    """The commit of slotbench's source and whether it was clean."""

    commit: Annotated[str, Field(pattern="^[0-9a-f]{7,64}$")] | None = None
    clean: bool | None = None


class PluginFile(Document):
    """A plugin that a run was trained with."""

    file: str
    sha256: str | None = None
    names: list[str] = Field(default_factory=list)


class Environment(Document):
    """``environment.json``."""

    plugins: list[PluginFile] = Field(default_factory=list)
    slotbench: Text | None = None
    python: Text | None = None
    threads: Whole | None = None
    git: Git = Git()
    packages: dict[str, Text] = Field(default_factory=dict)


class Published(Document):
    """A record of ``results/published``."""

    config: dict[str, Any]
    status: Status
    evaluation: Evaluation | None = None
    environment: Environment = Environment()


def environment(file: Path) -> Environment:
    """``environment.json``; empty if it is missing or cannot be read."""
    try:
        return read_document(file, Environment)
    except UserError:
        return Environment()
