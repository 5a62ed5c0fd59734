"""A suite's file: the question, the axes whose product are its runs, and what is left out.

Read and checked without torch; what needs to know the fields of cores and objectives comes
later, in :mod:`slotbench.suites.plan`.
"""

import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench import registry
from slotbench.config.budget import Budget
from slotbench.config.mixture import parse as parse_objective
from slotbench.errors import UserError
from slotbench.evaluation import groups as metrics
from slotbench.registry import unknown

Value = str | int | float | bool | tuple[str | int | float, ...]
Combination = dict[str, Value]

KEYS = ("name", "question", "seeds", "budget", "metrics", "axes", "fixed", "skip", "prepare")
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
"""What an axis or a fixed setting may be, beside ``section.field``."""
NAMED = ("encoder", "decoder")
"""Short for ``encoder.name`` and ``decoder.name``."""
KINDS: dict[str, registry.Kind] = {
    "core": "cores",
    "alignment": "alignments",
    "encoder.name": "encoders",
    "decoder.name": "decoders",
    "preset": "presets",
}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Suite:
    """A suite's file, checked."""

    name: str
    question: str
    axes: Mapping[str, tuple[Value, ...]]
    fixed: Mapping[str, Value]
    skips: tuple[Mapping[str, tuple[Value, ...]], ...]
    prepare: Mapping[str, Value]
    """Options of ``slotbench prepare``, for datasets that are not there yet."""
    metrics: tuple[str, ...]
    """Groups that every run is judged by."""
    file: Path

    def combinations(self) -> list[Combination]:
        """The product of the axes without what is skipped.

        The seed changes last: all of a study stands with one seed before the next begins.
        """
        keys = sorted(self.axes, key=lambda key: key != "seed")
        product = itertools.product(*(self.axes[key] for key in keys))
        order = list(self.axes)
        found = []
        for values in product:
            by_key = dict(zip(keys, values, strict=True))
            if not any(_fits(by_key, skip) for skip in self.skips):
                found.append({key: by_key[key] for key in order})
        return found

    def datasets(self) -> tuple[str, ...]:
        """References of every dataset, in the order of the file."""
        named = self.axes.get("dataset") or (self.fixed.get("dataset", "clevr"),)
        return tuple(str(name) for name in named)


def _fits(values: Mapping[str, Value], skip: Mapping[str, tuple[Value, ...]]) -> bool:
    return all(values[key] in chosen for key, chosen in skip.items())


def read(file: Path) -> Suite:
    """A suite's file; :class:`UserError` that names the file and the key that is wrong."""
    try:
        document = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid TOML: {error}.") from error
    try:
        return _checked(document, file)
    except UserError as error:
        raise UserError(f"{file}: {error.message}", error.advice) from error


def _checked(document: dict[str, Any], file: Path) -> Suite:
    for key in document:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    name = _text(document, "name", file.stem)
    if not NAME.fullmatch(name):
        raise UserError(f"name = {name!r}: expected small letters, digits, '.', '_' and '-'.")
    question = _text(document, "question", "")
    if not question:
        raise UserError("there is no question.", 'For example: question = "Does ... ?"')
    fixed = _settings(document, "fixed")
    axes = {key: _axis(key, values) for key, values in _settings(document, "axes").items()}
    if "seeds" in document:
        if "seed" in axes or "seed" in fixed:
            raise UserError("seeds and seed: which?", "Keep one of them.")
        axes["seed"] = _seeds(document["seeds"])
    if "budget" in document:
        if "budget" in axes or "budget" in fixed:
            raise UserError("budget is set twice.", "Keep one of them.")
        fixed["budget"] = document["budget"]
    fixed = {key: _value(f"fixed.{key}", key, value) for key, value in fixed.items()}
    for key in axes:
        if key in fixed:
            raise UserError(f"{key} is an axis and fixed, too.", "Keep one of them.")
    if not axes:
        raise UserError("there are no axes.", 'For example: [axes] objective = ["simclr", "byol"]')
    prepare = document.get("prepare", {})
    if not isinstance(prepare, dict):
        raise UserError("prepare: expected a table of options.")
    skips = tuple(_skip(number, skip, axes) for number, skip in enumerate(_tables(document), 1))
    groups = metrics.chosen(_text(document, "metrics", metrics.ALL))
    suite = Suite(name, question, axes, fixed, skips, prepare, groups, file)
    _check_skips(suite)
    return suite


