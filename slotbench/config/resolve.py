"""From the user's words to a :class:`RunConfig`: preset first, then ``--set``."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import registry
from slotbench.config.budget import Budget
from slotbench.config.mixture import canonical, check, parse
from slotbench.config.run_config import (
    COMPONENTS,
    DatasetInfo,
    RunConfig,
    TrainConfig,
    needed,
    parse_override,
    section_type,
    with_field,
    with_steps,
)
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.fields import check_seed

if TYPE_CHECKING:
    from slotbench.config.tuned import Entry


def dataset_info(dataset: DatasetFile) -> DatasetInfo:
    """A run's facts about a prepared file; :class:`UserError` for images that are not square."""
    attributes, layout = dataset.attributes, dataset.layout
    features = [dataclasses.asdict(feature) for feature in layout.features]
    if layout.height != layout.width:
        raise UserError(f"{dataset.path}: images are {layout.height}x{layout.width}, not square.")
    return DatasetInfo(
        str(attributes["name"]),
        str(attributes["variant"]),
        str(attributes["origin"]),
        dataset.fingerprint,
        layout.height,
        layout.objects,
        {**json.loads(layout.to_json()), "features": features},
        dataset.recipe,
    )


Setting = tuple[str, str, str]
"""A section, a field and a value as text."""


@dataclass(frozen=True)
class Choice:
    """A user's choices for a run; they and the dataset determine everything else."""

    dataset: str = "clevr"
    """A name, ``name:variant``, or the path of a prepared file."""
    core: str = "slot-attention"
    objective: str = "reconstruction"
    alignment: str | None = None
    preset: str = "auto"
    """The caller, who knows the device, replaces ``auto``."""
    seed: int = 0
    steps: int | None = None
    overrides: tuple[str, ...] = ()
    """``section.field=value``, as ``--set`` takes them."""
    budget: str | None = None
    """``600:seconds``, as ``--budget`` takes it."""
    results_dir: str = "results"
    """Where tuned settings are looked for first."""


def check_names(choice: Choice) -> None:
    """:class:`UserError` for a name that does not exist, before any file is read."""
    registry.get("cores", choice.core)
    for part in parse(choice.objective):
        registry.get("objectives", part.name)
    if choice.alignment is not None:
        registry.get("alignments", choice.alignment)
    if choice.preset != "auto":
        registry.get("presets", choice.preset)


def resolve(choice: Choice, info: DatasetInfo) -> RunConfig:
    """The configuration of a run; :class:`UserError` names the choice that does not fit."""
    found = _tuned(choice, info) if choice.preset == "tuned" else None
    check_seed(choice.seed)
    typed = [parse_override(text) for text in choice.overrides]
    allowed = None if choice.budget is None else Budget.parse(choice.budget)
    if allowed is not None and not allowed.is_steps:
        typed.append(("train", "budget", str(allowed)))
    objective = canonical(choice.objective)
    given, settings = _given(choice, info, found)
    names, kinds = _names(choice.core, objective, given, [*settings, *typed]), kinds_of(objective)
    sections = _sections(names, kinds, given, info, settings)
    before = dict(sections)
    _set(sections, objective, typed)
    sections["train"] = train = _with_length(sections["train"], choice.steps, allowed, typed)
    # With a single image the loss would be 0 or NaN.
    for name in (name for name, kind in kinds.items() if kind.compares_images):
        if train.batch_size < 2:
            raise UserError(
                f"train.batch_size={train.batch_size}: the objective {name!r} compares the images "
                "of a batch; expected at least 2.",
                "Type: --set train.batch_size=16",
            )
    differs = {
        f"{section}.{item.name}": getattr(after, item.name)
        for section, after in sections.items()
        for item in dataclasses.fields(after)
        if getattr(after, item.name) != getattr(before[section], item.name)
    }
    for section in ("encoder", "decoder"):
        if names.get(section) not in (None, given.get(section, {}).get("name")):
            differs[f"{section}.name"] = names[section]
    return RunConfig(
        choice.seed,
        choice.preset,
        info,
        names,
        _alignment(objective, kinds, choice.alignment),
        sections,
        dict(sorted(differs.items())),
        {} if found is None else {"trials": found.tuned.trials, "steps": found.tuned.steps},
    )


