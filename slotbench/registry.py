"""The only list of names: datasets, cores, objectives, alignments, metrics and so on.

An entry is a name, one line, a source, and a target that is imported when it is used, so that
help, lists and shell completion stay quick. slotbench's own stand in ``catalogue.py``; packages
add theirs through the entry point group ``slotbench.<kind>`` (``slotbench.cores``, ...), single
files by ``--plugin`` (see ``plugins.py``).
"""

import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

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
KINDS: tuple[Kind, ...] = (
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
)


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
    """Objectives only: ``reconstruction``, ``self-supervised`` or ``control``."""
    variants: tuple[str, ...] = ()
    """Datasets only; the first is the default."""

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


_ENTRIES: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}


def register(
    kind: Kind,
    name: str,
    summary: str,
    source: str,
    target: str,
    *,
    family: str = "",
    variants: tuple[str, ...] = (),
) -> None:
    """Add a name; ValueError where the kind has it already."""
    if name in _ENTRIES[kind]:
        raise ValueError(f"{kind}: {name!r} is registered already")
    _ENTRIES[kind][name] = Entry(kind, name, summary, source, target, family, variants)


@cache
def _load() -> None:
    importlib.import_module("slotbench.catalogue")
    # An entry point of these groups names a function without arguments that calls `register`.
    found = entry_points()  # once: it reads the metadata of every installed package
    for kind in KINDS:
        for point in found.select(group=f"slotbench.{kind}"):
            _add(point)


def _add(point: EntryPoint) -> None:
    """What an installed package adds; one that fails is left out and named, and nothing else."""
    before = {kind: dict(known) for kind, known in _ENTRIES.items()}
    try:
        point.load()()
    except Exception as error:
        restore(before)
        package = point.dist.name if point.dist else point.value
        print(
            f"slotbench: the package {package} cannot add its {point.group.split('.')[1]} "
            f"({type(error).__name__}: {error}).",
            file=sys.stderr,
        )


def restore(before: Mapping[Kind, Mapping[str, Entry]]) -> None:
    """Make the list what :func:`entries` gave for every kind."""
    for kind in KINDS:
        _ENTRIES[kind] = dict(before[kind])


def entries(kind: Kind) -> dict[str, Entry]:
    """Every entry of a kind by name, in the order of registration."""
    _load()
    return dict(_ENTRIES[kind])


def names(kind: Kind) -> tuple[str, ...]:
    return tuple(entries(kind))


def get(kind: Kind, name: str) -> Entry:
    """The entry of that name; :class:`UnknownName` with the nearest name where there is none."""
    known = entries(kind)
    if name not in known:
        error = unknown(kind.removesuffix("s"), name, known, f"Type: slotbench list {kind}")
        raise UnknownName(error.message, error.advice)
    return known[name]


def unknown(what: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
