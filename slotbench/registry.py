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
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from annotated_types import Ge, Gt, MinLen, Predicate
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

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
        _add(kind, address[3], address[3], {**family, **texts, **described}, {})

    def add(thing: Thing) -> Thing:
        target, label = f"{thing.__module__}:{thing.__qualname__}", called(thing)
        if not target.startswith("slotbench."):
            _keep_digest(thing.__module__)
        own = {"family": getattr(thing, "family", None), **vars(thing), **described}
        _check_class(kind, label, own, thing)
        _add(kind, target, label, own, _facts(thing) if kind == "metrics" else {})
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
    _check_class(entry.kind, called(thing), {"variants": entry.variants}, thing)
    if entry.kind == "metrics":
        _ENTRIES[entry.kind][entry.name] = replace(entry, facts=_facts(thing))


def called(thing: Any) -> str:
    """A class or function as errors name it: ``Mine (mine.py)``."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return f"{thing.__qualname__} ({Path(file).name if file else thing.__module__})"


def _add(
    kind: Kind, target: str, label: str, own: Mapping[str, Any], facts: dict[str, Any]
) -> None:
    texts = ("name", "summary", "source", *(["family"] if kind == "objectives" else []))
    _check(label, own, texts)
    _load_index()
    name, variants = own["name"], tuple(own.get("variants", ()))
    before = _ENTRIES[kind].get(name)
    if before is not None and before.target != target:
        said = f"{label}: the name {name!r} is taken by {before.target}."
        raise UserError(said, "Choose another name.")
    described = (own["summary"], own["source"], target, own.get("family") or "")
    _ENTRIES[kind][name] = Entry(kind, name, *described, variants, facts)


def _is_family(name: str) -> bool:
    """Whether it is a family of the verdict, or no misspelling of one, which would leave it."""
    return name in FAMILIES or not difflib.get_close_matches(name, FAMILIES, cutoff=0.8)


def _is_config(value: type) -> bool:
    """Whether it is a frozen dataclass with defaults, and no field named as one of config.json."""
    made = vars(value).get("__dataclass_params__")  # an undecorated subclass would lose its fields
    return bool(made and made.frozen) and all(
        (not item.init or (item.default, item.default_factory) != (MISSING, MISSING))
        and item.name not in ("name", "alignment")
        for item in fields(value)
    )


def _is_part(text: str) -> bool:
    """Whether it may be a part of file names, and stand after a colon."""
    return text.isprintable() and text[:1] not in ("", ".") and not set(text) & set("/\\:")


_Name = Annotated[str, StringConstraints(max_length=LONGEST, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
_Line = Annotated[str, Predicate(str.isprintable), Predicate(str.strip)]
_Texts = tuple[Annotated[str, MinLen(1)], ...]
_Parts = Annotated[tuple[Annotated[str, Predicate(_is_part)], ...], MinLen(1)]
_Sizes = dict[str, Annotated[int, Gt(0)]]
_Better = Literal[-1, 0, 1]
_LETTERS = f"at most {LONGEST} small letters, digits and single hyphens"
_RULES: dict[str, tuple[Any, str, str]] = {
    "name": (_Name, _LETTERS, 'name = "my-name"'),
    "family": (
        Annotated[_Name, Predicate(_is_family)],
        f"{', '.join(FAMILIES)}, or a name unlike these, of {_LETTERS}",
        'family = "self-supervised"',
    ),
    "summary": (_Line, "one line of text", 'summary = "..."'),
    "source": (_Line, "one line of text", 'source = "..."'),
    "licence": (_Line, "one line of text", 'licence = "CC0"'),
    "variants": (_Parts, "a tuple of names that files may have", 'variants = ("default",)'),
    "sizes": (
        Annotated[
            _Sizes, Predicate(lambda sizes: not sizes or {"train", "val", "test"} <= sizes.keys())
        ],
        "images of train, val and test",
        'sizes = {"train": 100, "val": 9, ...}',
    ),
    "Config": (
        Annotated[type, Predicate(_is_config)],
        "a frozen dataclass whose fields have defaults and other names than 'name' and 'alignment'",
        "Config = MyConfig, a class that inherits Options, below @dataclass(frozen=True)",
    ),
    "keys": (Annotated[_Texts, MinLen(1)], "a tuple of patterns", 'keys = ("my-metric/*",)'),
    "version": (Annotated[int, Gt(0)], "a whole number from 1", "version = 1"),
    "views": (Annotated[int, Ge(0)], "a whole number from 0", "views = 2"),
    "reads": (_Texts, "a tuple of keys", 'reads = ("mask",)'),
    "needs": (_Texts, "a tuple of arrays", 'needs = ("slots",)'),
    "trains": (_Texts, "a tuple of arrays", 'trains = ("slots",)'),
    "shown": (_Texts, "a tuple of keys", 'shown = ("a",)'),
    "compared": (_Texts, "a tuple of keys", 'compared = ("a",)'),
    "directions": (
        dict[str, _Better],
        "patterns with 1, -1 or 0",
        'directions = {"my-metric/error": -1}',
    ),
    "ranges": (
        dict[str, tuple[float | None, float | None]],
        "patterns with two numbers or None",
        'ranges = {"a/*": (0, None)}',
    ),
    "better": (_Better, "1 (higher is better), -1 (lower) or 0 (neither)", "better = 1"),
}
"""Class attribute -> the type of its value, what is expected, and an example."""
_MODULE = "torch.nn.modules.module:Module"
_BASES: dict[Kind, tuple[str, tuple[str, ...]]] = {
    "datasets": ("slotbench.datasets.dataset:Dataset", ("variants", "licence", "sizes")),
    "cores": ("slotbench.cores.core:Core", ("Config",)),
    "objectives": ("slotbench.objectives.objective:Objective", ("Config", "views", "reads")),
    "alignments": ("slotbench.objectives.alignment:Alignment", ()),
    "encoders": (_MODULE, ("Config",)),
    "decoders": (_MODULE, ("Config",)),
    "metrics": (
        "slotbench.evaluation.metric:Metric",
        (*(fact for fact in FACTS if fact != "default"), "needs", "trains"),
    ),
    "engines": ("slotbench.suites.engines:Engine", ()),
    "trackers": ("slotbench.tracking.tracker:Tracker", ()),
}
"""Kind -> the address of its base class, and the class attributes that are checked."""


@cache
def _rule(attribute: str) -> TypeAdapter[Any]:
    return TypeAdapter(_RULES[attribute][0], config=ConfigDict(strict=True, allow_inf_nan=False))


def _check_class(kind: Kind, label: str, own: Mapping[str, Any], thing: Any) -> None:
    """:class:`UserError` where a class lacks its kind's base, an attribute or a method."""
    if kind not in _BASES:
        return
    base, attributes = _BASES[kind]
    bases = getattr(thing, "__mro__", ())[1:]  # a function has none
    if base not in [f"{each.__module__}:{each.__qualname__}" for each in bases]:
        module, _, name = base.partition(":")
        said = f"{label}: expected a class that inherits {name}."
        raise UserError(said, f"Write: from {module} import {name}")
    _check(label, {**{each: getattr(thing, each, None) for each in attributes}, **own}, attributes)
    if lacking := sorted(getattr(thing, "__abstractmethods__", ())):
        raise UserError(f"{label}: the class has no {' and no '.join(lacking)}.", "Write it.")
    for name, method in vars(thing).items():
        wanted = next((vars(each)[name] for each in bases if name in vars(each)), None)
        if name.startswith("_") or not (inspect.isfunction(method) and inspect.isfunction(wanted)):
            continue
        takes, given = inspect.signature(method), inspect.signature(wanted).parameters
        try:
            takes.bind(*given)
        except TypeError:
            if any(each.kind == each.VAR_POSITIONAL for each in given.values()):
                continue  # the base, such as nn.Module.forward, leaves it open
            said = f"{label}: {name} takes ({', '.join(takes.parameters)})"
            expected = f"({', '.join(given)})"
            raise UserError(
                f"{said}, expected {expected}.", f"Write: def {name}{expected}"
            ) from None


def _check(label: str, own: Mapping[str, Any], attributes: Iterable[str]) -> None:
    """:class:`UserError` names the class attribute that is missing or cannot be used."""
    for attribute in attributes:
        value = own.get(attribute)
        _, expected, example = _RULES[attribute]
        try:
            _rule(attribute).validate_python(value)
        except ValidationError:
            said = "is missing" if value is None else f"is {value!r}"
            raise UserError(
                f"{label}: the class attribute {attribute!r} {said}; expected {expected}.",
                f"Write: {example}",
            ) from None


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
    listed = f"There are: {', '.join(known[:MOST_NAMES])}{more}." if known else "There is none."
    hint = f" Did you mean {near[0]!r}?" if near else f" {listed}"
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
