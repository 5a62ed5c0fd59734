"""One run of the leaderboard: its configuration, cost and evaluation.

A bad run raises no error; its ``problems`` name its faults.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from slotbench import registry
from slotbench.errors import UserError
from slotbench.evaluation.collapse import collapse_warning, region_warning
from slotbench.files import parse_document, read_document, read_json
from slotbench.progress import plain
from slotbench.results import documents, entries, inside
from slotbench.results.run import Run, read_status

SPLIT = "test"
TRANSFER = "transfer"
"""The family of evaluations on other data than the training's, and the folder of their files."""
_APART = ("run", "model")
"""Fields of ``init`` and ``extended`` that may differ between the seeds of a row."""
Document = dict[str, Any]


@dataclass
class Found:
    """One run. A run that cannot be read keeps the defaults."""

    run: str
    """Its directory, or its place in a published file."""
    published: bool
    state: str = "unreadable"
    reason: str = ""
    counts: bool = False
    """Whether it is done and its evaluation can be used."""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dataset: str | None = None
    origin: str | None = None
    image_size: int | None = None
    fingerprint: str | None = None
    data: str = ""
    """Equal for the same data on every machine: recipe of rendered data, else fingerprint."""
    core: str | None = None
    objective: str | None = None
    alignment: str | None = None
    preset: str | None = None
    settings: str = ""
    family: str | None = None
    external: bool = False
    seed: int | None = None
    row: str | None = None
    """A hash of everything but the seed, equal for the runs of one row."""
    budget: str = ""
    config: Document = field(default_factory=dict)
    status: documents.Status | None = None
    evaluation: documents.Evaluation | None = None
    path: Path | None = None
    """Its directory; None for a published record without weights."""
    option: str = ""
    """The option that names its results folder in a command; "" for the default one."""
    environment: documents.Environment = field(default_factory=documents.Environment)
    """Only of a published record; a run has ``environment.json``."""
    values: dict[str, float] = field(default_factory=dict)
    """Metric -> value, without missing values."""
    versions: dict[str, int] = field(default_factory=dict)
    """Metric -> version, for every evaluated metric."""
    unevaluated: bool = False
    """Whether it is a finished run of this machine without an evaluation."""

    @property
    def protocol(self) -> tuple[int, str]:
        """How many images were evaluated, and at which resolution."""
        if self.evaluation is None:
            return 0, ""
        return self.evaluation.images, "x".join(map(str, self.evaluation.resolution))

    @property
    def again(self) -> str:
        """The command that evaluates the run again; "" for a published one."""
        if self.published:
            return ""
        if self.config.get("kind"):
            return f" Type: {plain(entries.command(self.config))}{self.option}"
        words = Path(self.run).name
        if self.family == TRANSFER:
            words = f"{Path(self.run).parents[1].name} --dataset {self.dataset}"
            words += f" --slots {self.config['judged_slots']}"
        return f" Type: slotbench evaluate {words}{self.option}"


def unreadable(name: str, error: Exception, path: Path | None, *, published: bool = False) -> Found:
    """The record of an unreadable run, with the reason."""
    why = _reason(error, path)
    return Found(plain(name), published, reason=why, problems=[f"cannot be read: {why}"])


def read(path: Path, name: str, option: str = "") -> Iterator[Found]:
    """A run, external entry or baseline from its directory, then its transfers to other data.

    ``name`` is :attr:`Found.run`, ``option`` is :attr:`Found.option`.
    """
    try:
        config = read_json(f"{path}/config.json")
        status = read_status(path, lambda: Run(path).locked())
    except (UserError, OSError) as error:
        yield unreadable(name, error, path)
        return
    evaluation: documents.Evaluation | str | None = None
    try:
        evaluation = read_document(f"{path}/evaluation.json", documents.Evaluation)
    except (UserError, OSError) as error:
        if os.path.lexists(path / "evaluation.json"):  # also a link to nowhere
            evaluation = _reason(error, path)
    yield describe(name, config, status, evaluation, path, option)
    for place in inside(f"{path}/{TRANSFER}", folders=False):
        if not place.endswith(".json"):
            continue
        where = f"{name}/{TRANSFER}/{Path(place).name}"
        try:
            judged = read_document(place, documents.Evaluation)
            yield _transferred(where, config, status, judged, option)
        except (UserError, OSError) as error:
            yield unreadable(where, error, path / TRANSFER)


def _transferred(
    name: str, config: Any, status: documents.Status, judged: documents.Evaluation, option: str
) -> Found:
    """The record of a run's evaluation on other data."""
    trained_on = parse_document(config, documents.Config, "config.json").dataset
    if judged.transfer is None:
        raise UserError("it does not say on which data")
    same = {"trained_on": trained_on.reference, "judged_slots": judged.transfer.slots}
    other = {
        **config,
        **same,
        "dataset": judged.transfer.dataset.model_dump(),
        "trained_data": trained_on.identity,
        "overrides": {**config.get("overrides", {}), **same},
    }
    found = describe(name, other, status, judged, option=option)
    found.published = False
    return found


