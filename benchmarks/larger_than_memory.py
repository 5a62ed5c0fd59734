"""Training from a file that is larger than memory, beside training from memory.

A prepared file of more than ``--cap`` GB is made (its images repeat; they compress to a third, as
rendered scenes do). A process whose heap may not grow beyond the cap (RLIMIT_DATA) trains the
preset ``quick`` in turns, a step from that file and a step from a dataset that is held in memory.
Before each window of 8,192 images the file is put out of the system's cache, so that the disk is
read, as it is where memory is too small for the file. Reading a window counts as a part of its
steps. Type: python -m benchmarks.larger_than_memory [--cap 2] [--windows 2] [--steps 256]
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import torch

from slotbench.build import build
from slotbench.config import DatasetInfo, RunConfig
from slotbench.datasets.loader import BLOCK, WINDOW, Loader, images_on
from slotbench.datasets.parts import join
from slotbench.datasets.schema import Batch, DatasetFile, Layout
from slotbench.objectives.base import TrainBatch
from slotbench.resolve import resolve_for
from slotbench.rng import numpy_generator

LAYOUT = Layout(64, 64, 6, ())
DIFFERENT = 2048
ATTRIBUTES = {
    "name": "scenes", "variant": "benchmark", "origin": "rendered", "sources": "[]",
    "generator": "benchmark", "seed": 0, "image_size": 64, "licence": "MIT",
}  # fmt: skip


def scenes(n: int) -> Iterator[Batch]:
    """Smooth ground with a little noise: it compresses as rendered scenes do, to a third."""
    generator = numpy_generator(0, "benchmark")
    ground = np.linspace(80, 160, 64)[:, None, None]
    for start in range(0, n, 1024):
        batch = LAYOUT.empty(min(1024, n - start))
        noise = generator.normal(0, 3, (len(batch["image"]), 64, 64, 1))
        batch["image"][:] = (ground + noise).clip(0, 255)
        yield batch


def make(path: Path, bytes_: float) -> int:
    """A file of at least so many bytes; returns how many training images it has."""
    join(
        path, LAYOUT, {"train": scenes(DIFFERENT), "val": scenes(1), "test": scenes(1)}, ATTRIBUTES
    )
    with h5py.File(path, "r+") as file:
        group = file["train"]
        image = group["image"]
        chunks = [image.id.read_direct_chunk((i, 0, 0, 0))[1] for i in range(DIFFERENT)]
        images = int(bytes_ / np.mean([len(chunk) for chunk in chunks])) + DIFFERENT
        for array in group.values():
            if isinstance(array, h5py.Dataset):
                array.resize(images, axis=0)
        # Chunks as they are, compressed: to compress each again would take an hour.
        for index in range(DIFFERENT, images):
            image.id.write_direct_chunk((index, 0, 0, 0), chunks[index % DIFFERENT])
    return images


def forget(path: Path) -> None:
    """Put a file out of the system's cache."""
    os.sync()
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def from_disk() -> int:
    """Bytes that this process has read from the disk itself, and not from a cache."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def train(large: Path, small: Path, cap: float, windows: int, steps: int | None) -> None:
    """Print the rates of both ways, in this process, under the cap."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(cap), int(cap)))
    with DatasetFile(large) as big, DatasetFile(small) as little:
        layout = json.loads(LAYOUT.to_json())
        info = DatasetInfo("scenes", "benchmark", "rendered", "", 64, LAYOUT.objects, layout)
        config = resolve_for(
            info, core="slot-attention", objective="reconstruction", alignment=None,
            preset="quick", seed=0,
        )  # fmt: skip
        size, budget = config.train.batch_size, int(cap) // 4
        file = Loader(big, "train", size, 0, memory_budget=budget)
        memory = Loader(little, "train", size, 0, memory_budget=budget)
        assert not file.in_memory
        assert memory.in_memory
        whole = WINDOW * BLOCK // size
        print(f"windows of {WINDOW * BLOCK:,} images, {whole} steps of {size}; quick, on the CPU")
        _compare(_Step(config), file, memory, windows, min(steps or whole, whole), whole)
    print(f"peak memory of the process: {_peak():.2f} GB")


class _Step:
    """A training step on a loader's batch."""

    def __init__(self, config: RunConfig) -> None:
        self.objective = build(config)
        self.optimizer = torch.optim.Adam(self.objective.parameters(), 1e-4, fused=True)

    def __call__(self, loader: Loader, number: int) -> None:
        images = images_on(loader.batch(number), torch.device("cpu"))
        self.optimizer.zero_grad(set_to_none=True)
        batch = TrainBatch(images, None, 0, number, labels={})
        self.objective.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def _compare(
    step: _Step, file: Loader, memory: Loader, windows: int, steps: int, whole: int
) -> None:
    """The steps of each window take turns with steps from memory, so that both see one machine."""
    for number in range(3):  # warm
        step(memory, number)
    reading, taken, disk = 0.0, {"file": 0.0, "memory": 0.0}, from_disk()
    for window in range(windows):
        first = window * whole
        forget(file.dataset.path)
        begun = time.perf_counter()
        file.batch(first)
        reading += time.perf_counter() - begun
        for number in range(first, first + steps):
            for way, loader in (("file", file), ("memory", memory)):
                begun = time.perf_counter()
                step(loader, number)
                taken[way] += time.perf_counter() - begun
    disk = from_disk() - disk
    count = windows * steps
    # Of a window that is not trained on to its end, the share of its reading.
    spent = taken["file"] + reading * steps / whole
    rates = {
        way: count * memory.batch_size / seconds
        for way, seconds in (("file", spent), ("memory", taken["memory"]))
    }
    print(f"a window is read in {reading / windows:.2f} s, {disk / windows / 1e6:.0f} MB from disk")
    print(
        f"from memory: {rates['memory']:.1f} images/s; from the file: {rates['file']:.1f} images/s"
    )
    print(f"ratio: {rates['file'] / rates['memory']:.1%} ({count} steps each)")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cap", type=float, default=2.0, help="GB of memory")
    options.add_argument("--windows", type=int, default=2)
    options.add_argument("--steps", type=int, help="of each window; none: all")
    options.add_argument("--folder", type=Path, help="on the disk to be read from")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        large, small = Path(name) / "large.h5", Path(name) / "small.h5"
        begun = time.perf_counter()
        images = make(large, 1.05e9 * asked.cap)
        make(small, 1)
        took = time.perf_counter() - begun
        print(f"load of the machine {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} threads")
        print(
            f"{images:,} images: {large.stat().st_size / 1e9:.2f} GB on disk, "
            f"{images * 64 * 64 * 3 / 1e9:.2f} GB in memory, under a cap of {asked.cap} GB; "
            f"made in {took:.0f} s", flush=True,
        )  # fmt: skip
        words = (large, small, 1e9 * asked.cap, asked.windows, asked.steps)
        child = get_context("spawn").Process(target=train, args=words)
        child.start()
        child.join()
    if child.exitcode:
        raise SystemExit(f"the process that trained ended with {child.exitcode}")


if __name__ == "__main__":
    main()
