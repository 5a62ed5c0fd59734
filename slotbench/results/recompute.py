"""``slotbench verify BUNDLE``: hashes, then every number computed again from the weights."""

import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench.config.run_config import RunConfig
from slotbench.errors import SlotbenchError, UserError
from slotbench.results.bundle import Bundle, check_hashes, open_bundle

TOLERANCE = 0.01
"""How far a number may move, from one machine and library to another, before it is contradicted.

Absolute; most metrics lie between 0 and 1."""
_HEADER = 100 << 20
_MOST = 1 << 16
"""What no width, depth or count of a real model exceeds."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Digit:
    """One metric, as stored and as computed again."""

    metric: str
    stored: float | None
    recomputed: float | None
    difference: float | None
    verdict: str
    """``same``, ``moved``, ``contradicted``, or why there is nothing to compare."""
    same_decimals: int | None = None
    """To how many decimals both round to one number; None where nothing moved, or none is left."""


def verify_bundle(
    path: Path,
    data_dir: Path,
    device: str,
    *,
    recompute: bool = True,
    tolerance: float = TOLERANCE,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Check a bundle; ``ok`` is false where a hash or a number does not hold.

    Runs whose dataset is not prepared below ``data_dir``, or which need files that are not in
    the bundle, are not computed again, and say so. :class:`UserError` for what is no bundle.
    """
    with open_bundle(path) as bundle:
        wrong = check_hashes(bundle)
        runs: list[dict[str, Any]] = []
        for folder in bundle.runs:
            if wrong or not recompute:
                runs.append({"run": folder, "recomputed": False, "reason": "", "metrics": []})
                continue
            say(f"Computing again: {folder}")
            runs.append(_run(bundle, folder, data_dir, device, tolerance))
    contradicted = sum(cell["verdict"] == "contradicted" for run in runs for cell in run["metrics"])
    return {
        "schema": 1,
        "bundle": str(path),
        "ok": not wrong and not contradicted,
        "recompute": recompute and not wrong,
        "hashes": {"files": len(bundle.manifest["files"]), "wrong": wrong},
        "tolerance": tolerance,
        "contradicted": contradicted,
        "runs": runs,
    }


def _run(
    bundle: Bundle, folder: str, data_dir: Path, device: str, tolerance: float
) -> dict[str, Any]:
    found: dict[str, Any] = {"run": folder, "recomputed": False, "reason": "", "metrics": []}
    try:
        stored = bundle.document(f"{folder}/evaluation.json")
        fresh = _evaluate(bundle, folder, stored, data_dir, device)
        digits = list(compare(stored, fresh, tolerance))
    except SlotbenchError as error:
        return found | {"reason": str(error)}
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        # The documents are someone else's: whatever they hold, the next run is looked at.
        why = f"its files do not fit this slotbench ({type(error).__name__}: {error})"
        return found | {"reason": why[:500]}
    return found | {"recomputed": True, "metrics": [vars(digit) for digit in digits]}


def compare(stored: dict[str, Any], fresh: dict[str, Any], tolerance: float) -> Iterator[Digit]:
    """Metric by metric, in the order of the stored evaluation."""
    for metric, cell in stored["metrics"].items():
        before = _number(cell["value"])
        if metric not in fresh["metrics"]:
            yield Digit(metric, before, None, None, "not computed again")
            continue
        now = fresh["metrics"][metric]
        if int(cell["version"]) != int(now["version"]):
            text = f"of version {cell['version']}, this slotbench has {now['version']}"
            yield Digit(metric, before, None, None, text)
            continue
        after = _number(now["value"])
        if before is None or after is None:
            verdict = "same" if before is after else "contradicted"
            yield Digit(metric, before, after, None, verdict)
            continue
        moved = after - before
        verdict = "same" if moved == 0 else "moved" if abs(moved) <= tolerance else "contradicted"
        decimals = None if moved == 0 else same_decimals(before, after)
        yield Digit(metric, before, after, moved, verdict, decimals)


def same_decimals(one: float, other: float) -> int | None:
    """The most decimals, up to 16, to which two numbers round to the same; None: not even 0."""
    return max((k for k in range(17) if round(one, k) == round(other, k)), default=None)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a value is {number}")
    return number


def _evaluate(
    bundle: Bundle, folder: str, stored: dict[str, Any], data_dir: Path, device: str
) -> dict[str, Any]:
    """``evaluation.json`` anew, on the same split and seed and of the same groups."""
    import torch
    from safetensors.torch import load

    from slotbench.evaluation.evaluate import GROUPS
    from slotbench.evaluation.evaluate import evaluate as judge
    from slotbench.progress import bar
    from slotbench.results.models import open_dataset
    from slotbench.training import devices
    from slotbench.training.build import build

    config = RunConfig.from_dict(_tame(bundle.document(f"{folder}/config.json")))
    groups = tuple(str(name) for name in stored.get("groups") or GROUPS)
    name = f"{folder}/model.safetensors"
    with open_dataset(config, data_dir) as dataset:
        # The shapes are compared before the configuration may ask for memory.
        with torch.device("meta"):
            expected = {
                key: tuple(value.shape) for key, value in build(config).state_dict().items()
            }
        if shapes(bundle, name) != expected:
            raise UserError("The weights are not those of the configuration.")
        objective = build(config)
        objective.load_state_dict(load(bundle.read(name)))
        with bar("Evaluating", 1.0, count=False) as progress:
            return judge(
                objective.eval().to(devices.choose(device)),
                dataset,
                split=str(stored["split"]),
                seed=config.seed,
                device=devices.choose(device),
                groups=groups,
                progress=progress,
            )


def shapes(bundle: Bundle, name: str) -> dict[str, tuple[int, ...]]:
    """The tensors that a safetensors file says it holds, from its header alone."""
    with bundle.open(name) as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else _HEADER + 1
        if length > min(_HEADER, bundle.sizes[name]):
            raise bundle.bad(f"{name} is no safetensors file")
        try:
            header = json.loads(stream.read(length))
            return {
                str(key): tuple(int(side) for side in facts["shape"])
                for key, facts in header.items()
                if key != "__metadata__"
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise bundle.bad(f"{name} is no safetensors file") from error


def _tame(config: Any) -> Any:
    """A configuration that reads no file and fetches nothing: all it needs is in the weights.

    :class:`UserError` where it cannot do without.
    """
    if not isinstance(config, dict):
        raise UserError("config.json is no configuration.")
    dataset = config["dataset"]
    for name in (str(dataset["name"]), str(dataset["variant"])):
        if not _PLAIN.fullmatch(name) or name.endswith((".h5", ".hdf5")):
            raise UserError(f"config.json names no dataset of slotbench: {name[:100]!r}.")
    tamed = {}
    for section, fields in config.items():
        if isinstance(fields, dict) and section not in ("dataset", "overrides", "versions"):
            fields = dict(fields)
            if fields.get("teacher") is not None:
                raise UserError(
                    f"{section}.teacher={fields['teacher']}: the teacher is not in the bundle."
                )
            numbers = (value for value in fields.values() if isinstance(value, int | float))
            if section != "train" and any(abs(value) > _MOST for value in numbers):
                raise UserError(f"{section} holds a number above {_MOST:,}.")
            model = fields.get("model")
            if isinstance(model, str) and (":" in model or "/" in model):
                raise UserError(f"{section}.model={model}: it names something to fetch.")
            # The trained weights replace those that it started from.
            fields |= {key: None for key in ("weights",) if key in fields}
            fields |= {key: False for key in ("pretrained",) if key in fields}
        tamed[section] = fields
    return tamed
