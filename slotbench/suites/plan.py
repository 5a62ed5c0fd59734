"""Resolves a suite into its cells. A cell is a run, with the run's directory and id.

So no finished run is repeated, whichever suite or command trained it.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.datasets.shifts.kinds import lacking
from slotbench.errors import UserError
from slotbench.fields import text_of
from slotbench.files import typed
from slotbench.results.run import Run
from slotbench.suites.document import CHOICES, Combination, Suite, Value
from slotbench.suites.state import Progress, progress_of


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    values: Mapping[str, Value]
    """The values of the axes that apply to the cell."""
    choice: Choice
    run: Run
    metrics: tuple[str, ...]

    def progress(self) -> Progress:
        """Its progress, from the run's directory."""
        return progress_of(self.run, self.metrics)

    @cached_property
    def key(self) -> str:
        """The run's directory, which identifies the cell."""
        return str(self.run.path)

    @property
    def label(self) -> str:
        """``clevr:clevr6 simclr hungarian core.width=32 seed 0``."""
        texts = [
            text_of(value) if key in CHOICES else f"{key}={text_of(value)}"
            for key, value in self.values.items()
            if key != "seed"
        ]
        return " ".join([*texts, f"seed {self.choice.seed}"])

    @property
    def words(self) -> list[str]:
        """The ``slotbench train`` command of this run."""
        words = ["slotbench", "train"]
        for key, default in vars(Choice()).items():
            value = getattr(self.choice, key)
            if key == "overrides":
                words += [word for text in value for word in ("--set", text)]
            elif value != default:
                words += [f"--{key.replace('_', '-')}", str(value)]
        return words


@dataclass(frozen=True)
class Where:
    """Folders and device of a suite's runs."""

    data_dir: Path = Path("data")
    results_dir: Path = Path("results")
    device: str = "auto"

    @property
    def options(self) -> str:
        """The command-line options for these folders."""
        return typed("data", self.data_dir) + typed("results", self.results_dir)


@dataclass(frozen=True)
class Plan:
    """A suite's cells in the order of execution."""

    suite: Suite
    where: Where
    cells: tuple[Cell, ...]
    unprepared: Mapping[str, int]
    """Missing dataset -> the number of combinations that need it."""

    def prepare_commands(self) -> list[list[str]]:
        """The commands that prepare the missing datasets."""
        options = []
        for key, value in self.suite.prepare.items():
            if value is not False:
                words = [] if value is True else [text_of(value)]
                options += [f"--{key.replace('_', '-')}", *words]
        options += shlex.split(typed("data", self.where.data_dir))
        return [["slotbench", "prepare", name, *options] for name in self.unprepared]


def plan(suite: Suite, where: Where, preset: str) -> Plan:
    """Resolve every combination; combinations that resolve to the same run are one cell.

    ``preset`` replaces ``auto``. A cell drops values that do not apply to it: an alignment if its
    objective takes none, or a field that its core, objective or decoder lacks. :class:`UserError`
    for a field that no cell has, and for an objective that cannot be trained on its dataset.
    """
    data, unprepared = _data(suite, where.data_dir)
    cells: dict[str, Cell] = {}
    resolved: dict[str, tuple[Choice, Combination, RunConfig]] = {}
    for values in suite.combinations():
        settings: Combination = {**suite.fixed, **values}
        reference = str(settings.get("dataset", "clevr"))
        if reference in unprepared:
            unprepared[reference] += 1
            continue
        # Combinations that differ only in their seed are resolved once.
        seed = int(str(settings.get("seed", 0)))
        alike = repr({**values, "seed": 0 <= seed < 2**63 or seed})
        try:
            if alike not in resolved:
                choice, applied = _choice(values, settings, data[reference], preset, where)
                resolved[alike] = choice, applied, resolve(choice, data[reference])
                _check_video(resolved[alike][2])
        except UserError as error:
            shown = " ".join(f"{key}={text_of(value)}" for key, value in values.items())
            raise UserError(f"{suite.file} ({shown}): {error.message}", error.advice) from error
        choice, applied, config = resolved[alike]
        if "seed" in values:
            applied = {**applied, "seed": seed}
            choice, config = replace(choice, seed=seed), replace(config, seed=seed)
        run = Run.of(config, where.results_dir.absolute())
        cells.setdefault(str(run.path), Cell(applied, choice, run, suite.metrics))
    if cells:
        _check_used(
            suite, set().union(*(_keys(cell.choice) for cell in cells.values())), data, preset
        )
    return Plan(suite, where, tuple(cells.values()), unprepared)


