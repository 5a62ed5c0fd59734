"""The only list of names: datasets, cores, objectives, alignments, metrics and so on.

A class describes itself in class attributes (``name``, ``summary``, ``source``, ...) and is
registered by ``@register(kind)``. Help, lists and shell completion must not import torch, so the
names of slotbench's own classes also stand in ``index.json``, which ``make index`` writes and a
test compares with the classes. Packages add names through the entry points ``slotbench.<kind>``,
single files through ``--plugin`` (see ``plugins.py``).
"""

import difflib
import hashlib
import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from slotbench.errors import UserError

Kind = Literal[
    "datasets",
    "cores",
    "objectives",
    "alignments",
    "encoders",
    "decoders",
    "presets",
    "metrics",
    "suites",
    "engines",
    "trackers",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
FAMILIES = ("reconstruction", "self-supervised", "control")
LONGEST = 64
"""Letters of a name, which is a part of file names."""
MOST_NAMES = 30
"""Names that an error lists."""
INDEX = Path(__file__).with_name("index.json")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
FACTS = ("version", "default", "better", "directions", "ranges", "keys", "shown", "compared")
"""Attributes of a metric that tables read without importing its class."""
Thing = TypeVar("Thing", bound=Callable[..., Any])


class UnknownName(UserError):  # noqa: N818  # says what is wrong
    """A name that nothing has registered."""


@dataclass(frozen=True)
class Entry:
    """One name: a line about it, its publication, and the address of its code."""

    kind: Kind
    name: str
    summary: str
    source: str
    target: str
    """``module:attribute``."""
    family: str = ""
    """Objectives only: one of :data:`FAMILIES`, or a plugin's own."""
    variants: tuple[str, ...] = ()
    """Datasets only; the first is the default."""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Metrics only: their :data:`FACTS`."""

    def load(self) -> Any:
        """The class or function itself, imported now."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def foreign_digest(self) -> str:
        """The sha256 of a plugin's file when it registered the class; empty for slotbench's own.

        Editing the file while a run trains changes nothing.
        """
        module = self.target.partition(":")[0]
        if module.startswith("slotbench."):
            return ""
        importlib.import_module(module)
        return _DIGESTS.get(module) or _keep_digest(module)


_ENTRIES: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}
_DIGESTS: dict[str, str] = {}
"""Module of a plugin -> sha256 of its file."""