def _with_length(
    train: TrainConfig, steps: int | None, allowed: Budget | None, typed: Iterable[Setting]
) -> TrainConfig:
    """The loop's fields with the steps of ``--steps``, or those that ``--budget`` pays for."""
    if steps is not None or (allowed is not None and allowed.is_steps):
        for told in (value for *field, value in typed if field == ["train", "steps"]):
            other = f"--budget {allowed}" if steps is None else f"--steps {steps}"
            raise UserError(f"--set train.steps={told}, {other}: which?", "Type one of them.")
    if steps is not None:
        train = with_steps(train, steps)
    if train.budget and Budget.parse(train.budget, "train.budget").is_steps:
        raise UserError(
            f"train.budget={train.budget}: here, expected seconds or flops.",
            f"Type: --budget {train.budget}",
        )
    if allowed is None or not allowed.is_steps:
        return train
    if steps is not None:
        raise UserError(f"--steps {steps}, --budget {allowed}: which?", "Type one of them.")
    pays = allowed.steps(1 if allowed.unit == "steps" else train.batch_size)
    return with_steps(train, pays, f"--budget {allowed}")


def _sections(
    names: dict[str, str | None],
    kinds: dict[str, Any],
    given: dict[str, Any],
    info: DatasetInfo,
    settings: Iterable[Setting],
) -> dict[str, Any]:
    """The sections as preset, dataset and tuning give them."""
    # The preset's fields of the objective apply to each part of a combination.
    sections = {
        section: _from_preset(
            section, name, given.get("objective" if section in kinds else section, {})
        )
        for section, name in names.items()
    }
    if "views" in needed(kinds.values()):
        sections["views"] = section_type("views", None)()
    sections["train"] = _from_preset("train", None, given["train"])
    for field in ("slots", "width"):
        if not hasattr(sections["core"], field):
            raise UserError(
                f"The Config of the core {names['core']!r} has no field {field!r}.",
                "Let it inherit CoreConfig of slotbench.cores.core.",
            )
    if sections["core"].slots is None:
        sections["core"] = dataclasses.replace(sections["core"], slots=info.objects + 1)
    _set(sections, str(names["objective"]), settings)
    return sections


def _set(sections: dict[str, Any], objective: str, settings: Iterable[Setting]) -> None:
    """Set fields of the sections; the names of components are set by :func:`_names`."""
    for section, name, value in settings:
        if section in ("decoder", "views") and section not in sections:
            raise UserError(f"--set {section}...: the objective {objective!r} has no {section}.")
        if section not in sections:
            raise registry.unknown("section", section, sections)
        if name != "name":
            sections[section] = with_field(section, sections[section], name, value)


def _given(
    choice: Choice, info: DatasetInfo, found: "Entry | None"
) -> tuple[dict[str, Any], list[Setting]]:
    """The preset's sections, and the settings that were tuned on it.

    :class:`UserError` names the file of tuned settings where they do not fit.
    """

    def of(name: str) -> dict[str, Any]:
        given: dict[str, Any] = registry.get("presets", name).load()()
        of_dataset: dict[str, dict[str, Any]] = given.get("datasets", {})
        return given | of_dataset.get(info.name, of_dataset.get(info.reference, {}))

    if found is None:
        return of(choice.preset), []
    from slotbench.config import tuned

    preset, overrides = found.tuned.preset, found.tuned.overrides
    try:
        if preset == "tuned":
            raise UserError("preset tuned: expected the preset that the settings change.")
        given, settings = of(preset), list(map(parse_override, overrides))
        objective = canonical(choice.objective)
        names = _names(choice.core, objective, given, settings)
        _sections(names, kinds_of(objective), given, info, settings)
    except UserError as error:
        where = f"{found.file}: {found.contestant}"
        raise UserError(f"{where}: {error.message}", tuned.MEND) from error
    return given, settings


