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
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
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
INDEX = Path(__file__).with_name("index.json")
ROOMS = ("datasets.sets", "cores", "objectives", "config", "evaluation", "suites", "tracking")
"""Where registered classes are, for :func:`write_index`."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
FACTS = ("version", "default", "better", "directions", "keys", "shown", "compared")
"""Attributes of a metric that tables read without importing its class."""
Thing = TypeVar("Thing", bound=Callable[..., Any])


class UnknownName(UserError):  # noqa: N818  # says what is wrong
    """A name that nothing has registered."""


@dataclass(frozen=True)
class Entry:
    """One name: what it is in a line, where it is published, and where its code is."""

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
        """The sha256 of the file that a plugin's class stands in; empty for slotbench's own."""
        module = self.target.partition(":")[0]
        if module.startswith("slotbench."):
            return ""
        file = importlib.import_module(module).__file__
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


_ENTRIES: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}


def register(kind: Kind, *address: str, **described: Any) -> Callable[[Thing], Thing]:
    """Decorator that registers a class, or a function, under ``kind``.

    A class describes itself: ``name``, ``summary`` (one line), ``source`` (where it is
    published), objectives also ``family``, datasets also ``variants`` and ``licence``. A function
    has no such attributes; give them as keywords. A class of another module is registered by its
    address: ``register(kind, name, summary, source, "module:Class")``.

    :class:`UserError` names the class and the attribute that is missing or cannot be used, and a
    name that is taken.
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if address:
        _add_address(kind, address, described)

    def add(thing: Thing) -> Thing:
        own = {**vars(thing), **described}
        target = f"{thing.__module__}:{thing.__qualname__}"
        _check_texts(kind, target, own)
        _check_class(kind, target, thing, own)
        facts = _facts(thing) if kind == "metrics" else {}
        _add_entry(_entry(kind, target, own, facts))
        return thing

    return add


def _add_address(kind: Kind, address: tuple[str, ...], described: dict[str, Any]) -> None:
    """Register a class by name, summary, source and target; :func:`complete` checks it later."""
    if len(address) != 4:
        raise UserError(
            f"register({kind!r}, ...): expected a name, a summary, a source and module:Class.",
            f"Or write @register({kind!r}) above the class, and name, summary and source in it.",
        )
    *texts, target = address
    own = {**dict(zip(("name", "summary", "source"), texts, strict=True)), **described}
    if kind == "objectives":
        own.setdefault("family", "unknown")
    _check_texts(kind, target, own)
    _add_entry(_entry(kind, target, own, {}))


def complete(entry: Entry, module: str) -> None:
    """Check a plugin's entry that was registered by its address, where ``module`` holds it."""
    if entry.target.partition(":")[0] != module:
        return
    try:
        thing = entry.load()
    except AttributeError as error:
        raise UserError(
            f"The target {entry.target!r} of {entry.name!r} cannot be found.",
            'For a class of the file itself, write f"{__name__}:CLASS".',
        ) from error
    own = {"variants": entry.variants, "family": entry.family, "name": entry.name}
    _check_class(entry.kind, entry.target, thing, own)
    if entry.kind == "metrics":
        _ENTRIES[entry.kind][entry.name] = replace(entry, facts=_facts(thing))


def _entry(kind: Kind, target: str, own: Mapping[str, Any], facts: dict[str, Any]) -> Entry:
    family, variants = own.get("family", ""), tuple(own.get("variants", ()))
    return Entry(kind, own["name"], own["summary"], own["source"], target, family, variants, facts)


def _add_entry(entry: Entry) -> None:
    _load_index()
    before = _ENTRIES[entry.kind].get(entry.name)
    if before is not None and before.target != entry.target:
        raise UserError(
            f"{entry.target}: {entry.kind} has {entry.name!r} already ({before.target}).",
            "Choose another name.",
        )
    _ENTRIES[entry.kind][entry.name] = entry


def _check_texts(kind: Kind, target: str, own: Mapping[str, Any]) -> None:
    """Check what a name, its line, its source and its family may be."""
    for attribute in ("name", "summary", "source"):
        text = own.get(attribute)
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise _bad(target, attribute, text, "one line of text", f'{attribute} = "..."')
    names = ("name", "family") if kind == "objectives" else ("name",)
    for attribute in names:
        text, expected = own.get(attribute), "small letters, digits and single hyphens"
        if not isinstance(text, str) or not _NAME.fullmatch(text):
            expected += f", such as {', '.join(FAMILIES)}" if attribute == "family" else ""
            raise _bad(target, attribute, text, expected, f'{attribute} = "my-{attribute}"')


