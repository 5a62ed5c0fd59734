"""What each core costs: ``python benchmarks/cores.py [--preset quick] [--cores NAME ...]``.

Milliseconds of processor time for forward and backward on a batch of the preset, 64x64 pixels and
7 slots, one thread, with the preset's encoder; the median of rounds that take the cores in turn.
Processor time, so that other work on the machine counts for little.
"""

import argparse
import statistics
import time

import torch

from slotbench import registry
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo
from slotbench.cores.core import Core
from slotbench.rng import building, torch_generator

INFO = DatasetInfo("clevr", "clevr6", "rendered", "", 64, 6)


def make(name: str, preset: str) -> tuple[Core, int]:
    """The core as the preset makes it, and the preset's batch size."""
    config = resolve(Choice(core=name, objective="random", preset=preset), INFO)
    with building(0, "core"):
        encoder = config.component("encoder")(config.sections["encoder"], INFO.image_size)
        core: Core = config.component("core")(config.sections["core"], encoder)
    return core, config.train.batch_size


def milliseconds(core: Core, batch: int) -> float:
    """One forward and one backward."""
    images = torch.rand(batch, 3, 64, 64, generator=torch_generator(0, "images"))
    noise = core.noise(batch, torch_generator(0, "noise"))
    core.zero_grad()
    before = time.process_time()
    core(images, noise).slots.square().mean().backward()
    return 1e3 * (time.process_time() - before)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--preset", default="quick")
    options.add_argument("--cores", nargs="+", default=list(registry.names("cores")))
    options.add_argument("--rounds", type=int, default=15)
    asked = options.parse_args()
    torch.set_num_threads(1)
    made = {name: make(name, asked.preset) for name in ("slot-attention", *asked.cores)}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(asked.rounds + 2):
        for name, (core, batch) in made.items():
            spent = milliseconds(core, batch)
            if turn >= 2:  # the first two warm up
                taken[name].append(spent)
    unit = statistics.median(taken["slot-attention"])
    for name, spent_all in taken.items():
        middle = statistics.median(spent_all)
        weights = sum(weight.numel() for weight in made[name][0].parameters())
        print(f"{name:26}{middle:8.1f} ms{middle / unit:7.2f} x{weights:12,} parameters")


if __name__ == "__main__":
    main()
