"""Milliseconds to pair the slots of two views: ``python benchmarks/matching.py [--threads 2]``.

Everything is timed in one run on this machine: ``matching.assign`` beside a loop that hands
scipy one tensor after another, an exact dynamic programme over subsets of columns on the whole
batch, and the enumeration of all permutations; then every alignment as a share of a training
step of the preset ``quick`` with the objective ``simclr``.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import combinations, permutations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from slotbench import registry
from slotbench.config.resolve import Choice, resolve
from slotbench.datasets.format.views import ViewConfig, make_views
from slotbench.matching import assign
from slotbench.objectives.objective import TrainBatch
from slotbench.rng import torch_generator
from slotbench.training.bench import NOWHERE
from slotbench.training.build import build


def loop(cost: Tensor) -> Tensor:
    """One call of scipy a matrix, each from and to a tensor."""
    return torch.stack([torch.tensor(linear_sum_assignment(one)[1]) for one in cost])


@cache
def _subsets(count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each row: the subsets of that size, their columns, and each subset without a column."""
    table = []
    for size in range(1, count + 1):
        columns = torch.tensor(list(combinations(range(count), size)))
        subset = (1 << columns).sum(dim=1)
        table.append((subset, columns, subset[:, None] - (1 << columns)))
    return table


def subsets(cost: Tensor) -> Tensor:
    """Held and Karp 1962 on the whole batch: the least cost of rows 0..r in each r + 1 columns."""
    batch, count = cost.shape[:2]
    least = cost.new_zeros(batch, 1 << count)
    last = torch.zeros(batch, 1 << count, dtype=torch.int64)
    for row, (subset, columns, rest) in enumerate(_subsets(count)):
        value, index = (least[:, rest] + cost[:, row, columns]).min(dim=2)
        least[:, subset] = value
        last[:, subset] = columns.expand(batch, -1, -1).gather(2, index[:, :, None])[:, :, 0]
    chosen = torch.empty(batch, count, dtype=torch.int64)
    left = torch.full((batch, 1), (1 << count) - 1)
    for row in reversed(range(count)):
        chosen[:, row] = last.gather(1, left)[:, 0]
        left = left - (1 << chosen[:, row, None])
    return chosen


@cache
def _orders(count: int) -> Tensor:
    return torch.tensor(list(permutations(range(count))))


def enumeration(cost: Tensor) -> Tensor:
    """All permutations of the whole batch."""
    orders = _orders(cost.shape[1])
    totals = sum(cost[:, row, orders[:, row]] for row in range(cost.shape[1]))
    assert isinstance(totals, Tensor)
    return orders[totals.argmin(dim=1)]


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call."""
    times = []
    for _ in range(repeats + 3):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times[3:])


def solvers(images: int, slots: int, repeats: int) -> None:
    cost = torch.randn(images, slots, slots, generator=torch_generator("benchmark"))
    expected = assign(cost)
    print(f"{images} matrices of {slots}x{slots}:")
    for solve in (assign, loop, subsets, enumeration):
        if slots > 7 and solve is enumeration:
            continue
        assert torch.equal(solve(cost), expected)
        print(f"  {solve.__name__:12} {timed(partial(solve, cost), repeats):8.3f} ms")


def step_time(images: int, alignment: str, repeats: int) -> tuple[float, float]:
    """Milliseconds of a whole simclr step of quick, views included, and of its ``pair``."""
    config = resolve(Choice(objective="simclr", alignment=alignment, preset="quick"), NOWHERE)
    objective = build(config)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-4, fused=True)
    size = NOWHERE.image_size
    pixels = torch.rand(images, 3, size, size, generator=torch_generator("benchmark"))

    def step() -> None:
        views = make_views(pixels, ViewConfig(), (0, "benchmark", 0), 2)
        optimizer.zero_grad(set_to_none=True)
        objective.loss(TrainBatch(pixels, views, 0, 0))["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    views = make_views(pixels, ViewConfig(), (0, "benchmark", 0), 2)
    with torch.no_grad():
        output = objective.core(views.images.flatten(0, 1))
    pair = partial(registry.get("alignments", alignment).load()().pair, output, views)
    return timed(step, repeats), timed(pair, repeats)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--images", type=int, default=32)
    options.add_argument("--repeats", type=int, default=30)
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    for slots in (7, 11):
        solvers(asked.images, slots, asked.repeats)
    slots = NOWHERE.objects + 1
    print(f"simclr, quick, {asked.images} images, {slots} slots, {asked.threads} threads:")
    for alignment in registry.names("alignments"):
        whole, pair = step_time(asked.images, alignment, asked.repeats)
        print(
            f"  {alignment:10} pair {pair:6.2f} ms of a step of {whole:6.1f} ms: {pair / whole:.1%}"
        )


if __name__ == "__main__":
    main()
