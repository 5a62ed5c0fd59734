"""One run as the leaderboard sees it: what it is, what it cost, what its evaluation says.

Nothing here raises for a bad run: its faults stand in its ``problems``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from slotbench import registry
from slotbench.errors import UserError
from slotbench.evaluation.collapse import collapse_warning
from slotbench.files import parse_document, read_json
from slotbench.progress import plain
from slotbench.results import documents, entries
from slotbench.results.run import Run, read_status

SPLIT = "test"
TRANSFER = "transfer"
"""The family of runs on data that they were not trained on, and the folder of their numbers."""
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
    """Equal for the same data on every machine: recipe of rendered data, else the fingerprint."""
    core: str | None = None
    objective: str | None = None
    alignment: str | None = None
    preset: str | None = None
    settings: str = ""
    family: str | None = None
    external: bool = False
    seed: int | None = None
    row: str | None = None
    """A hash of everything but the seed: the runs of one row differ in their seed alone."""
    budget: str = ""
    config: Document = field(default_factory=dict)
    status: documents.Status | None = None
    evaluation: documents.Evaluation | None = None
    path: Path | None = None
    """Its directory; None for a published record."""
    environment: documents.Environment = field(default_factory=documents.Environment)
    """Of a published record only; a run keeps its own in its directory."""
    values: dict[str, float] = field(default_factory=dict)
    """Metric -> value, without the missing ones."""
    versions: dict[str, int] = field(default_factory=dict)
    """Metric -> version, of all that were evaluated."""

    @property
    def protocol(self) -> tuple[int, str]:
        """How many images were evaluated, and at which resolution."""
        if self.evaluation is None:
            return 0, ""
        return self.evaluation.images, "x".join(map(str, self.evaluation.resolution))

    @property
    def again(self) -> str:
        """What to type to evaluate the run anew; nothing for a published one."""
        if self.published:
            return ""
        if self.config.get("kind"):
            return f" Type: {plain(entries.command(self.config))}"
        if self.family == TRANSFER:
            words = f"{Path(self.run).parents[1].name} --dataset {self.dataset}"
            return f" Type: slotbench evaluate {words}"
        return f" Type: slotbench evaluate {Path(self.run).name}"


def unreadable(name: str, why: str, *, published: bool = False) -> Found:
    """The record of a run that cannot be read, with the reason."""
    return Found(plain(name), published, reason=why, problems=[f"cannot be read: {why}"])


def read(path: Path, name: str) -> Found:
    """One run, external entry or baseline, from its directory; ``name`` is shown for it."""
    try:
        config = read_json(path / "config.json")
        status = read_status(path, lambda: Run(path).locked())
    except (UserError, OSError) as error:
        return unreadable(name, _reason(error, path))
    evaluation: Any = None
    try:
        # A link that dangles is there, and cannot be read.
        file = path / "evaluation.json"
        if file.exists() or file.is_symlink():
            evaluation = read_json(file)
    except (UserError, OSError) as error:
        evaluation = _reason(error, path)
    return describe(name, config, status, evaluation, path)


def transferred(path: Path, name: str) -> Iterator[Found]:
    """The run's numbers on data that it was not trained on, each a record of its own."""
    folder = path / TRANSFER
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        where = f"{name}/{TRANSFER}/{file.name}"
        try:
            config, evaluation = read_json(path / "config.json"), read_json(file)
            status = read_status(path, lambda: Run(path).locked())
            trained_on = parse_document(config, documents.Config, "config.json").dataset
            facts = parse_document(evaluation, documents.Evaluation, file.name).transfer
            if facts is None:
                raise UserError("it does not say on which data")
        except (UserError, OSError) as error:
            yield unreadable(where, _reason(error, path))
            continue
        other = {
            **config,
            "dataset": evaluation["transfer"]["dataset"],
            "trained_on": trained_on.reference,
            "trained_data": trained_on.identity,
            "judged_slots": facts.slots,
            "overrides": {
                **config.get("overrides", {}),
                "trained_on": trained_on.reference,
                "judged_slots": facts.slots,
            },
        }
        found = describe(where, other, status, evaluation)
        found.published = False
        yield found


