"""One run as the leaderboard sees it: what it is, what it cost, what its evaluation says.

Nothing here raises for a bad run: what is wrong with it stands in its ``problems``.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from slotbench import registry
from slotbench.evaluation.collapse import collapse_warning
from slotbench.results import entries

Document = dict[str, Any]
Found = dict[str, Any]
"""One run: the columns of ``runs.COLUMNS``, ``values`` (metric -> float, without the missing),
``versions`` (metric -> version, of all that were evaluated) and ``protocol``."""
Protocol = tuple[int, str]
"""How many images, at which resolution."""

_NO_PROTOCOL: Protocol = (0, "")
SCHEMA_VERSION = 1
SPLIT = "test"


def unreadable(name: str, *, published: bool, why: str) -> Found:
    problems = [f"cannot be read: {why}"]
    return {
        "run": name,
        "published": published,
        "state": "unreadable",
        "reason": why,
        "counts": False,
        "problems": problems,
        "warnings": [],
        "values": {},
        "versions": {},
        "protocol": _NO_PROTOCOL,
    }


def describe(name: str, config: Any, status: Any, evaluation: Any, *, published: bool) -> Found:
    """A run's columns; ``evaluation`` is a document, None, or text that says what is wrong."""
    try:
        found = {"run": name, "published": published, **_columns(config), **_progress(status)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"a field is missing or of another kind ({type(error).__name__}: {error})"
        return unreadable(name, published=published, why=why)
    found |= {"counts": False, "problems": [], "values": {}, "versions": {}}
    found["protocol"] = _NO_PROTOCOL
    if found["state"] != "done":
        return found
    found["problems"], cells, found["protocol"] = _evaluated(evaluation, config, again(found))
    found["values"] = {key: value for key, (value, _) in cells.items() if value is not None}
    found["versions"] = {key: version for key, (_, version) in cells.items()}
    found["counts"] = bool(cells)
    collapsed = collapse_warning(found["values"])
    if collapsed:
        found["warnings"].append(f"seed {found['seed']}: {collapsed}")
    return found


def again(run: Found) -> str:
    """What to type to evaluate a run anew; nothing for a published one."""
    if run["published"]:
        return ""
    if run["config"].get("kind"):
        return f" Type: {entries.command(run['config'])}"
    return f" Type: slotbench evaluate {Path(run['run']).name}"


def _columns(config: Document) -> Found:
    if config["schema"] != SCHEMA_VERSION:
        raise ValueError(f"config.json has schema {config['schema']}, not {SCHEMA_VERSION}")
    dataset = config["dataset"]
    columns = {
        "dataset": f"{dataset['name']}:{dataset['variant']}",
        "origin": str(dataset["origin"]),
        "image_size": int(dataset["image_size"]),
        "fingerprint": str(dataset["fingerprint"]),
        "seed": int(config["seed"]),
        "config": config,
    }
    return columns | (_of_entry(config) if config.get("kind") else _of_run(config))


def _of_run(config: Document) -> Found:
    objective = config["objective"]
    return {
        "core": str(config["core"]["name"]),
        "objective": str(objective["name"]),
        "alignment": objective.get("alignment"),
        "preset": str(config["preset"]),
        "settings": settings_text(config),
        "family": family_of(str(objective["name"])),
        "external": False,
        "row": _digest({key: value for key, value in config.items() if key != "seed"}),
        "pair": _digest(_shared_with_baseline(config)),
    }


def _of_entry(config: Document) -> Found:
    """A baseline or predictions from elsewhere: nothing was trained here, and no file is alike."""
    kind, identity = str(config["kind"]), entries.identity(config)
    if kind not in entries.FOLDERS:
        raise ValueError(f"config.json is of the kind {kind!r}")
    external = kind == "external"
    return {
        "core": "external" if external else "none",
        "objective": str(config["name"]),
        "alignment": None,
        "preset": "",
        "settings": "" if external else f"slots={int(config['slots'])}",
        "family": "external" if external else "control",
        "external": external,
        "row": _digest({key: value for key, value in identity.items() if key != "seed"}),
        "pair": "",
    }


def _progress(status: Document) -> Found:
    def number(key: str) -> float | None:
        value = status.get(key)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    return {
        "state": str(status["state"]),
        "reason": str(status.get("reason") or ""),
        "step": number("step"),
        "steps": number("steps"),
        "seconds": number("seconds"),
        "images_per_second": number("images_per_second"),
        "parameters": number("parameters"),
        "flops": number("flops"),
        "device": str(status.get("device") or ""),
        "warnings": [str(text) for text in status.get("warnings") or []],
    }


def family_of(objective: str) -> str:
    """The registry's family; ``combined`` for ``a+b:0.1``, ``unknown`` for a name not there."""
    known = registry.entries("objectives")
    if objective in known:
        return known[objective].family or "unknown"
    return "combined" if "+" in objective else "unknown"


def settings_text(config: Document) -> str:
    """What differs from the preset, such as ``slot_init=gaussian, steps=1000``; "" for nothing.

    Fields of core and train stand without their section, those of other sections with it.
    """
    texts = []
    for path, value in sorted((config.get("overrides") or {}).items()):
        section, _, field = path.rpartition(".")
        label = section if field == "name" else field if section in ("core", "train") else path
        texts.append(f"{label}={value if isinstance(value, str) else json.dumps(value)}")
    return ", ".join(texts)


def _shared_with_baseline(config: Document) -> Document:
    """The same data, core, preset and budget; objective, decoder and views are what is compared."""
    train = config.get("train") or {}
    overrides = config.get("overrides") or {}
    return {
        "dataset": config["dataset"],
        "preset": config["preset"],
        "core": config["core"],
        "encoder": config.get("encoder"),
        # Runs of one budget in seconds or FLOPs may take other numbers of steps.
        "budget": [train.get("budget") or train.get("steps"), train.get("batch_size")],
        "version": (config.get("versions") or {}).get("core"),
        "overrides": {
            key: value
            for key, value in overrides.items()
            if key.split(".")[0] in ("core", "encoder", "train")
            and not (train.get("budget") and key == "train.steps")
        },
    }


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _evaluated(
    evaluation: Any, config: Document, advice: str
) -> tuple[list[str], dict[str, tuple[float | None, int]], Protocol]:
    """Problems, cells and protocol of a finished run; no cells where it cannot count."""
    if evaluation is None:
        return [f"is done and not evaluated.{advice}"], {}, _NO_PROTOCOL
    if isinstance(evaluation, str):
        return [f"its evaluation cannot be read: {evaluation}.{advice}"], {}, _NO_PROTOCOL
    try:
        problem = _unusable(evaluation, config)
        cells = {
            str(key): (_value(cell["value"]), int(cell["version"]))
            for key, cell in evaluation["metrics"].items()
        }
        protocol = (int(evaluation["images"]), _resolution(evaluation["resolution"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"its evaluation cannot be read ({type(error).__name__}: {error})"
    if problem:
        return [f"{problem}: left out.{advice}"], {}, _NO_PROTOCOL
    return [], cells, protocol


def _unusable(evaluation: Document, config: Document) -> str:
    """Why an evaluation cannot stand on the leaderboard; "" where it can."""
    if evaluation["schema"] != SCHEMA_VERSION:
        return f"its evaluation has schema {evaluation['schema']}, not {SCHEMA_VERSION}"
    if evaluation["split"] != SPLIT:
        return f"was evaluated on {evaluation['split']}, not {SPLIT}"
    if evaluation["fingerprint"] != config["dataset"]["fingerprint"]:
        return "was evaluated on other data than it was trained on"
    return "" if evaluation["metrics"] else "its evaluation holds no metric"


def _resolution(value: Any) -> str:
    """``64x64``; evaluations hold [height, width]."""
    return "x".join(str(int(side)) for side in value)


def _value(value: Any) -> float | None:
    """A metric's value; None for null and for numbers that are not finite."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a metric's value is {value!r}")
    return float(value) if math.isfinite(value) else None
