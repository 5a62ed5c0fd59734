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
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
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
    """Objectives only: one of :data:`slotbench.rules.FAMILIES`, or a plugin's own."""
    variants: tuple[str, ...] = ()
    """Datasets only; the first is the default."""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Metrics only: their :data:`FACTS`."""

    def load(self) -> Any:
        """The class or function, imported now; :class:`UserError` where a plugin has none there."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if module.startswith("slotbench."):
                raise
            said = f"The target {self.target!r} of {self.name!r} cannot be found: {error}."
            advice = 'For a class of the file itself, write f"{__name__}:CLASS".'
            raise UserError(said, advice) from error

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
        from slotbench import rules

        # `complete` checks the class itself, when its module has been read.
        family = {"family": "unknown"} if kind == "objectives" else {}
        texts = dict(zip(("name", "summary", "source"), address, strict=False))
        own = {**family, **texts, **described}
        rules.check_texts(kind, address[3], own)
        _add(kind, address[3], address[3], own, {})

    def add(thing: Thing) -> Thing:
        target, label = f"{thing.__module__}:{thing.__qualname__}", called(thing)
        own = {"family": getattr(thing, "family", None), **vars(thing), **described}
        if not target.startswith("slotbench."):
            from slotbench import rules

            _keep_digest(thing.__module__)
            rules.check_class(kind, label, own, thing)
            rules.check_texts(kind, label, own)
        _add(kind, target, label, own, _facts(thing) if kind == "metrics" else {})
        return thing

    return add


def complete(entry: Entry, module: str) -> None:
    """Check a plugin's entry that was registered by an address in ``module``, its own file."""
    from slotbench import rules

    if entry.target.partition(":")[0] != module:
        return
    thing = entry.load()
    rules.check_class(entry.kind, called(thing), {"variants": entry.variants}, thing)
    if entry.kind == "metrics":
        _ENTRIES[entry.kind][entry.name] = replace(entry, facts=_facts(thing))


def called(thing: Any) -> str:
    """A class or function as errors name it: ``Mine (mine.py)``."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return f"{thing.__qualname__} ({Path(file).name if file else thing.__module__})"


def _add(
    kind: Kind, target: str, label: str, own: Mapping[str, Any], facts: dict[str, Any]
) -> None:
    _load_index()
    name, variants = own["name"], tuple(own.get("variants", ()))
    before = _ENTRIES[kind].get(name)
    if before is not None and before.target != target:
        said = f"{label}: the name {name!r} is taken by {before.target}."
        raise UserError(said, "Choose another name.")
    described = (own["summary"], own["source"], target, own.get("family") or "")
    _ENTRIES[kind][name] = Entry(kind, name, *described, variants, facts)


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


def optional(package: str, what: str, extra: str) -> Any:
    """A package that an extra of slotbench brings; :class:`UserError` where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        said = f"{what} needs the package {package} ({error})."
        raise UserError(said, f"Type: pip install 'slotbench[{extra}]'") from error


def unknown(what: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for an unknown name, with the nearest known one."""
    known = list(known)
    alike = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.strip(" '\"").lower(), alike, n=1, cutoff=0.65)
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    listed = f"There are: {', '.join(known[:MOST_NAMES])}{more}." if known else "There is none."
    hint = f" Did you mean {alike[near[0]]!r}?" if near else f" {listed}"
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
