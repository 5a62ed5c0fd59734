"""Gathering values over the processes that train one run.

A loss that couples samples must see the samples of every process. Paired vectors are gathered
once, before any head, queue or loss; every process then computes the same. The mean of the
processes' gradients, as DistributedDataParallel takes it, is the gradient of one process with the
whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

_alone = False


@contextmanager
def alone() -> Iterator[None]:
    """Let this process compute by itself, as if it were the only one."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def rank_and_world() -> tuple[int, int]:
    """This process's number, from 0, and the number of processes; (0, 1) outside ``torchrun``."""
    if not _alone and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(values: Tensor, dim: int = 0) -> Tensor:
    """The values of all processes, of equal shapes, one after the other along ``dim``.

    Differentiable: the gradients that all processes give to this one's values are summed.
    """
    if rank_and_world()[1] == 1:
        return values
    return torch.cat(_Gather.apply(values).unbind(0), dim=dim)


class _Gather(torch.autograd.Function):
    """(...) -> (processes, ...). torch's own differentiable collectives are deprecated."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        pieces = [
            torch.empty_like(values, memory_format=torch.contiguous_format)
            for _ in range(distributed.get_world_size())
        ]
        distributed.all_gather(pieces, values.contiguous())
        return torch.stack(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