def _keep_digest(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    _DIGESTS[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    return _DIGESTS[module]


def register(kind: Kind, *address: str, **described: Any) -> Callable[[Thing], Thing]:
    """Decorator that registers a class, or a function, under ``kind``.

    A class describes itself: ``name``, ``summary`` (one line), ``source`` (where it is
    published), objectives also ``family``, which may be inherited, datasets also ``variants`` and
    ``licence``. A function has no such attributes; give them as keywords. A class of another module
    is registered by its address: ``register(kind, name, summary, source, "module:Class")``.

    :class:`UserError` names the class and the attribute that is missing or cannot be used, and a
    name that is taken.
    """
    if kind not in KINDS:
        raise unknown("kind", str(kind), KINDS, 'Write: @register("objectives")')
    if address and len(address) != 4:
        raise UserError(
            f"register({kind!r}, ...): expected a name, a summary, a source and module:Class.",
            f"Or write @register({kind!r}) above the class, and name, summary and source in it.",
        )
    if address:
        # `complete` checks the class itself, when its module has been read.
        family = {"family": "unknown"} if kind == "objectives" else {}
        texts = dict(zip(("name", "summary", "source"), address, strict=False))
        _add(kind, address[3], {**family, **texts, **described}, {})

    def add(thing: Thing) -> Thing:
        target = f"{thing.__module__}:{thing.__qualname__}"
        if not target.startswith("slotbench."):
            _keep_digest(thing.__module__)
        own = {"family": getattr(thing, "family", None), **vars(thing), **described}
        _check(target, own, _NEEDED.get(kind, ()), thing)
        _add(kind, target, own, _facts(thing) if kind == "metrics" else {})
        return thing

    return add


def complete(entry: Entry, module: str) -> None:
    """Check a plugin's entry that was registered by an address in ``module``, its own file."""
    if entry.target.partition(":")[0] != module:
        return
    try:
        thing = entry.load()
    except AttributeError as error:
        raise UserError(
            f"The target {entry.target!r} of {entry.name!r} cannot be found.",
            'For a class of the file itself, write f"{__name__}:CLASS".',
        ) from error
    _check(entry.target, {"variants": entry.variants}, _NEEDED.get(entry.kind, ()), thing)
    if entry.kind == "metrics":
        _ENTRIES[entry.kind][entry.name] = replace(entry, facts=_facts(thing))


def _add(kind: Kind, target: str, own: Mapping[str, Any], facts: dict[str, Any]) -> None:
    texts = ("name", "summary", "source", *(["family"] if kind == "objectives" else []))
    _check(target, own, texts)
    _load_index()
    name, variants = own["name"], tuple(own.get("variants", ()))
    before = _ENTRIES[kind].get(name)
    if before is not None and before.target != target:
        raise UserError(
            f"{target}: {kind} has {name!r} already ({before.target}).", "Choose another name."
        )
    described = (own["summary"], own["source"], target, own.get("family") or "")
    _ENTRIES[kind][name] = Entry(kind, name, *described, variants, facts)


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and bool(_NAME.fullmatch(value))


def _are_texts(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(each and isinstance(each, str) for each in value)
    )


def _are_parts(value: Any) -> bool:
    """Whether they may be parts of file names, and stand after a colon."""
    return _are_texts(value) and all(
        each.isprintable() and each[0] != "." and not set(each) & set("/\\:") for each in value
    )


def _are_sizes(value: Any) -> bool:
    """Whether they are the default sizes of a dataset; none where it is only imported."""
    known = isinstance(value, dict) and all(
        type(size) is int and size > 0 for size in value.values()
    )
    return known and (not value or {"train", "val", "test"} <= value.keys())


def _are_ranges(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(ends, tuple)
        and len(ends) == 2
        and all(
            end is None or (isinstance(end, int | float) and math.isfinite(end)) for end in ends
        )
        for ends in value.values()
    )


def _is_config(value: Any) -> bool:
    """Whether it is a frozen dataclass that can be made without arguments."""
    if not (isinstance(value, type) and is_dataclass(value)):
        return False
    needed = [
        item
        for item in fields(value)
        if item.init and item.default is MISSING and item.default_factory is MISSING
    ]
    made = getattr(value, "__dataclass_params__", None)
    return bool(made and made.frozen) and not needed


_LETTERS = f"at most {LONGEST} small letters, digits and single hyphens"
_RULES: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "name": (_is_name, _LETTERS, 'name = "my-name"'),
    "family": (_is_name, f"{_LETTERS}, such as {', '.join(FAMILIES)}", 'family = "my-family"'),
    "summary": (_is_line, "one line of text", 'summary = "..."'),
    "source": (_is_line, "one line of text", 'source = "..."'),
    "licence": (_is_line, "one line of text", 'licence = "CC0"'),
    "variants": (_are_parts, "a tuple of names that files may have", 'variants = ("default",)'),
    "sizes": (_are_sizes, "images of train, val and test", 'sizes = {"train": 100, "val": 9, ...}'),
    "Config": (_is_config, "a frozen dataclass whose fields have defaults", "Config = MyConfig"),
    "keys": (_are_texts, "a tuple of patterns", 'keys = ("my-metric/*",)'),
    "version": (
        lambda value: type(value) is int and value > 0,
        "a whole number from 1",
        "version = 1",
    ),
    **dict.fromkeys(
        ("shown", "compared"),
        (lambda value: value == () or _are_texts(value), "a tuple of keys", 'shown = ("a",)'),
    ),
    "directions": (
        lambda value: isinstance(value, dict) and all(of in (-1, 0, 1) for of in value.values()),
        "patterns with 1, -1 or 0",
        'directions = {"my-metric/error": -1}',
    ),
    "ranges": (_are_ranges, "patterns with two numbers or None", 'ranges = {"a/*": (0, None)}'),
    "better": (
        lambda value: value in (-1, 0, 1),
        "1 (higher is better), -1 (lower) or 0 (neither)",
        "better = 1",
    ),
}
"""Class attribute -> whether a value can be used, what is expected, and an example."""
_PARTS: tuple[Kind, ...] = ("cores", "objectives", "encoders", "decoders")
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "datasets": ("variants", "licence", "sizes"),
    "metrics": ("keys", "version", "better", "directions", "ranges", "shown", "compared"),
    **dict.fromkeys(_PARTS, ("Config",)),
}


