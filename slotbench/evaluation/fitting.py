"""How every probe is trained: one schedule, early stopping, the weights of the best check.

Adam at 1e-3, halved at steps 2,000 and 4,000, on 64 images a step. The validation loss is taken
every 250 steps; training ends when it has not improved for 1,000, or on the last step.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

BATCH, LEARNING_RATE, HALVED_AT = 64, 1e-3, (2000, 4000)
CHECK_EVERY, PATIENCE = 250, 1000
Progress = Callable[[int, int], None]


def fit(
    probe: nn.Module,
    n: int,
    loss: Callable[[Tensor], Tensor],
    validation: Callable[[], Tensor],
    *,
    steps: int,
    generator: np.random.Generator,
    progress: Progress | None = None,
) -> None:
    """Trains ``probe`` in place and leaves it with the weights of the best validation loss.

    ``loss`` takes the indices, int64 (at most 64,), of images among ``n``; their order is drawn
    from ``generator``, an epoch at a time.
    """
    optimizer = torch.optim.Adam(probe.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, HALVED_AT, gamma=0.5)
    best, best_step, kept = float("inf"), 0, _weights_of(probe)
    queue = np.empty(0, np.int64)
    for step in range(1, steps + 1):
        if len(queue) < min(BATCH, n):
            queue = generator.permutation(n)
        index, queue = torch.from_numpy(queue[:BATCH]), queue[BATCH:]
        optimizer.zero_grad()
        loss(index).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY and step != steps:
            continue
        with torch.no_grad():
            current = float(validation())
        if current < best:
            best, best_step, kept = current, step, _weights_of(probe)
        if progress is not None:
            progress(step, steps)
        if step - best_step >= PATIENCE:
            break
    probe.load_state_dict(kept)
    if progress is not None:
        progress(steps, steps)


def _weights_of(probe: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in probe.state_dict().items()}