def tuned_settings(choice: Choice, info: DatasetInfo) -> tuple[str, dict[str, "Entry"]]:
    """The contestant's key, and the settings that were tuned on the dataset, by key."""
    from slotbench.config import tuned

    objective = canonical(choice.objective)
    alignment = _alignment(objective, kinds_of(objective), choice.alignment)
    known = tuned.read(info.name, info.variant, Path(choice.results_dir))
    return tuned.key_of(choice.core, objective, alignment), known


def _tuned(choice: Choice, info: DatasetInfo) -> "Entry":
    """The tuned settings of a contestant; :class:`UserError` where it has none."""
    key, known = tuned_settings(choice, info)
    if key not in known:
        has = f"There are: {', '.join(known)}." if known else "Nothing was tuned on it yet."
        raise UserError(
            f"--preset tuned: {key} was not tuned on {info.reference}. {has}",
            f"Type: slotbench tune --dataset {info.reference} --objective {choice.objective}",
        )
    return known[key]


def _names(
    core: str, objective: str, given: Any, typed: Iterable[Setting]
) -> dict[str, str | None]:
    """Section -> its component, as typed, or else the preset's."""
    kinds = kinds_of(objective)
    chosen = {"core": core, "encoder": given["encoder"]["name"], "objective": objective}
    if len(kinds) > 1:
        chosen |= {name: name for name in kinds}
    chosen["decoder"] = given["decoder"]["name"]
    for section, name, value in typed:
        if name == "name":
            if section not in ("encoder", "decoder"):
                raise UserError(
                    f"--set {section}.name={value}: only encoder and decoder are set by name.",
                    "Type: --core NAME or --objective NAME",
                )
            chosen[section] = value
    for section in ("core", "encoder", "decoder"):
        registry.get(COMPONENTS[section], chosen[section])
    if "decoder" not in needed(kinds.values()):
        del chosen["decoder"]
    return dict(chosen)


def kinds_of(objective: str) -> dict[str, Any]:
    """Name -> class, for each part of an objective."""
    kinds = {part.name: registry.get("objectives", part.name).load() for part in parse(objective)}
    if len(kinds) > 1:
        check(objective, kinds)
    return kinds


def teacher_settings(objective: str, teacher: str) -> tuple[str, ...]:
    """``--teacher`` as ``--set`` takes it; :class:`UserError` where the objective has none."""
    parts = kinds_of(canonical(objective))
    sections = {name if len(parts) > 1 else "objective": kind for name, kind in parts.items()}
    taught = [
        section
        for section, kind in sections.items()
        if any(item.name == "teacher" for item in dataclasses.fields(kind.Config))
    ]
    if not taught:
        raise UserError(f"--teacher {teacher}: the objective {objective!r} takes none.")
    return tuple(f"{section}.teacher={teacher}" for section in taught)


def _from_preset(section: str, name: str | None, fields: dict[str, Any]) -> Any:
    kind = section_type(section, name)
    known = {item.name for item in dataclasses.fields(kind)}
    # A preset's fields are meant for its own encoder or decoder.
    if "name" in fields and fields["name"] != name:
        fields = {}
    try:
        return kind(**{key: value for key, value in fields.items() if key in known})
    except ValueError as error:  # a plugin's default, or a preset's value for its field
        said = f"The Config of {section} {name!r} refuses a default: {error}."
        raise UserError(said, "Change the default, or the range of the field.") from error


def _alignment(objective: str, kinds: dict[str, Any], alignment: str | None) -> str | None:
    if not any(kind.takes_alignment for kind in kinds.values()):
        if alignment is not None:
            raise UserError(f"--alignment {alignment}: the objective {objective!r} takes none.")
        return None
    name = alignment or registry.names("alignments")[0]
    return registry.get("alignments", name).name
