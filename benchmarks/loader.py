"""Milliseconds a batch of loading and of views: ``python benchmarks/loader.py [--threads 2]``.

A split of 9,000 images of 64x64 is loaded 32 at a time, in memory and from the file; then two
views of each image are made with every preset. "from the file" is the mean over the steps of a
window, the reading of the window (8,192 images, once in 256 steps) included; all others are
the median and the least. "a DataLoader" is what users have today: samples read one by one from
the file, in shuffled order, by PyTorch's ``DataLoader`` in this process. A training step of the
preset ``quick`` is what they stand beside: see ``benchmarks/train_step.py``.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import BLOCK, WINDOW, Loader, images_on
from slotbench.datasets.format.schema import Batch, Layout
from slotbench.datasets.format.views import PRESETS, ViewConfig, make_views
from slotbench.datasets.prepare.parts import join
from slotbench.rng import numpy_generator

LAYOUT = Layout(64, 64, 6, ())
BATCH, IMAGES = 32, 9000
CPU = torch.device("cpu")
ATTRIBUTES = {
    "name": "scenes",
    "variant": "benchmark",
    "origin": "rendered",
    "sources": "[]",
    "generator": "benchmark",
    "seed": 0,
    "image_size": 64,
    "licence": "MIT",
}


def scenes(n: int) -> Iterator[Batch]:
    """Smooth ground with a little noise: it compresses as rendered scenes do, to a third."""
    generator = numpy_generator(0, "benchmark")
    ground = np.linspace(80, 160, 64)[:, None, None]
    for start in range(0, n, 1000):
        batch = LAYOUT.empty(min(1000, n - start))
        noise = generator.normal(0, 3, (len(batch["image"]), 64, 64, 1))
        batch["image"][:] = (ground + noise).clip(0, 255)
        yield batch


def times(work: Callable[[int], object], steps: int) -> list[float]:
    """Milliseconds of each step, the first two left out."""
    measured = []
    for step in range(steps + 2):
        start = time.perf_counter()
        work(step)
        measured.append((time.perf_counter() - start) * 1000)
    return measured[2:]


def report(name: str, measured: list[float]) -> None:
    print(f"{name}: {statistics.median(measured):.2f} ms, at best {min(measured):.2f}")


def loading(dataset: DatasetFile) -> None:
    start = time.perf_counter()
    memory = Loader(dataset, "train", BATCH, 0)
    print(f"reading {IMAGES:,} images into memory: {time.perf_counter() - start:.2f} s, once")
    report("loader in memory", times(memory.batch, 200))
    report("with the conversion", times(lambda step: images_on(memory.batch(step), CPU), 200))
    file = Loader(dataset, "train", BATCH, 0, memory_budget=0)
    steps = WINDOW * BLOCK // BATCH
    start = time.perf_counter()
    for step in range(steps):
        file.batch(step)
    took = time.perf_counter() - start
    print(f"loader from the file: {took / steps * 1000:.2f} ms; {took:.2f} s for a window")


def per_sample(path: Path) -> None:
    class Samples(Dataset[torch.Tensor]):
        def __init__(self) -> None:
            self.images = h5py.File(path)["train/image"]

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(self.images[index]).permute(2, 0, 1).float().div_(255)

    generator = torch.Generator().manual_seed(0)
    batches = iter(DataLoader(Samples(), BATCH, shuffle=True, generator=generator))
    report("a DataLoader", times(lambda _: next(batches), 100))


def viewing(dataset: DatasetFile) -> None:
    images = images_on(Loader(dataset, "train", BATCH, 0).batch(0), CPU)
    for name, config in PRESETS.items():

        def work(step: int, config: ViewConfig = config) -> None:
            make_views(images, config, (0, "benchmark", step))

        report(f"two views, {name}", times(work, 60))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    # As after the first training step: memory of this size, once freed, is kept for what follows.
    torch.ones(30 << 20, dtype=torch.uint8)
    print(f"{BATCH} images, {threads} threads; load of the machine {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenes.h5"
        splits = {"train": scenes(IMAGES), "val": scenes(1), "test": scenes(1)}
        join(path, LAYOUT, splits, ATTRIBUTES)
        with DatasetFile(path) as dataset:
            loading(dataset)
            per_sample(path)
            viewing(dataset)


if __name__ == "__main__":
    main()
