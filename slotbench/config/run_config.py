"""A run's configuration, fully resolved, and how a user changes a field of it.

A configuration has sections: ``core``, ``encoder``, ``objective``, ``decoder``, ``views`` and
``train``. Each is a frozen dataclass. Cores, encoders, objectives and decoders name their own, so
a new component brings its own fields.
"""

import dataclasses
import hashlib
import json
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

from slotbench import registry
from slotbench.config.mixture import Part
from slotbench.config.mixture import parse as parse_objective
from slotbench.errors import UserError
from slotbench.fields import (
    Count,
    NoOptions,
    NotNegative,
    Options,
    Space,
    Span,
    Steps,
    Whole,
    number,
    written,
)
from slotbench.registry import Kind

SCHEMA_VERSION = 1
COMPONENTS: dict[str, Kind] = {
    "core": "cores",
    "encoder": "encoders",
    "objective": "objectives",
    "decoder": "decoders",
}


@dataclass(frozen=True)
class TrainConfig(Options):
    """The training loop's fields."""

    space: ClassVar[Space] = {
        "learning_rate": Span(3e-4, 6e-3, log=True),
        "clip": ("0.05", "0.1", "0.3", "1.0"),
        "warmup": ("100", "300", "600"),
    }
    later: ClassVar[tuple[str, ...]] = ("budget", "starts", "start_steps")
    steps: Steps = 20_000
    """Optimiser steps."""
    budget: str = ""
    """``600:seconds`` of training end a run early; ``2e15:flops`` set its steps. ``--budget`` sets
    this field, and takes steps and images too."""
    batch_size: Count = 64
    """Images a step."""
    learning_rate: NotNegative = 4e-4
    """Adam's rate, after warm-up and before decay."""
    warmup: Whole = 1_000
    """Steps over which the rate rises linearly from 0."""
    decay: Literal["none", "cosine", "exponential"] = "cosine"
    """``cosine``: to 0 at the last step; ``exponential``: halved every ``half_life`` steps."""
    half_life: Steps = 100_000
    """Steps in which an exponential decay halves the rate."""
    clip: NotNegative = 1.0
    """Greatest norm of the gradient; 0: no clipping."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 where a GPU computes in it, else float32."""
    compile: bool = False
    """Whether the objective's loss is compiled (torch.compile)."""
    log_every: Steps = 20
    """Steps from one line of ``metrics.jsonl`` to the next."""
    val_every: Steps = 500
    """Steps from one loss on ``val`` to the next."""
    picture_every: Whole = 2_000
    """Steps from one picture of the slots to the next; 0: none while training."""
    starts: Annotated[int, Interval(ge=1, le=100)] = 1
    """Sets of initial weights to try. Each trains for ``start_steps``; the one with the lowest loss
    on val is then trained from the first step to the last. Slots then keep regions of the frame on
    fewer seeds."""
    start_steps: Steps = 800
    """Steps of each start, if there are several. They count as cost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.starts > 1 and self.budget:
            raise ValueError(f"starts={self.starts}: expected 1 with budget={self.budget}")
        if self.starts > 1 and self.start_steps > self.steps:
            tried, steps = self.start_steps, self.steps
            raise ValueError(f"starts={self.starts}: expected start_steps={tried} <= steps={steps}")


@dataclass(frozen=True)
class DatasetInfo:
    """The data of a run; ``fingerprint`` is a hash of the prepared file's content."""

    name: str
    variant: str
    origin: str
    fingerprint: str
    image_size: int
    objects: int
    layout: Mapping[str, Any] = field(default_factory=dict)
    """The layout's JSON, for objectives that need it. Not part of the run's id, which has the
    fingerprint."""
    recipe: str = ""
    """A hash of how the data was rendered, equal on every machine, by which results join; empty for
    imported data. Not part of the run's id."""

    @property
    def reference(self) -> str:
        """``name:variant``, as ``--dataset`` takes it."""
        return f"{self.name}:{self.variant}"


