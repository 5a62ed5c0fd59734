"""How probes are trained on a frozen core: one loop for all of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

from slotbench.datasets.format.schema import Array
from slotbench.evaluation.result import Progress

BATCH, LEARNING_RATE, HALVED_AT = 64, 1e-3, (2000, 4000)
CHECK_EVERY, PATIENCE = 250, 1000
Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


def fit(
    probe: nn.Module,
    n: int,
    loss: Callable[[Tensor], Tensor],
    validation: Callable[[], Tensor] | None = None,
    *,
    steps: int,
    generator: np.random.Generator,
    batch: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    schedule: Schedule = lambda adam: MultiStepLR(adam, HALVED_AT, gamma=0.5),
    progress: Progress | None = None,
) -> None:
    """Train ``probe`` in place with Adam, at most ``steps`` steps of ``batch`` images.

    ``loss`` takes the indices, int64 (at most ``batch``,), of images among ``n``; their order is
    drawn from ``generator``, an epoch at a time. By default the learning rate is 1e-3, halved at
    steps 2,000 and 4,000.

    ``validation`` is taken every 250 steps; training ends when it has not improved for 1,000, and
    the probe keeps the weights of the best check. Without it the last weights stay.
    """
    optimizer = torch.optim.Adam(probe.parameters(), lr=learning_rate)
    scheduler = schedule(optimizer)
    best, best_step, kept = float("inf"), 0, _weights_of(probe)
    queue = np.empty(0, np.int64)
    for step in range(1, steps + 1):
        if len(queue) < min(batch, n):
            queue = generator.permutation(n)
        index, queue = torch.from_numpy(queue[:batch]), queue[batch:]
        optimizer.zero_grad()
        loss(index).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        if step % CHECK_EVERY and step != steps:
            continue
        if validation is not None:
            with torch.no_grad():
                current = float(validation())
            if current < best:
                best, best_step, kept = current, step, _weights_of(probe)
        if progress is not None:
            progress(step, steps)
        if validation is not None and step - best_step >= PATIENCE:
            break
    if validation is not None:
        probe.load_state_dict(kept)
    if progress is not None:
        progress(steps, steps)


class Standardised(nn.Module):
    """Slots (..., D) minus the training slots' mean, divided by their deviation."""

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


def layers(
    slots: Tensor, outputs: int, hidden: int, activation: Callable[[], nn.Module]
) -> nn.Module:
    """A probe of standardised slots, (..., D) -> (..., outputs): linear, or with a hidden layer.

    ``slots`` float (n, K, D) are the training slots; ``hidden`` is the width of the layer, or 0.
    """
    first, width = Standardised(slots), slots.shape[2]
    if hidden == 0:
        return nn.Sequential(first, nn.Linear(width, outputs))
    inner = nn.Linear(width, hidden)
    return nn.Sequential(first, inner, activation(), nn.Linear(hidden, outputs))


def finite_slots(slots: Array, name: str = "") -> Tensor:
    """Slots as float32 (n, K, D); ValueError where one is not finite."""
    tensor = torch.from_numpy(np.asarray(slots, np.float32))
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} slots hold NaN or infinite values".strip())
    return tensor


def _weights_of(probe: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in probe.state_dict().items()}
