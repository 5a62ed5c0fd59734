"""Training from a file that is larger than memory, beside training from memory.

A prepared file of more than ``--cap`` GB is made (its images repeat; they compress to a third, as
rendered scenes do). A process whose heap may not grow beyond the cap (RLIMIT_DATA) trains the
preset ``quick`` in turns, a step from that file and a step from a dataset that is held in memory.
Before each window of 8,192 images the file is put out of the system's cache, so that the disk is
read, as it is where memory is too small for the file. Reading a window, by the clock, counts as a
part of its steps; of these it is the processor's time that counts, divided by the threads,
because other work on the machine stretches the clock.
Type: python -m benchmarks.larger_than_memory [--cap 2] [--windows 2] [--steps N]
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmarks.loader import ATTRIBUTES, LAYOUT, scenes
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import BLOCK, WINDOW, Loader, images_on
from slotbench.datasets.prepare.parts import join
from slotbench.objectives.objective import TrainBatch
from slotbench.training.build import build

DIFFERENT = 2048


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
        config = resolve(Choice(preset="quick"), info)
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
    reading, disk = 0.0, from_disk()
    taken: dict[str, list[float]] = {"memory": [], "file": []}
    loaders = {"memory": memory, "file": file}
    for window in range(windows):
        first = window * whole
        forget(file.dataset.path)
        begun = time.perf_counter()
        file.batch(first)
        reading += (time.perf_counter() - begun) / windows
        for number in range(first, first + steps):
            for way in sorted(loaders, reverse=bool(number % 2)):
                begun = time.process_time()
                step(loaders[way], number)
                taken[way].append((time.process_time() - begun) / torch.get_num_threads())
    megabytes = (from_disk() - disk) / windows / 1e6
    print(f"a window is read in {reading:.2f} s, {megabytes:.0f} MB of it from the disk")
    # Each step bears its share of the reading, also where a window is not trained on to its end.
    spent = {way: statistics.median(times) for way, times in taken.items()}
    spent["file"] += reading / whole
    for way, seconds in spent.items():
        rate = memory.batch_size / seconds
        print(f"{way}: {rate:.1f} images/s, {1000 * seconds:.1f} ms a step")
    print(f"ratio: {spent['memory'] / spent['file']:.1%} ({windows * steps} steps each)")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cap", type=float, default=2.0, help="GB of memory")
    options.add_argument("--windows", type=int, default=2)
    options.add_argument("--steps", type=int, help="of each window; none: all")
    options.add_argument("--folder", type=Path, help="on the disk to be read from")
    asked = options.parse_args()
    if asked.cap < 1.5:
        options.error(f"--cap {asked.cap:g}: torch and a window need 1.5 GB")
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
            f"made in {took:.0f} s",
            flush=True,
        )
        words = (large, small, 1e9 * asked.cap, asked.windows, asked.steps)
        child = get_context("spawn").Process(target=train, args=words)
        child.start()
        child.join()
    if child.exitcode:
        raise SystemExit(f"the process that trained ended with {child.exitcode}")


if __name__ == "__main__":
    main()