def describe(
    name: str,
    config: Any,
    status: documents.Status,
    evaluation: documents.Evaluation | str | None,
    path: Path | None = None,
    option: str = "",
) -> Found:
    """A run. ``evaluation`` is None where there is none, or says why it cannot be read.

    ``path`` is its directory; a published record has none.
    """
    found = Found(plain(name), path is None, status.state, status.reason, option=option, path=path)
    found.status, found.warnings = status, list(status.warnings)
    try:
        _identify(found, parse_document(config, documents.Config, "config.json"), config)
    except UserError as error:
        return unreadable(name, error, path, published=path is None)
    if found.state == "done":
        problem = _judge(found, evaluation)
        if problem:
            found.problems.append(f"{problem}.{found.again}")
        told = filter(None, (collapse_warning(found.values), region_warning(found.values)))
        found.warnings += [f"seed {found.seed}: {warning}" for warning in told]
    return found


def _identify(found: Found, parsed: documents.Config, config: Document) -> None:
    """Fill in data, names, settings and the row."""
    data = parsed.dataset
    found.dataset, found.origin, found.image_size = data.reference, data.origin, data.image_size
    found.fingerprint, found.data, found.seed = data.fingerprint, data.identity, parsed.seed
    found.config = config
    if parsed.core and parsed.objective and parsed.train and not parsed.kind:
        found.core, found.objective = parsed.core.name, parsed.objective.name
        found.alignment, found.preset = parsed.objective.alignment, parsed.preset
        found.settings = settings_text(parsed.overrides)
        found.family = TRANSFER if parsed.trained_on else family_of(found.objective)
        found.budget = parsed.train.images
        same = {**config, "dataset": {**config["dataset"], "fingerprint": data.identity}}
        same.pop("overrides", None)  # equal fields are one row, however they were typed
        # Each seed follows an earlier run of its own; the rows are the same.
        for key in ("init", "extended"):
            if config.get(key) is not None:
                same[key] = {name: of for name, of in config[key].items() if name not in _APART}
        if parsed.init is not None:
            # The budget does not include the cost of the earlier run.
            found.budget += f" after {parsed.init.objective} on {parsed.init.dataset}"
    else:
        # A baseline or external predictions: nothing was trained here.
        found.external = parsed.kind == "external"
        found.core, found.family = ("external",) * 2 if found.external else ("none", "control")
        found.objective, found.preset = parsed.name, ""
        found.settings = "" if found.external else f"slots={parsed.slots}"
        same = entries.identity(config)
    found.row = _digest(to_json({key: value for key, value in same.items() if key != "seed"}))


@cache
def _digest(document: bytes) -> str:
    """A hash of a document that does not depend on the order of its keys."""
    text = json.dumps(json.loads(document), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def family_of(objective: str) -> str:
    """The registry's family; ``combined`` for ``a+b:0.1``; else ``unknown``."""
    known = registry.entries("objectives")
    if objective in known:
        return known[objective].family or "unknown"
    return "combined" if "+" in objective else "unknown"


def settings_text(overrides: Mapping[str, Any]) -> str:
    """The changes to the preset, such as ``slot_init=gaussian, steps=1000``.

    Sections are named, except core and train.
    """
    texts = []
    for path, value in sorted(overrides.items()):
        section, _, name = path.rpartition(".")
        label = section if name == "name" else name if section in ("core", "train") else path
        texts.append(f"{label}={plain(value) if isinstance(value, str) else json.dumps(value)}")
    return ", ".join(texts)


def _judge(found: Found, judged: documents.Evaluation | str | None) -> str:
    """Fill in the numbers of a finished run; returns why they cannot count, or ""."""
    if judged is None:
        found.unevaluated = bool(found.preset) and not found.published
        return "is done and not evaluated"
    if isinstance(judged, str):
        return f"its evaluation cannot be read: {judged}"
    found.evaluation = judged
    if judged.split != SPLIT:
        return f"was evaluated on {judged.split}, not {SPLIT}: left out"
    if judged.fingerprint != found.fingerprint:
        return "was evaluated on other data than it was trained on: left out"
    if not judged.metrics:
        return "its evaluation holds no metric: left out"
    cells = judged.metrics.items()
    found.values = {key: value for key, cell in cells if (value := cell["value"]) is not None}
    found.versions = {key: cell["version"] for key, cell in cells}
    found.counts = True
    return ""


def _reason(error: Exception, path: Path | None) -> str:
    """The error's message without the folder, which the warning names already."""
    return plain(str(error).replace(f"{path}/", "").replace(f"{path} ", "").rstrip("."))
