"""``slotbench bench``: how fast this machine trains."""

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slotbench import registry
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, images_on
from slotbench.datasets.format.places import locate
from slotbench.datasets.format.schema import Feature, Layout, Property
from slotbench.datasets.format.views import Views, make_views
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.progress import bar
from slotbench.rng import torch_generator
from slotbench.training.build import build
from slotbench.training.devices import bfloat16, describe
from slotbench.training.flops import flops_of_step

WARM, COUNTED = 3, 21
LAYOUT = Layout(
    64,
    64,
    6,
    (Property("position", "numeric", 3), Property("shape", "categorical", 1, ("a", "b"))),
    features=(Feature("vit-base-16", 196, 768),),
)
NOWHERE = DatasetInfo(
    "random",
    "pixels",
    "rendered",
    "",
    LAYOUT.height,
    LAYOUT.objects,
    {**json.loads(LAYOUT.to_json()), "features": [asdict(each) for each in LAYOUT.features]},
)


def measure(
    preset: str, device: torch.device, dataset: str | Path | None, data_dir: Path
) -> list[dict[str, Any]]:
    """Median milliseconds of a training step, of its views and of loading its images.

    Also FLOPs a second, their share of the speed of large matrix products in the same precision,
    and how long the device waited: a CPU while it loads, a GPU while no kernel runs. Images,
    labels, frames and features are random. Loading is timed with a dataset alone.
    """
    rows: list[dict[str, Any]] = []
    found = registry.entries("objectives").items()
    names = [name for name, entry in found if entry.load().trains]
    with bar("Timing", len(names)) as shown:
        for name in names:
            shown.set(len(rows), detail=name)
            config = resolve(Choice(objective=name, preset=preset), NOWHERE)
            times = _times(config, device, dataset, data_dir)
            # The first objective is reconstruction.
            relative = times["step_ms"] / (rows[0]["step_ms"] if rows else times["step_ms"])
            rows.append({"objective": name, **times, "relative": round(relative, 2)})
        shown.set(len(rows))
    return rows


def _times(
    config: RunConfig, device: torch.device, dataset: str | Path | None, data_dir: Path
) -> dict[str, Any]:
    batch, size = config.train.batch_size, config.dataset.image_size
    objective = build(config).to(device)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-4, fused=True)
    images = torch.rand(batch, 3, size, size, generator=torch_generator("bench")).to(device)
    loading: list[float] = []
    if dataset is not None:
        with DatasetFile(locate(dataset, data_dir)) as file:
            loader = Loader(file, "train", batch, 0)
            for step in range(WARM + COUNTED):
                loading.append(_clock(device))
                images_on(loader.batch(step), device)
                loading[-1] = _clock(device) - loading[-1]
    labels = _labels(objective, batch, device)
    dtype = torch.bfloat16 if bfloat16(device, config.train.precision) else torch.float32
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)

    def take(step: int) -> tuple[float, float]:
        """A step; the seconds of its views, and of all."""
        begun = _clock(device)
        views = _views(objective, config, images, step)
        viewed = _clock(device)
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = objective.loss(TrainBatch(images, views, 0, step, labels=labels))["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(objective.parameters(), config.train.clip or math.inf)
        optimizer.step()
        objective.after_step(step)
        return viewed - begun, _clock(device) - begun

    taken = [take(step) for step in range(WARM + COUNTED)]
    viewing, stepping = zip(*taken, strict=True)
    viewed, step_time = (statistics.median(each[WARM:]) for each in (viewing, stepping))
    loaded = statistics.median(loading[WARM:]) if loading else 0.0
    views = _views(objective, config, images, 0)
    flops = flops_of_step(objective, TrainBatch(images, views, 0, 0, labels=labels))
    waited = loaded if device.type == "cpu" else step_time - _busy(lambda: take(WARM + COUNTED))
    return {
        "preset": config.preset,
        "device": describe(device),
        "batch_size": batch,
        "step_ms": round(step_time * 1000, 2),
        "views_ms": round(viewed * 1000, 2),
        "loading_ms": round(loaded * 1000, 3) if loading else None,
        "waited_ms": round(waited * 1000, 2),
        "images_per_second": round(batch / step_time, 1),
        "gflops_per_second": round(flops / step_time / 1e9, 1),
        "share_of_peak": round(flops / step_time / _peak(device, dtype), 3),
    }


def _busy(work: Callable[[], object]) -> float:
    """Seconds in which a GPU computes during some work; not tried on a GPU yet."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        work()
    return float(sum(event.self_device_time_total for event in seen.key_averages())) / 1e6


@cache
def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of a product of square matrices, the best of three."""
    side = 1024 if device.type == "cpu" else 8192
    matrix, times = torch.rand(side, side, device=device, dtype=dtype), []
    for _ in range(4):
        begun = _clock(device)
        matrix @ matrix
        times.append(_clock(device) - begun)
    return 2 * side**3 / min(times)


def _views(objective: Objective, config: RunConfig, images: Tensor, step: int) -> Views | None:
    if not objective.views:
        return None
    if objective.temporal:
        frames = torch.stack([images] * objective.views)
        return Views(frames, torch.eye(2, 3, device=images.device).expand(*frames.shape[:2], 2, 3))
    return make_views(images, config.sections["views"], (0, "bench", step), objective.views)


def _labels(objective: Objective, batch: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch_generator("bench", "labels")
    labels = {}
    for key in objective.reads:
        shape, dtype = LAYOUT.stored(features=True)[key]
        drawn = torch.rand(batch, *shape, generator=generator)
        most = {"mask": LAYOUT.objects + 1, "property/shape": 2}.get(key, 1)
        labels[key] = torch.from_numpy((drawn * most).numpy().astype(dtype)).to(device)
    if "visible" in labels:
        labels["visible"] = torch.ones_like(labels["visible"])
    return labels


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