def _check(
    target: str, own: Mapping[str, Any], attributes: Iterable[str], thing: Any = None
) -> None:
    """:class:`UserError` names the class attribute that is missing or cannot be used."""
    for attribute in attributes:
        value = own.get(attribute, getattr(thing, attribute, None))
        fits, expected, example = _RULES[attribute]
        if not fits(value):
            said = "is missing" if value is None else f"is {value!r}"
            raise UserError(
                f"{target}: the class attribute {attribute!r} {said}; expected {expected}.",
                f"Write: {example}",
            )
    if lacking := sorted(getattr(thing, "__abstractmethods__", ())):
        raise UserError(f"{target}: the class has no {' and no '.join(lacking)}.", "Write it.")


def _facts(metric: Any) -> dict[str, Any]:
    """The facts that the index holds of a metric, in JSON's types."""
    return dict(json.loads(json.dumps({name: getattr(metric, name) for name in FACTS})))


@cache
def _load_index() -> None:
    for kind, known in json.loads(INDEX.read_text("utf-8")).items():
        for name, facts in known.items():
            facts["variants"] = tuple(facts.get("variants", ()))
            _ENTRIES[kind][name] = Entry(kind, name, **facts)


@cache
def _load() -> None:
    _load_index()
    found = entry_points()  # once: it reads the metadata of every installed package
    for kind in KINDS:
        for point in found.select(group=f"slotbench.{kind}"):
            _add_point(point)


def _add_point(point: EntryPoint) -> None:
    """Import an entry point: a module, a registered class, or a function that registers.

    A package that fails is reported and left out.
    """
    before = {kind: dict(known) for kind, known in _ENTRIES.items()}
    try:
        found = point.load()
        if callable(found) and not isinstance(found, type):
            found()
    except Exception as error:
        restore(before)
        package = point.dist.name if point.dist else point.value
        print(
            f"slotbench: the package {package} cannot add its {point.group.split('.')[1]} "
            f"({type(error).__name__}: {error}).",
            file=sys.stderr,
        )


def restore(before: Mapping[Kind, Mapping[str, Entry]]) -> None:
    """Put the entries back that :func:`entries` gave for each kind."""
    for kind in KINDS:
        _ENTRIES[kind] = dict(before[kind])


def entries(kind: Kind) -> dict[str, Entry]:
    """Every entry of a kind by name, in the order of registration."""
    _load()
    return dict(_ENTRIES[kind])


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of a kind, in the order of registration."""
    return tuple(entries(kind))


def get(kind: Kind, name: str) -> Entry:
    """The entry of that name; :class:`UnknownName` with the nearest name where there is none."""
    known = entries(kind)
    if name not in known:
        advice = f"Type: slotbench list {kind}. Is it in a file of yours? Add: --plugin FILE"
        error = unknown(kind.removesuffix("s"), name, known, advice)
        raise UnknownName(error.message, error.advice)
    return known[name]


def unknown(what: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for an unknown name, with the nearest known one."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    listed = f"{', '.join(known[:MOST_NAMES])}{more}"
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {listed}."
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