def to_text(plan: Plan) -> str:
    """A plan as JSON, for :func:`from_text`."""
    cells = [
        {"values": cell.values, "choice": vars(cell.choice), "run": cell.key} for cell in plan.cells
    ]
    return json.dumps({"cells": cells, "unprepared": dict(plan.unprepared)})


def from_text(suite: Suite, where: Where, text: str) -> Plan:
    """The plan in a text of :func:`to_text`."""
    document = json.loads(text)
    cells = []
    for cell in document["cells"]:
        choice = Choice(**{**cell["choice"], "overrides": tuple(cell["choice"]["overrides"])})
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in cell["values"].items()}
        cells.append(Cell(values, choice, Run(Path(cell["run"])), suite.metrics))
    return Plan(suite, where, tuple(cells), document["unprepared"])


def _data(suite: Suite, data_dir: Path) -> tuple[dict[str, DatasetInfo], dict[str, int]]:
    """The facts of each prepared dataset, and 0 for each missing one."""
    found: dict[str, DatasetInfo] = {}
    missing: dict[str, int] = {}
    for reference in suite.datasets():
        try:
            path = locate(reference, data_dir)
        except UserError:
            missing[reference] = 0
            continue
        with DatasetFile(path) as dataset:
            if lacking(dataset, str(suite.prepare.get("shifts", ""))):
                missing[reference] = 0
            else:
                found[reference] = dataset_info(dataset)
    return found, missing


def _choice(
    values: Combination, settings: Combination, info: DatasetInfo, preset: str, where: Where
) -> tuple[Choice, Combination]:
    """The choice of a combination, and its values that apply."""
    chosen: dict[str, Any] = {key: value for key, value in settings.items() if key in CHOICES}
    fields = {key: value for key, value in settings.items() if key not in CHOICES}
    if chosen.get("preset", "auto") == "auto":
        chosen["preset"] = preset
    choice = Choice(**{**chosen, "alignment": None}, results_dir=str(where.results_dir))
    if "alignment" in chosen and resolve(choice, info).alignment is not None:
        choice = replace(choice, alignment=chosen["alignment"])
    for names in (True, False):  # the names of encoder and decoder decide which fields there are
        wanted = [key for key in fields if key.endswith(".name") == names]
        sections = resolve(choice, info).sections
        kept = [f"{key}={text_of(fields[key])}" for key in wanted if _has(sections, key)]
        choice = replace(choice, overrides=(*choice.overrides, *kept))
    return choice, {key: value for key, value in values.items() if key in _keys(choice)}


def _keys(choice: Choice) -> set[str]:
    """The keys that apply to a choice."""
    fields = {text.partition("=")[0] for text in choice.overrides}
    return fields | set(CHOICES) - ({"alignment"} if choice.alignment is None else set())


def _has(sections: Mapping[str, Any], key: str) -> bool:
    section, _, field = key.partition(".")
    return section in sections and (field == "name" or hasattr(sections[section], field))


def _check_video(config: RunConfig) -> None:
    temporal = any(config.component(config.part_section(part)).temporal for part in config.parts)
    if temporal and not config.dataset.layout.get("frames"):
        raise UserError(
            f"the objective {config.names['objective']} follows frames of a video, and "
            f"{config.dataset.reference} holds images.",
            "Leave it out with [[skip]], naming dataset and objective.",
        )


def _check_used(suite: Suite, used: set[str], data: Mapping[str, DatasetInfo], preset: str) -> None:
    """The error of ``--set`` for a field that no cell has."""
    keys = {*suite.axes, *suite.fixed}
    for key in sorted(key for key in keys if key not in used and "." in key):
        value = suite.fixed[key] if key in suite.fixed else suite.axes[key][0]
        chosen = {**suite.fixed, **suite.combinations()[0]}
        choice = Choice(
            objective=str(chosen.get("objective", Choice.objective)),
            core=str(chosen.get("core", Choice.core)),
            preset=preset,
            overrides=(f"{key}={text_of(value)}",),
        )
        try:
            resolve(choice, next(iter(data.values())))
        except UserError as error:
            raise UserError(f"{suite.file}: {key}: {error.message}", error.advice) from error
    if "alignment" in keys and "alignment" not in used:
        raise UserError(f"{suite.file}: alignment: no objective of this suite takes one.")
