"""How probes are trained on a frozen core: one loop for all of them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

from slotbench.evaluation.result import Progress, silent

BATCH, LEARNING_RATE, HALVED_AT = 64, 1e-3, (2000, 4000)
CHECK_EVERY, PATIENCE = 250, 1000
Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


def batches(n: int, generator: np.random.Generator, size: int = BATCH) -> Iterator[Tensor]:
    """Endless batches of at most ``size`` of n indices, int64, shuffled anew each epoch."""
    queue = np.empty(0, np.int64)
    while True:
        if len(queue) < min(size, n):
            queue = generator.permutation(n)
        index, queue = queue[:size], queue[size:]
        yield torch.from_numpy(index)


def fit(
    weights: Sequence[Tensor],
    loss: Callable[[], Tensor],
    validation: Callable[[], Tensor] | None = None,
    *,
    steps: int,
    learning_rate: float = LEARNING_RATE,
    schedule: Schedule = lambda adam: MultiStepLR(adam, HALVED_AT, gamma=0.5),
    progress: Progress = silent,
) -> None:
    """Train ``weights`` in place with Adam, for at most ``steps`` steps.

    ``loss`` draws a batch and returns its loss, or the losses (G,) of G independent probes; entry g
    of every weight then belongs to probe g. By default the learning rate is 1e-3, halved at steps
    2,000 and 4,000.

    ``validation`` returns the losses (G,) on val and is called every 250 steps. Each probe keeps
    its best weights, and stops when it has not improved for 1,000 steps. Without ``validation``
    the last weights stay.
    """
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)
    scheduler = schedule(optimizer)
    kept = [weight.detach().clone() for weight in weights]
    probes = len(kept[0])
    best, best_step = torch.full((probes,), torch.inf), torch.zeros(probes, dtype=torch.int64)
    running = torch.ones(probes, dtype=torch.bool)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        if step % CHECK_EVERY and step != steps:
            continue
        progress(step, steps)
        if validation is not None:
            with torch.no_grad():
                current = validation()
            better = running & (current < best)
            best, best_step = torch.where(better, current, best), best_step.where(~better, step)
            for weight, copy in zip(weights, kept, strict=True):
                copy[better] = weight.detach()[better]
            running &= step - best_step < PATIENCE
            if not running.any():
                break
    if validation is not None:
        with torch.no_grad():
            for weight, copy in zip(weights, kept, strict=True):
                weight.copy_(copy)
    progress(steps, steps)


class Standardised(nn.Module):
    """Slots (..., D) minus the training slots' mean, divided by their standard deviation."""

    mean: Tensor
    scale: Tensor

    def __init__(self, slots: Tensor) -> None:
        """``slots`` float (n, K, D) are the training slots."""
        super().__init__()
        rows = slots.flatten(0, 1).double()
        deviation = rows.std(dim=0, correction=0)
        self.register_buffer("mean", rows.mean(dim=0).float())
        # A dimension that does not vary is only centred.
        self.register_buffer("scale", torch.where(deviation > 1e-6, deviation, 1.0).float())

    def forward(self, slots: Tensor) -> Tensor:
        return (slots - self.mean) / self.scale