def _text(document: dict[str, Any], key: str, default: str) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        raise UserError(f"{key} = {value!r}: expected text.")
    return value.strip()


def _settings(document: dict[str, Any], table: str) -> dict[str, Any]:
    """A table's keys, ``section.field`` written in either way of TOML's."""
    found = document.get(table, {})
    if not isinstance(found, dict):
        raise UserError(f"{table}: expected a table.")
    flat: dict[str, Any] = {}
    for key, value in found.items():
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
    if key in CHOICES or re.fullmatch(r"[A-Za-z_][\w-]*\.[A-Za-z_]\w*", key):
        return key
    error = unknown(f"key of [{table}]", key, (*CHOICES, *NAMED))
    raise UserError(error.message, "Fields are written section.field, such as core.width.")


def _axis(key: str, values: Any) -> tuple[Value, ...]:
    if not isinstance(values, list):
        raise UserError(f"axes.{key} = {values!r}: expected a list.", f"Type: {key} = [...]")
    if not values:
        raise UserError(f"axes.{key} is empty: there would be no run.")
    found = tuple(_value(f"axes.{key}", key, value) for value in values)
    for index, value in enumerate(found):
        if value in found[:index]:
            raise UserError(f"axes.{key} has {value!r} twice.")
    return found


def _seeds(given: Any) -> tuple[Value, ...]:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise UserError(f"seeds = {given}: expected 1 or more.")
        return tuple(range(given))
    return _axis("seed", given)


def _value(where: str, key: str, value: Any) -> Value:
    """A setting's value; names are looked up."""
    if key in CHOICES:
        kind = CHOICES[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            noun = "a whole number" if kind is int else "text"
            raise UserError(f"{where} = {value!r}: expected {noun}.")
    elif isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return tuple(value)
    elif not isinstance(value, str | int | float):
        raise UserError(f"{where} = {value!r}: expected text, a number, true or false.")
    try:
        _look_up(key, value)
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.advice) from error
    found: Value = value
    return found


def _look_up(key: str, value: Any) -> None:
    if key == "preset" and value == "auto":
        return
    if key in KINDS:
        registry.get(KINDS[key], value)
    elif key == "objective":
        for part in parse_objective(value):
            registry.get("objectives", part.name)
    elif key == "budget":
        Budget.parse(value, "budget")
    elif key == "dataset" and not value.endswith((".h5", ".hdf5")):
        name, _, variant = value.partition(":")
        variants = registry.get("datasets", name).variants
        if variant and variant not in variants:
            raise unknown(f"variant of {name}", variant, variants)


def _tables(document: dict[str, Any]) -> list[dict[str, Any]]:
    skips = document.get("skip", [])
    if not isinstance(skips, list) or not all(isinstance(skip, dict) for skip in skips):
        raise UserError("skip: expected tables.", "Write each as [[skip]].")
    return skips


def _skip(
    number: int, skip: dict[str, Any], axes: Mapping[str, tuple[Value, ...]]
) -> dict[str, tuple[Value, ...]]:
    flat = _settings({"skip": skip}, "skip")
    if not flat:
        raise UserError(f"skip {number} names no axis: it would skip every run.")
    found = {}
    for key, given in flat.items():
        if key not in axes:
            error = unknown(f"axis in skip {number}", key, axes)
            raise UserError(error.message, "A skip names values of axes.")
        listed: Iterable[Any] = given if isinstance(given, list) else [given]
        values = tuple(tuple(value) if isinstance(value, list) else value for value in listed)
        for value in values:
            if value not in axes[key]:
                raise unknown(f"value of {key} in skip {number}", str(value), map(str, axes[key]))
        found[key] = values
    return found


def _check_skips(suite: Suite) -> None:
    if not suite.combinations():
        raise UserError("all runs are skipped.", "Take out a [[skip]].")
