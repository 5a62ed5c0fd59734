"""The groups of metrics: names, versions, directions.

Each group is one class. Its facts are read from the registry's index, so that the command line and
the leaderboard do not import torch.
"""

import math
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from slotbench import registry
from slotbench.errors import UserError
from slotbench.fields import Names, listed

if TYPE_CHECKING:
    from slotbench.evaluation.metric import Metric

ALL = "all"
"""What a user types for every group that is computed by default."""


def load(name: str) -> "Metric":
    """The metric group of that name; :class:`UserError` with the nearest name otherwise."""
    metric: Metric = registry.get("metrics", name).load()()
    return metric


def names() -> tuple[str, ...]:
    """Every group, in the order of registration."""
    return registry.names("metrics")


def default_groups() -> tuple[str, ...]:
    """The groups that ``all`` stands for."""
    known = registry.entries("metrics")
    return tuple(name for name, entry in known.items() if entry.facts["default"])


def chosen(wanted: Names) -> tuple[str, ...]:
    """The groups that a user names; :class:`UserError` where there is no such group."""
    groups: list[str] = []
    for name in listed(wanted):
        groups += default_groups() if name == ALL else (registry.get("metrics", name).name,)
    if not groups:
        raise UserError("--metrics names no group.", "Type: slotbench list metrics")
    return tuple(dict.fromkeys(groups))


def version(name: str) -> int:
    """The version of a group's definitions."""
    return int(registry.get("metrics", name).facts["version"])


def foreign_digest(name: str) -> str:
    """The sha256 of a plugin's group; empty for slotbench's own and for one that is not loaded."""
    found = registry.entries("metrics").get(name)
    return found.foreign_digest() if found else ""


def group_of(key: str) -> str | None:
    """The group that a key of ``evaluation.json``, or a prefix of keys, belongs to."""
    if key in names():
        return key
    found = _owner(key) or _owner(f"{key}/")
    return None if found is None else found.name


def current_version(key: str) -> int:
    """The version of a key's definition in this slotbench; 0 for an unknown key."""
    found = _owner(key)
    return 0 if found is None else int(found.facts["version"])


def direction(key: str) -> int:
    """1: higher is better, -1: lower is better, 0: neither, or an unknown key."""
    found = _owner(key)
    if found is None:
        return 0
    own = (sign for like, sign in found.facts["directions"].items() if fnmatchcase(key, like))
    return int(next(own, found.facts["better"]))


def value_range(key: str) -> tuple[float, float]:
    """The least and the greatest value of a metric; infinite where there is no bound."""
    found = _owner(key)
    known = () if found is None else found.facts["ranges"].items()
    least, most = next((ends for like, ends in known if fnmatchcase(key, like)), (None, None))
    return -math.inf if least is None else least, math.inf if most is None else most


def compared_keys() -> tuple[str, ...]:
    """The keys whose differences the leaderboard tests, by group."""
    return _listed("compared")


def shown_keys() -> tuple[str, ...]:
    """The keys that the leaderboard shows by default, by group."""
    return _listed("shown")


def _listed(fact: str) -> tuple[str, ...]:
    return tuple(key for each in registry.entries("metrics").values() for key in each.facts[fact])


def _owner(key: str) -> registry.Entry | None:
    return _owner_among(key, tuple(registry.entries("metrics").values()))


@cache
def _owner_among(key: str, known: tuple[registry.Entry, ...]) -> registry.Entry | None:
    for entry in known:
        if any(fnmatchcase(key, pattern) for pattern in entry.facts["keys"]):
            return entry
    return None