@dataclass(frozen=True)
class RunConfig:
    """A run, fully resolved: everything that its result depends on."""

    seed: int
    preset: str
    dataset: DatasetInfo
    names: Mapping[str, str | None]
    """Section -> the name of its component; none where the objective has no decoder."""
    alignment: str | None
    sections: Mapping[str, Any]
    """Section -> dataclass of its fields."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """``section.field`` -> value, where it differs from the preset's."""
    tuning: Mapping[str, int] = field(default_factory=dict)
    """Trials and steps that the settings of the preset ``tuned`` cost; not part of the run's id."""
    init: Mapping[str, str] = field(default_factory=dict)
    """The run whose weights this one starts from: its id (``run``, not part of this run's id), its
    ``objective`` and ``dataset``, and the sha256 of its ``model``."""
    extended: Mapping[str, Any] = field(default_factory=dict)
    """The finished run that this one continues: its id (``run``) and its last ``step``."""

    @property
    def train(self) -> TrainConfig:
        """The fields of the training loop."""
        section: TrainConfig = self.sections["train"]
        return section

    def component(self, section: str) -> Any:
        """The class that the registry names for ``core``, ``encoder``, ``objective``, ..."""
        name = self.names[section]
        assert name is not None
        return registry.get(COMPONENTS.get(section, "objectives"), name).load()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The objectives: one, or the parts of a combination."""
        return parse_objective(str(self.names["objective"]))

    def part_section(self, part: Part) -> str:
        """The section that holds a part's fields: in a combination, the part's own name."""
        return "objective" if len(self.parts) == 1 else part.name

    def to_dict(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        document: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "seed": self.seed,
            "preset": self.preset,
            "dataset": dataclasses.asdict(self.dataset),
        }
        if not self.dataset.recipe:
            del document["dataset"]["recipe"]
        for section, options in self.sections.items():
            name = {"name": self.names[section]} if section in self.names else {}
            document[section] = {**name, **written(options)}
        if self.alignment is not None:
            document["objective"]["alignment"] = self.alignment
        for key in ("tuning", "init", "extended"):
            if found := getattr(self, key):
                document[key] = dict(found)
        versions: dict[str, Any] = {"core": self.component("core").version}
        for part in self.parts:
            section = self.part_section(part)
            versions[section] = self.component(section).version
        return {**document, "overrides": dict(self.overrides), "versions": versions}

    @property
    def id(self) -> str:
        """Eight hexadecimal digits: a hash of configuration, fingerprint, versions and plugins."""
        document = self.to_dict()
        if edited := self.plugins():
            document["plugins"] = edited
        # Equal fields are the same run, however they were typed.
        for key in ("overrides", "preset", "tuning"):
            document.pop(key, None)
        document["dataset"] = {**document["dataset"]}
        for key in ("layout", "recipe"):
            document["dataset"].pop(key, None)
        if self.init:
            del document["init"]["run"]
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def plugins(self) -> dict[str, str]:
        """``kind/name`` of each component that is not slotbench's -> sha256 of its source file."""
        used: list[tuple[Kind, str | None]] = [
            (kind, self.names.get(section)) for section, kind in COMPONENTS.items()
        ]
        used += [("objectives", part.name) for part in self.parts]
        used += [("alignments", self.alignment), ("datasets", self.dataset.name)]
        found = {}
        for kind, name in used:
            entry = registry.entries(kind).get(str(name))
            if entry is not None and (digest := entry.foreign_digest()):
                found[f"{kind}/{name}"] = digest
        return found

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], label: str = "config.json") -> "RunConfig":
        """Read ``config.json`` back; :class:`UserError` names the field that does not fit."""
        if document.get("schema") != SCHEMA_VERSION:
            raise UserError(f"{label}: schema {document.get('schema')}, not {SCHEMA_VERSION}.")
        section = "objective"
        names: dict[str, str | None] = {}
        sections: dict[str, Any] = {}
        try:
            alignment = document["objective"].get("alignment")
            parts = parse_objective(document["objective"]["name"])
            own = tuple(part.name for part in parts if len(parts) > 1)
            kinds = [registry.get("objectives", part.name).load() for part in parts]
            without = {"decoder", "views"} - needed(kinds)
            for section in ("core", "encoder", "objective", *own, "decoder", "views", "train"):
                if section in without and section not in document:
                    continue
                # JSON has no tuples.
                stored: dict[str, Any] = {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in document[section].items()
                }
                stored.pop("alignment", None)
                if section not in ("views", "train"):
                    names[section] = stored.pop("name")
                sections[section] = section_type(section, names.get(section))(**stored)
            section = "dataset"
            if alignment is not None:
                registry.get("alignments", alignment)
            return cls(
                document["seed"],
                document["preset"],
                DatasetInfo(**document["dataset"]),
                names,
                alignment,
                sections,
                document["overrides"],
                *(document.get(key, {}) for key in ("tuning", "init", "extended")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = str(error).rpartition("__init__() ")[2]
            why += " is missing" if isinstance(error, KeyError) else ""
            said = f"{label} is not of this slotbench: {section}: {why}."
            raise UserError(said, "Install the version that wrote it, or train anew.") from error


def needed(kinds: Collection[Any]) -> set[str]:
    """Which of the sections ``decoder`` and ``views`` a run of these objectives has."""
    decoder = {"decoder" for kind in kinds if kind.takes_decoder}
    return decoder | {"views" for kind in kinds if kind.views and not kind.temporal}


def section_type(section: str, name: str | None) -> Any:
    """The dataclass of a section's fields."""
    if section == "train":
        return TrainConfig
    if section == "views":
        from slotbench.datasets.format.views import ViewConfig

        return ViewConfig
    assert name is not None
    if section == "objective" and len(parse_objective(name)) > 1:
        return NoOptions
    return registry.get(COMPONENTS.get(section, "objectives"), name).load().Config


def parse(text: str, wanted: Any, label: str) -> Any:
    """``text`` as a value of the type ``wanted``; :class:`UserError` naming ``label``."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return parse(text, next(kind for kind in arguments if kind is not type(None)), label)
    if origin is Literal:
        if text not in arguments:
            raise registry.unknown(label, text, arguments)
        return text
    if origin is tuple:
        parts = text.split(",")
        if len(parts) != len(arguments):
            raise UserError(
                f"{label}={text}: expected {len(arguments)} values with commas between."
            )
        return tuple(parse(part, kind, label) for part, kind in zip(parts, arguments, strict=True))
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{label}={text}: expected true or false.")
        return text.lower() == "true"
    if wanted in (int, float):
        try:
            value = number(text)
            return value if wanted is float else _whole(text, value)
        except ValueError as error:
            noun = "a whole number" if wanted is int else "a number"
            raise UserError(f"{label}={text}: expected {noun}.") from error
    return text


def _whole(text: str, value: float) -> int:
    """``5e3`` as 5,000; ValueError for a number that is not whole."""
    if "e" not in text.lower():
        return int(text)
    if not value.is_integer():
        raise ValueError
    return int(value)


def parse_override(text: str) -> tuple[str, str, str]:
    """``section.field=value`` as its three parts; :class:`UserError` where it has another form."""
    path, equals, value = text.partition("=")
    section, dot, name = path.strip().partition(".")
    if not (equals and dot and section and name):
        raise UserError(
            f"--set {text}: expected SECTION.FIELD=VALUE.", "For example: --set train.steps=1000"
        )
    return section, name, value.strip()


def with_steps(train: TrainConfig, steps: int, typed: str = "") -> TrainConfig:
    """The training loop's section with other steps; errors name what was ``typed``."""
    try:
        return dataclasses.replace(train, steps=steps)
    except ValueError as error:
        said = str(error).partition(": ")[2]
        raise UserError(f"{typed or f'--steps {steps}'}: {said}.") from error


def with_field(section: str, options: Any, name: str, value: str) -> Any:
    """A section with one field set from text."""
    hints = get_type_hints(type(options))
    known = [item.name for item in dataclasses.fields(options)]
    if name not in known:
        raise registry.unknown(
            "field", f"{section}.{name}", (f"{section}.{each}" for each in known)
        )
    parsed = parse(value, hints[name], f"{section}.{name}")
    try:
        return dataclasses.replace(options, **{name: parsed})
    except ValueError as error:
        raise UserError(f"--set {section}.{error}.") from error
