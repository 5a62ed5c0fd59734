"""A suite's file: its question, the axes whose product is its runs, and the skipped combinations.

It is checked without torch. :mod:`slotbench.suites.plan` checks the fields of cores and objectives.
"""

import itertools
import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from slotbench import registry
from slotbench.config.budget import Budget
from slotbench.config.mixture import parse as parse_objective
from slotbench.datasets.format import places
from slotbench.datasets.shifts.kinds import parse as parse_shifts
from slotbench.errors import UserError
from slotbench.evaluation import groups
from slotbench.fields import text_of
from slotbench.files import Document, parse_document, read_bytes
from slotbench.registry import unknown

Value = str | int | float | bool | tuple[str | int | float, ...]
Combination = dict[str, Value]

CHOICES: dict[str, type] = {
    "dataset": str,
    "core": str,
    "objective": str,
    "alignment": str,
    "preset": str,
    "seed": int,
    "steps": int,
    "budget": str,
}
"""Keys of ``[axes]`` and ``[fixed]`` other than ``section.field``, and their types."""
NAMED = ("encoder", "decoder")
"""Short for ``encoder.name`` and ``decoder.name``."""
KINDS: dict[str, registry.Kind] = {
    "core": "cores",
    "alignment": "alignments",
    "encoder.name": "encoders",
    "decoder.name": "decoders",
    "preset": "presets",
}
_SIZES = ("image_size", "train", "val", "test")
_MADE = ("shifts", "features", "features_weights", "seed", "workers")
PREPARE = (*_SIZES, *_MADE, "from", "download", "skip_damaged")
"""Keys of ``[prepare]``: options of ``slotbench prepare``."""
_KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys((*_SIZES, "seed"), (int, "a whole number")),
    **dict.fromkeys(("download", "skip_damaged"), (bool, "true or false")),
}
MOST_BYTES, MOST_CELLS = 2**20, 20_000
"""Largest file, and most combinations."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_FIELD = re.compile(r"[A-Za-z_][\w-]*\.[A-Za-z_]\w*")


class Written(Document):
    """A suite's file as it is written; see docs/suites.md for the meaning of each key."""

    name: str | None = None
    question: str = ""
    seeds: Any = None
    budget: str | None = None
    metrics: str | list[str] = groups.ALL
    axes: dict[str, Any] = Field(default_factory=dict)
    fixed: dict[str, Any] = Field(default_factory=dict)
    skip: list[dict[str, Any]] = Field(default_factory=list)
    prepare: dict[str, str | int | float | bool | list[str]] = Field(default_factory=dict)


KEYS = tuple(Written.model_fields)


@dataclass(frozen=True)
class Suite:
    """A suite's file, checked."""

    name: str
    question: str
    axes: Mapping[str, tuple[Value, ...]]
    fixed: Mapping[str, Value]
    skips: tuple[Mapping[str, tuple[Value, ...]], ...]
    prepare: Mapping[str, Value]
    """Options of ``slotbench prepare``, for datasets that are missing."""
    metrics: tuple[str, ...]
    """Groups of metrics that every run is judged by."""
    file: Path

    def combinations(self) -> list[Combination]:
        """The product of the axes without the skipped combinations, ordered by seed."""
        keys = sorted(self.axes, key=lambda key: key != "seed")
        found = []
        for values in itertools.product(*(self.axes[key] for key in keys)):
            by_key = dict(zip(keys, values, strict=True))
            if not any(all(by_key[key] in skip[key] for key in skip) for skip in self.skips):
                found.append({key: by_key[key] for key in self.axes})
        return found

    def datasets(self) -> tuple[str, ...]:
        """The reference of every dataset, in the order of the file."""
        named = self.axes.get("dataset") or (self.fixed.get("dataset", "clevr"),)
        return tuple(str(name) for name in named)


