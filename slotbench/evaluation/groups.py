"""The groups of metrics: one file each, registered under ``metrics`` in the catalogue.

These files import nothing heavy until something is computed: the command line and the
leaderboard read names and versions from them.
"""

from fnmatch import fnmatchcase
from functools import cache

from slotbench import registry
from slotbench.errors import UserError
from slotbench.evaluation.metric import Metric

ALL = "all"
"""What a user types for every group that is computed unless others are named."""


def load(name: str) -> Metric:
    """The metric group of that name; :class:`UserError` with the nearest name otherwise."""
    known = registry.entries("metrics")
    if name not in known:
        raise registry.unknown("group of metrics", name, known, "Type: slotbench list metrics")
    metric: Metric = known[name].load()()
    return metric


def names() -> tuple[str, ...]:
    """Every group, in the order of the catalogue."""
    return registry.names("metrics")


def default_groups() -> tuple[str, ...]:
    """The groups that ``all`` stands for, in the order of the catalogue."""
    return tuple(name for name in names() if load(name).default)


def chosen(text: str) -> tuple[str, ...]:
    """The groups that a user means by names with commas between; :class:`UserError` otherwise."""
    groups: list[str] = []
    for name in filter(None, (word.strip() for word in text.split(","))):
        groups += default_groups() if name == ALL else (load(name).name,)
    if not groups:
        raise UserError("--metrics names no group.", "Type: slotbench list metrics")
    return tuple(dict.fromkeys(groups))


def group_of(key: str) -> str | None:
    """The name of the group that a key, or the beginning of keys, of a document belongs to."""
    if key in names():
        return key
    found = owner(key) or owner(f"{key}/")
    return None if found is None else found.name


def owner(key: str) -> Metric | None:
    """The group that a key of ``evaluation.json`` belongs to; None for an unknown key."""
    for metric in _everything(names()):
        if any(fnmatchcase(key, pattern) for pattern in metric.keys):
            return metric
    return None


def current_version(key: str) -> int:
    """The version of a key's definition in this slotbench; 0 for a key it does not know."""
    found = owner(key)
    return 0 if found is None else found.version


@cache
def _everything(names: tuple[str, ...]) -> tuple[Metric, ...]:
    return tuple(load(name) for name in names)
