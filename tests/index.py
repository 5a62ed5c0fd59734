"""``make index``: write slotbench/index.json, the names that help and completion read."""

import importlib
import json
import pkgutil
from dataclasses import asdict

from slotbench import registry

ROOMS = ("datasets.sets", "cores", "objectives", "config", "evaluation", "suites", "tracking")
"""Where registered classes are."""


def own_entries():
    """The entries of slotbench's own classes: in the order of ``index.json``, new ones last."""
    for room in ROOMS:
        package = importlib.import_module(f"slotbench.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    every = [entry for kind in registry.KINDS for entry in registry.entries(kind).values()]
    return [entry for entry in every if entry.target.startswith("slotbench.") and stands(entry)]


def stands(entry):
    """Whether the class is still there, under that name: the entries come from an older index."""
    try:
        thing = entry.load()
    except (ImportError, AttributeError):
        return False
    return getattr(thing, "name", entry.name) == entry.name


def write():
    """Names keep their order."""
    index = {}
    for entry in own_entries():
        facts = {key: value for key, value in asdict(entry).items() if value}
        index.setdefault(facts.pop("kind"), {})[facts.pop("name")] = facts
    registry.INDEX.write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write()
