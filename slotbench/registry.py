"""The only list of names: datasets, cores, objectives, alignments, encoders, decoders, presets.

An entry is a name, one line, a source, and a target that is imported when it is used, so that
help, lists and shell completion stay quick. slotbench's own stand in ``catalogue.py``; packages
add theirs through the entry point group ``slotbench.<kind>`` (``slotbench.cores``, ...); a plain
``register`` call works as well.
"""

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from slotbench.errors import UserError

Kind = Literal["datasets", "cores", "objectives", "alignments", "encoders", "decoders", "presets"]
KINDS: tuple[Kind, ...] = (
    "datasets", "cores", "objectives", "alignments", "encoders", "decoders", "presets",
)  # fmt: skip


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
            point.load()()


def entries(kind: Kind) -> dict[str, Entry]:
    """Every entry of a kind by name, in the order of registration."""
    _load()
    return dict(_ENTRIES[kind])


def names(kind: Kind) -> tuple[str, ...]:
    return tuple(entries(kind))


def get(kind: Kind, name: str) -> Entry:
    """The entry of that name; :class:`UserError` with the nearest name where there is none."""
    known = entries(kind)
    if name not in known:
        raise unknown(kind.removesuffix("s"), name, known, f"Type: slotbench list {kind}")
    return known[name]


def unknown(what: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
    return UserError(f"Unknown {what} {name!r}.{hint}", advice)