def describe(
    name: str, config: Any, status: documents.Status, evaluation: Any, path: Path | None = None
) -> Found:
    """A run; ``evaluation`` is a document, None, or text that names its fault.

    ``path`` is its directory; without one it is a published record.
    """
    found = Found(plain(name), path is None, status.state, status.reason, status=status, path=path)
    found.warnings = list(status.warnings)
    try:
        _identify(found, parse_document(config, documents.Config, "config.json"), config)
    except UserError as error:
        return unreadable(name, str(error).rstrip("."), published=path is None)
    if found.state == "done":
        problem = _judge(found, evaluation)
        if problem:
            found.problems.append(f"{problem}.{found.again}")
        collapsed = collapse_warning(found.values)
        if collapsed:
            found.warnings.append(f"seed {found.seed}: {collapsed}")
    return found


def _identify(found: Found, parsed: documents.Config, config: Document) -> None:
    """Fill in data, names, settings and the row."""
    data = parsed.dataset
    found.dataset, found.origin, found.image_size = data.reference, data.origin, data.image_size
    found.fingerprint, found.data, found.seed = data.fingerprint, data.identity, parsed.seed
    found.config = config
    if parsed.kind is None:
        assert parsed.core is not None
        assert parsed.objective is not None
        assert parsed.train is not None
        found.core, found.objective = parsed.core.name, parsed.objective.name
        found.alignment, found.preset = parsed.objective.alignment, parsed.preset
        found.settings = settings_text(parsed.overrides)
        found.family, found.budget = family_of(found.objective), parsed.train.images
        if parsed.trained_on is not None:
            found.family = TRANSFER
        same = {**config, "dataset": {**config["dataset"], "fingerprint": data.identity}}
        # Each seed follows an earlier run of its own; the rows are the same.
        for key, apart in (("init", ("run", "model")), ("extended", ("run",))):
            if key in config:
                rest = {name: of for name, of in config[key].items() if name not in apart}
                same[key] = rest
        if parsed.init is not None:
            # What the earlier run has cost is not in the budget.
            found.budget += f" after {parsed.init.objective} on {parsed.init.dataset}"
    else:
        # A baseline or predictions from elsewhere: nothing was trained here.
        found.external = parsed.kind == "external"
        found.core = "external" if found.external else "none"
        found.objective, found.preset = parsed.name, ""
        found.settings = "" if found.external else f"slots={parsed.slots}"
        found.family = "external" if found.external else "control"
        same = entries.identity(config)
    found.row = _digest(to_json({key: value for key, value in same.items() if key != "seed"}))


@cache
def _digest(document: bytes) -> str:
    """A hash of a document, whatever the order of its keys; seeds of one row share it."""
    text = json.dumps(json.loads(document), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def family_of(objective: str) -> str:
    """The registry's family; ``combined`` for ``a+b:0.1``, ``unknown`` for a name not there."""
    known = registry.entries("objectives")
    if objective in known:
        return known[objective].family or "unknown"
    return "combined" if "+" in objective else "unknown"


def settings_text(overrides: Mapping[str, Any]) -> str:
    """What differs from the preset, such as ``slot_init=gaussian, steps=1000``; "" for nothing.

    Fields of core and train stand without their section, those of other sections with it.
    """
    texts = []
    for path, value in sorted(overrides.items()):
        section, _, name = path.rpartition(".")
        label = section if name == "name" else name if section in ("core", "train") else path
        texts.append(f"{label}={plain(value) if isinstance(value, str) else json.dumps(value)}")
    return ", ".join(texts)


def _judge(found: Found, evaluation: Any) -> str:
    """Fill in the numbers of a finished run; returns why they cannot count, "" where they do."""
    if evaluation is None:
        return "is done and not evaluated"
    if isinstance(evaluation, str):
        return f"its evaluation cannot be read: {evaluation}"
    try:
        judged = parse_document(evaluation, documents.Evaluation, "evaluation.json")
    except UserError as error:
        return f"its evaluation cannot be read ({str(error).rstrip('.')}): left out"
    found.evaluation = judged
    if judged.split != SPLIT:
        return f"was evaluated on {judged.split}, not {SPLIT}: left out"
    if judged.fingerprint != found.fingerprint:
        return "was evaluated on other data than it was trained on: left out"
    if not judged.metrics:
        return "its evaluation holds no metric: left out"
    cells = judged.metrics.items()
    found.values = {key: float(cell.value) for key, cell in cells if cell.value is not None}
    found.versions = {key: cell.version for key, cell in cells}
    found.counts = True
    return ""


def _reason(error: Exception, path: Path) -> str:
    """The error in words, without the folder that the warning names anyway."""
    return plain(str(error).replace(f"{path}/", "").replace(f"{path} ", "").rstrip("."))
