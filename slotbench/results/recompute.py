"""``slotbench verify BUNDLE``: checks hashes, then computes every number again from the weights.

A bundle may come from anyone. So first one image passes through the model on torch's ``meta``
device, without memory, which bounds how much a configuration may ask for.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.places import ENDINGS
from slotbench.errors import SlotbenchError, UserError
from slotbench.evaluation.evaluate import GROUPS
from slotbench.evaluation.evaluate import evaluate as judge
from slotbench.files import Model, parse_document
from slotbench.objectives.objective import Objective
from slotbench.progress import bar, say
from slotbench.results.bundle import Bundle, check_hashes, open_bundle
from slotbench.results.documents import Config, Environment, Evaluation, Status
from slotbench.results.models import open_dataset
from slotbench.training import devices
from slotbench.training.build import build, fill

VERDICTS = ("same", "moved", "contradicted")
_HEADER = 100 << 20
"""Largest header of a safetensors file, in bytes."""
_MOST = 1 << 16
"""Largest width, depth or count of a model."""
_MOST_CALLS = 10_000
"""Most calls of torch for building a model and one image."""
_MOST_VALUES = 2_000_000_000
"""Most values that these calls may make in all."""
_BATCH = 64
"""Images that an evaluation computes at once."""
_FACTS = ("fingerprint", "resolution", "images", "objects")
"""What an evaluation says of its data."""
_BESIDE = ("low", "high", "spread", "n")
"""Numbers beside the value of a metric."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNFIT = "The weights do not fit the configuration."


def verify_bundle(
    path: Path, data_dir: Path, device: str, *, recompute: bool, tolerance: float
) -> dict[str, Any]:
    """Check a bundle; ``ok`` only where every hash holds and every number was confirmed.

    ``unverified`` lists the numbers that were not computed again: of runs whose dataset is not in
    ``data_dir``, that need other files or ask for too much, and metrics of another version.
    Without ``recompute``, only hashes are checked. :class:`UserError` where ``path`` is no bundle.
    """
    with open_bundle(path) as bundle:
        wrong = check_hashes(bundle)
        runs: list[dict[str, Any]] = []
        for folder in bundle.runs:
            runs.append({"run": folder, "recomputed": False, "reason": "", "metrics": []})
            if recompute and not wrong:
                say(f"Computing again: {folder}")
                runs[-1] |= _run(bundle, folder, data_dir, device, tolerance)
    cells = [
        (run["run"], cell["metric"], cell["verdict"]) for run in runs for cell in run["metrics"]
    ]
    verdicts = Counter(verdict for _, _, verdict in cells)
    unverified = [f"{run['run']}: {run['reason']}" for run in runs if run["reason"]]
    unverified += [
        f"{run}: {metric} {verdict}" for run, metric, verdict in cells if verdict not in VERDICTS
    ]
    return {
        "schema": 1,
        "bundle": str(path),
        "ok": not wrong and not unverified and not verdicts["contradicted"],
        "recompute": recompute and not wrong,
        "hashes": {"files": len(bundle.manifest.files), "wrong": wrong},
        "tolerance": tolerance,
        "contradicted": verdicts["contradicted"],
        "unverified": unverified,
        "runs": runs,
    }


def _run(
    bundle: Bundle, folder: str, data_dir: Path, device: str, tolerance: float
) -> dict[str, Any]:
    def read(name: str, model: type[Model]) -> Model:
        return parse_document(bundle.document(f"{folder}/{name}"), model, name)

    try:
        stored = read("evaluation.json", Evaluation)
        read("status.json", Status)
        read("environment.json", Environment)
        if not stored.metrics:
            raise UserError("Its evaluation holds no number.")
        if stored.model != bundle.manifest.files[f"{folder}/model.safetensors"].sha256:
            raise UserError("Its evaluation is of other weights.")
        fresh = _evaluate(bundle, folder, stored, data_dir, device)
        for fact in _FACTS:
            if getattr(stored, fact) != fresh[fact]:
                said = f"{fact}={getattr(stored, fact)}, and it is {fresh[fact]}"
                raise UserError(f"Its evaluation says {said}.")
        return {"recomputed": True, "metrics": list(compare(stored, fresh, tolerance))}
    except SlotbenchError as error:
        return {"reason": str(error)}
    except OSError:
        raise
    except Exception as error:
        # The files may hold anything; still check the next run.
        why = f"its files do not fit this slotbench ({type(error).__name__}: {error})"
        return {"reason": why[:500]}


