"""Shell completion: names from the registry, runs from the results folder. No torch here."""

from pathlib import Path

from slotbench import registry
from slotbench.registry import Kind

Found = list[tuple[str, str]]


def _names(kind: Kind, incomplete: str) -> Found:
    return [
        (name, entry.summary)
        for name, entry in registry.entries(kind).items()
        if name.startswith(incomplete)
    ]


def datasets(incomplete: str) -> Found:
    return _names("datasets", incomplete)


def dataset_references(incomplete: str) -> Found:
    """Names, and ``name:variant`` as soon as a colon is typed."""
    name, colon, variant = incomplete.partition(":")
    if not colon:
        return datasets(incomplete)
    known = registry.entries("datasets")
    variants = known[name].variants if name in known else ()
    return [(f"{name}:{item}", "") for item in variants if item.startswith(variant)]


def cores(incomplete: str) -> Found:
    return _names("cores", incomplete)


def objectives(incomplete: str) -> Found:
    return _names("objectives", incomplete)


def alignments(incomplete: str) -> Found:
    return _names("alignments", incomplete)


def presets(incomplete: str) -> Found:
    return _names("presets", incomplete)


def suites(incomplete: str) -> Found:
    return _names("suites", incomplete)


def engines(incomplete: str) -> Found:
    return _names("engines", incomplete)


def trackers(incomplete: str) -> Found:
    return _names("trackers", incomplete)


def metrics(incomplete: str) -> Found:
    """Groups of metrics; after a comma, the next one."""
    head, comma, last = incomplete.rpartition(",")
    return [(f"{head}{comma}{name}", text) for name, text in _names("metrics", last)]


def runs(incomplete: str) -> Found:
    paths = sorted(Path("results").glob("runs/*/*/*"))
    return [
        (path.name, f"{path.parent.name} on {path.parent.parent.name}")
        for path in paths
        if path.name.startswith(incomplete)
    ]