def _check_class(kind: Kind, target: str, thing: Any, own: Mapping[str, Any]) -> None:
    """Check at registration what would otherwise fail far from its cause."""
    if kind == "datasets":
        variants = own.get("variants")
        fits = isinstance(variants, tuple) and variants
        if not fits or not all(isinstance(each, str) and each for each in variants or ()):
            raise _bad(target, "variants", variants, "a tuple of names", 'variants = ("default",)')
        if not isinstance(getattr(thing, "licence", None), str):
            raise _bad(target, "licence", None, "one line of text", 'licence = "CC0"')
    if kind == "metrics":
        _check_metric(target, thing)
    if kind in ("cores", "objectives", "encoders", "decoders"):
        options = getattr(thing, "Config", None)
        if not is_dataclass(options):
            raise _bad(target, "Config", options, "a frozen dataclass", "Config = MyConfig")


def _check_metric(target: str, thing: Any) -> None:
    keys, version = getattr(thing, "keys", None), getattr(thing, "version", None)
    if not isinstance(keys, tuple) or not keys or not all(isinstance(key, str) for key in keys):
        raise _bad(target, "keys", keys, "a tuple of patterns", 'keys = ("my-metric/*",)')
    if type(version) is not int or version < 1:
        raise _bad(target, "version", version, "a whole number from 1", "version = 1")
    if getattr(thing, "better", None) not in (-1, 0, 1):
        expected = "1 (higher is better), -1 (lower) or 0 (neither)"
        raise _bad(target, "better", getattr(thing, "better", None), expected, "better = 1")


def _facts(metric: Any) -> dict[str, Any]:
    """What the index holds of a metric, in JSON's types."""
    found = {name: getattr(metric, name) for name in FACTS}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in found.items()
    }


def _bad(target: str, attribute: str, value: Any, expected: str, example: str) -> UserError:
    said = "is missing" if value is None else f"is {value!r}"
    return UserError(
        f"{target}: the class attribute {attribute!r} {said}; expected {expected}.",
        f"Write: {example}",
    )


@cache
def _load_index() -> None:
    for kind, known in json.loads(INDEX.read_text("utf-8")).items():
        for name, fields in known.items():
            fields["variants"] = tuple(fields.get("variants", ()))
            _ENTRIES[kind][name] = Entry(kind, name, **fields)


@cache
def _load() -> None:
    _load_index()
    found = entry_points()  # once: it reads the metadata of every installed package
    for kind in KINDS:
        for point in found.select(group=f"slotbench.{kind}"):
            _add(point)


def _add(point: EntryPoint) -> None:
    """Import what an installed package adds; name a package that fails and leave it out.

    The entry point names a module, a registered class, or a function that registers.
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


def write_index() -> None:
    """Import every room and write ``index.json``; names keep their order, new ones come last."""
    index: dict[str, dict[str, Any]] = {}
    for entry in own_entries():
        fields = {key: value for key, value in asdict(entry).items() if value}
        index.setdefault(fields.pop("kind"), {})[fields.pop("name")] = fields
    INDEX.write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", "utf-8")


def own_entries() -> list[Entry]:
    """What slotbench's own classes say of themselves, in the order of ``index.json``."""
    for room in ROOMS:
        package = importlib.import_module(f"slotbench.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    own = [
        entry
        for kind in KINDS
        for entry in _ENTRIES[kind].values()
        if entry.target.startswith("slotbench.")
    ]
    order = [
        (kind, name)
        for kind, known in json.loads(INDEX.read_text("utf-8")).items()
        for name in known
    ]
    place = {key: number for number, key in enumerate(order)}
    return sorted(own, key=lambda entry: place.get((entry.kind, entry.name), len(place)))


def restore(before: Mapping[Kind, Mapping[str, Entry]]) -> None:
    """Make the list what :func:`entries` gave for every kind."""
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
    """The error for a name that does not exist, with the nearest one that does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