def compare(
    stored: Evaluation, fresh: dict[str, Any], tolerance: float
) -> Iterator[dict[str, Any]]:
    """Metric by metric, in the order of the stored evaluation; then its :data:`_BESIDE`, if wrong.

    The verdict is ``same``, ``moved``, ``contradicted``, or says why nothing can be compared.
    ``same_decimals`` is None where nothing moved or not even whole numbers agree.
    """
    for metric, cell in stored.metrics.items():
        known: Mapping[str, Any] = cell
        value, now = known["value"], fresh["metrics"].get(metric)
        if now is None:
            yield _told(metric, value, None, "not computed again")
        elif known["version"] != now["version"]:
            versions = f"of version {known['version']}, this slotbench has {now['version']}"
            yield _told(metric, value, None, versions)
        else:
            yield _compared(metric, value, now["value"], tolerance)
            for name in (each for each in _BESIDE if each in known):
                within = 0.0 if name == "n" else tolerance
                found = _compared(f"{metric}, {name}", known[name], now[name], within)
                if found["verdict"] == "contradicted":
                    yield found


def _compared(metric: str, before: Any, after: Any, tolerance: float) -> dict[str, Any]:
    if before is None or after is None:
        return _told(metric, before, after, "same" if before is after else "contradicted")
    moved = after - before
    if moved == 0:
        return _told(metric, before, after, "same", moved)
    # NaN is within no tolerance.
    verdict = "moved" if abs(moved) <= tolerance else "contradicted"
    return _told(metric, before, after, verdict, moved, same_decimals(before, after))


def _told(
    metric: str,
    before: Any,
    after: Any,
    verdict: str,
    moved: float | None = None,
    decimals: int | None = None,
) -> dict[str, Any]:
    return {
        "metric": metric,
        "stored": before,
        "recomputed": after,
        "difference": moved,
        "verdict": verdict,
        "same_decimals": decimals,
    }


def same_decimals(one: float, other: float) -> int | None:
    """The most decimals, up to 16, to which two numbers round to the same; None: not even 0."""
    return max((k for k in range(17) if round(one, k) == round(other, k)), default=None)


def _evaluate(
    bundle: Bundle, folder: str, stored: Evaluation, data_dir: Path, device: str
) -> dict[str, Any]:
    """A new evaluation on the same split, with the same seed and groups."""
    config = RunConfig.from_dict(_tame(bundle.document(f"{folder}/config.json")))
    name = f"{folder}/model.safetensors"
    with open_dataset(config, data_dir) as dataset:
        _try(config, bundle.sizes[name])
        objective = build(config)
        try:
            fill(objective, load(b"".join(bundle.pieces(name))))
        except (RuntimeError, SafetensorError) as error:
            raise UserError(_UNFIT) from error
        with bar("Evaluating", 1.0, count=False) as progress:
            return judge(
                objective.eval().to(devices.choose(device)),
                dataset,
                split=stored.split,
                seed=config.seed,
                device=devices.choose(device),
                groups=tuple(stored.groups or GROUPS),
                progress=progress,
            )


def _try(config: RunConfig, size: int) -> None:
    """Build the model and pass one image through it, without memory.

    ``size`` is the number of bytes of the weights' file. :class:`UserError` where the model has
    other weights than that, or takes too many calls, values or memory.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    class Bounds(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Counts what each call of torch makes."""

        calls = values = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            made = func(*args, **(kwargs or {}))
            tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
            self.calls += 1
            self.values += sum(tensor.numel() for tensor in tensors)
            largest = max((tensor.nbytes for tensor in tensors), default=0) * _BATCH
            if self.calls > _MOST_CALLS or self.values > _MOST_VALUES or largest > memory / 2:
                raise UserError("Its configuration asks for more than such a model needs.")
            return made

    def through(objective: Objective, device: str) -> None:
        side = config.dataset.image_size
        images = torch.zeros(1, 3, side, side, device=device)
        objective.decode(objective.core(images), images)

    with Bounds(), torch.no_grad():  # type: ignore[no-untyped-call]
        with torch.device("meta"):
            objective = build(config).eval()
        needed = sum(value.nbytes for value in objective.state_dict().values())
        if not needed < size < needed + _HEADER:
            raise UserError(_UNFIT)
        try:
            through(objective, "meta")
        except (RuntimeError, NotImplementedError):  # not every operation knows the meta device
            through(build(config).eval(), "cpu")


def _tame(config: Any) -> Any:
    """The configuration, changed so that it reads no file and fetches nothing.

    :class:`UserError` where it needs a file, or its numbers are too large.
    """
    dataset = parse_document(config, Config, "config.json").dataset
    for name in (dataset.name, dataset.variant):
        if not _PLAIN.fullmatch(name) or name.endswith(ENDINGS):
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
                raise UserError(f"{section}.model={model}: it names weights to download.")
            # The trained weights replace pretrained ones.
            fields |= {key: None for key in ("weights",) if key in fields}
            fields |= {key: False for key in ("pretrained",) if key in fields}
        tamed[section] = fields
    return tamed
