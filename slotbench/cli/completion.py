"""Shell completion: names from the registry, runs from the results folder. No torch here."""

from collections.abc import Callable
from pathlib import Path

from slotbench import registry
from slotbench.registry import Kind

Found = list[tuple[str, str]]


def _of(kind: Kind) -> Callable[[str], Found]:
    """Completes the names of a kind, each with its line."""

    def complete(incomplete: str) -> Found:
        known = registry.entries(kind).items()
        return [(name, entry.summary) for name, entry in known if name.startswith(incomplete)]

    return complete


datasets, cores, objectives = _of("datasets"), _of("cores"), _of("objectives")
alignments, presets, suites = _of("alignments"), _of("presets"), _of("suites")
engines, trackers = _of("engines"), _of("trackers")


def dataset_references(incomplete: str) -> Found:
    """Names, and ``name:variant`` as soon as a colon is typed."""
    name, colon, variant = incomplete.partition(":")
    if not colon:
        return datasets(incomplete)
    known = registry.entries("datasets")
    variants = known[name].variants if name in known else ()
    return [(f"{name}:{item}", "") for item in variants if item.startswith(variant)]


def metrics(incomplete: str) -> Found:
    """Groups of metrics; after a comma, the next one."""
    head, comma, last = incomplete.rpartition(",")
    return [(f"{head}{comma}{name}", text) for name, text in _of("metrics")(last)]


def runs(incomplete: str) -> Found:
    """Runs below ``results``, by their id; a name that no terminal can show is left out."""
    paths = sorted(Path("results").glob("runs/*/*/*"))
    return [
        (path.name, f"{path.parent.name} on {path.parent.parent.name}")
        for path in paths
        if path.name.startswith(incomplete) and str(path).isprintable()
    ]