def read(file: Path) -> Suite:
    """Read a suite's file; :class:`UserError` names the file and the wrong key."""
    data = read_bytes(file, MOST_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid TOML in UTF-8: {error}.") from error
    for key in document:
        if key not in KEYS:
            wrong = unknown("key", key, KEYS)
            raise UserError(f"{file}: {wrong.message}", wrong.advice)
    written = parse_document(document, Written, str(file))
    try:
        return _checked(written, file)
    except UserError as error:
        raise UserError(f"{file}: {error.message}", error.advice) from error


def _checked(written: Written, file: Path) -> Suite:
    name = file.stem if written.name is None else written.name
    if not _NAME.fullmatch(name):
        raise UserError(f"name = {name!r}: expected small letters, digits, '.', '_' and '-'.")
    if not written.question.strip():
        raise UserError("there is no question.", 'For example: question = "Does ... ?"')
    fixed = _settings("fixed", written.fixed)
    axes = {key: _axis(key, values) for key, values in _settings("axes", written.axes).items()}
    for key, given in (("seed", written.seeds), ("budget", written.budget)):
        if given is not None and (key in axes or key in fixed):
            raise UserError(f"{key} is set twice.", "Keep one of them.")
    if written.seeds is not None:
        axes["seed"] = _seeds(written.seeds)
    if written.budget is not None:
        fixed["budget"] = written.budget
    fixed = {key: _value(f"fixed.{key}", key, value) for key, value in fixed.items()}
    for key in axes:
        if key in fixed:
            raise UserError(f"{key} is both an axis and fixed.", "Keep one of them.")
    if not axes:
        raise UserError("there are no axes.", 'For example: [axes] objective = ["simclr", "byol"]')
    _check_size(math.prod(map(len, axes.values())))
    for key, value in written.prepare.items():
        if (option := key.replace("-", "_")) not in PREPARE:
            raise unknown("key of [prepare]", key, PREPARE)
        wanted, noun = _KINDS.get(option, (type(value), ""))
        if type(value) is not wanted:
            raise UserError(f"prepare.{key} = {value!r}: expected {noun}.")
    if "shifts" in written.prepare:
        parse_shifts(text_of(written.prepare["shifts"]))
    skips = tuple(_skip(number, skip, axes) for number, skip in enumerate(written.skip, 1))
    judged = groups.chosen(written.metrics)
    question = written.question.strip()
    making = {
        key: text_of(of) if isinstance(of, list) else of for key, of in written.prepare.items()
    }
    suite = Suite(name, question, axes, fixed, skips, making, judged, file)
    if not suite.combinations():
        raise UserError("all runs are skipped.", "Take out a [[skip]].")
    return suite


def _check_size(runs: int) -> None:
    if runs > MOST_CELLS:
        said = f"the axes make {runs:,} combinations; expected at most {MOST_CELLS:,}."
        raise UserError(said, "Use fewer values or seeds, or several suites.")


def _settings(table: str, written: Mapping[str, Any]) -> dict[str, Any]:
    """A table's values by key; ``section.field`` may be a dotted key or a table."""
    flat: dict[str, Any] = {}
    for key, value in written.items():
        nested = value.items() if isinstance(value, dict) else [("", value)]
        for field, inner in nested:
            name = _key(table, f"{key}.{field}" if field else key)
            if name in flat:
                raise UserError(f"{table}.{name} is given twice.")
            flat[name] = inner
    return flat


def _key(table: str, key: str) -> str:
    if key in NAMED:
        return f"{key}.name"
    if key in CHOICES or _FIELD.fullmatch(key):
        return key
    advice = "Fields are written section.field, such as core.width."
    raise unknown(f"key of [{table}]", key, (*CHOICES, *NAMED), advice)


def _axis(key: str, values: Any) -> tuple[Value, ...]:
    if not isinstance(values, list):
        raise UserError(f"axes.{key} = {values!r}: expected a list.", f"Type: {key} = [...]")
    if not values:
        raise UserError(f"axes.{key} is empty: there would be no run.")
    _check_size(len(values))
    found = tuple(_value(f"axes.{key}", key, value) for value in values)
    twice, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise UserError(f"axes.{key} has {twice!r} twice.")
    return found


def _seeds(given: Any) -> tuple[Value, ...]:
    if isinstance(given, list):
        return _axis("seed", given)
    if type(given) is not int or given < 1:
        raise UserError(f"seeds = {given!r}: expected a number of seeds, 1 or more, or a list.")
    _check_size(given)
    return tuple(range(given))


def _value(where: str, key: str, value: Any) -> Value:
    """A setting's value; names are looked up in the registry."""
    if key in CHOICES or key in KINDS:
        kind = CHOICES.get(key, str)
        if not isinstance(value, kind) or isinstance(value, bool):
            noun = "a whole number" if kind is int else "text"
            raise UserError(f"{where} = {value!r}: expected {noun}.")
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int | float) for part in parts):
        raise UserError(f"{where} = {value!r}: expected text, a number, true or false.")
    if not all(math.isfinite(part) for part in parts if isinstance(part, float)):
        raise UserError(f"{where} = {value!r}: expected finite numbers.")
    try:
        _look_up(key, value)
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.advice) from error
    found: Value = tuple(value) if isinstance(value, list) else value
    return found


def _look_up(key: str, value: Any) -> None:
    if key in KINDS and (key, value) != ("preset", "auto"):
        registry.get(KINDS[key], value)
    elif key == "objective":
        for part in parse_objective(value):
            registry.get("objectives", part.name)
    elif key == "budget":
        Budget.parse(value, "budget")
    elif key == "dataset" and not places.is_file(value):
        places.parse(value)


def _skip(
    number: int, skip: Mapping[str, Any], axes: Mapping[str, tuple[Value, ...]]
) -> dict[str, tuple[Value, ...]]:
    found = {}
    for key, given in _settings("skip", skip).items():
        if key not in axes:
            raise unknown(f"axis in skip {number}", key, axes, "A skip names values of axes.")
        listed = given if isinstance(given, list) else [given]
        values = tuple(tuple(value) if isinstance(value, list) else value for value in listed)
        for value in values:
            if value not in axes[key]:
                # With quotes, since "0" is not 0.
                wrong, *known = (json.dumps(each, default=str) for each in (value, *axes[key]))
                raise unknown(f"value of {key} in skip {number}", wrong, known)
        found[key] = values
    if not all(found.values()):
        raise UserError(f"skip {number} has an empty list: it would skip no run.")
    if not found:
        raise UserError(f"skip {number} names no axis: it would skip every run.")
    return found
