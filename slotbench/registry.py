"""The only list of names: datasets, cores, objectives, alignments, encoders, decoders, presets.

An entry is a name, one line, a source, and a target that is imported when it is used, so that
help, lists and shell completion stay quick. Packages add their own through the entry point
group ``slotbench.<kind>`` (``slotbench.cores``, ...); a plain ``register`` call works as well.
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
def _load_plugins() -> None:
    # An entry point of these groups names a function without arguments that calls `register`.
    found = entry_points()  # once: it reads the metadata of every installed package
    for kind in KINDS:
        for point in found.select(group=f"slotbench.{kind}"):
            point.load()()


def entries(kind: Kind) -> dict[str, Entry]:
    """Every entry of a kind by name, in the order of registration."""
    _load_plugins()
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


register(
    "datasets", "clevr", "3-D scenes of 3 to 10 simple objects, rendered or imported",
    "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets",
    "slotbench.datasets.clevr:Clevr", variants=("clevr6", "clevr10"),
)  # fmt: skip
register(
    "datasets", "multi-dsprites", "2 to 5 flat sprites that occlude each other, drawn or imported",
    "multi_object_datasets, DeepMind 2019; dSprites, Matthey et al. 2017",
    "slotbench.datasets.multi_dsprites:MultiDSprites",
    variants=("colored_on_grayscale", "colored_on_colored", "binarized"),
)  # fmt: skip
register(
    "cores", "slot-attention", "slots compete for positions by iterated attention",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.cores.slot_attention:SlotAttention",
)  # fmt: skip
register(
    "encoders", "cnn", "four 5x5 convolutions at the image's resolution",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E", "slotbench.cores.encoders:Cnn",
)  # fmt: skip
register(
    "encoders", "strided-cnn", "a convolution with a stride, then 3x3 convolutions",
    "slotbench, docs/log.md", "slotbench.cores.encoders:StridedCnn",
)  # fmt: skip
register(
    "decoders", "broadcast", "spatial broadcast to 8x8, doubled by transposed convolutions",
    "Watters et al. 2019, arXiv 1901.07017; Locatello et al. 2020, Appendix E",
    "slotbench.cores.decoders:Broadcast",
)  # fmt: skip
register(
    "decoders", "bilinear", "bilinear form of slot and position, a convolution, a pixel shuffle",
    "slotbench, docs/log.md; Shi et al. 2016, arXiv 1609.05158",
    "slotbench.cores.decoders:Bilinear",
)  # fmt: skip
register(
    "objectives", "reconstruction", "mean squared error of the image mixed from the slots",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.objectives.reconstruction:Reconstruction", family="reconstruction",
)  # fmt: skip
register(
    "objectives", "simclr", "two views of an image against those of all others (NT-Xent)",
    "Chen et al. 2020, arXiv 2002.05709",
    "slotbench.objectives.contrastive:SimCLR", family="self-supervised",
)  # fmt: skip
register(
    "objectives", "random", "the untrained core: the floor", "control",
    "slotbench.objectives.control:Random", family="control",
)  # fmt: skip
register(
    "alignments", "hungarian", "slots assigned by the greatest sum of cosine similarities",
    "Kuhn 1955", "slotbench.objectives.alignment:Hungarian",
)  # fmt: skip
register(
    "alignments", "shared", "the same initial noise in both views, slots paired by index",
    "slotbench, docs/objectives.md", "slotbench.objectives.alignment:Shared",
)  # fmt: skip
register(
    "alignments", "pool", "the set is averaged: one vector an image", "Chen et al. 2020",
    "slotbench.objectives.alignment:Pool",
)  # fmt: skip
register(
    "presets", "quick", "two CPU cores, minutes", "slotbench, docs/log.md",
    "slotbench.presets:quick",
)  # fmt: skip
register(
    "presets", "base", "one GPU, minutes", "slotbench, docs/log.md", "slotbench.presets:base",
)  # fmt: skip
register(
    "presets", "paper", "the architecture, optimiser and schedule of the paper: GPU, days",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E", "slotbench.presets:paper",
)  # fmt: skip
