"""Several processes that train one run: what each must know of the others.

A loss that couples samples must see those of every process. So paired vectors are gathered
once, before any head, queue or loss; all that follows is computed alike in every process, and
the mean of the processes' gradients, as DistributedDataParallel takes it, is the gradient of
one process with the whole batch.
"""

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def rank_and_world() -> tuple[int, int]:
    """This process's number, from 0, and how many there are; (0, 1) outside ``torchrun``."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(values: Tensor, dim: int = 0) -> Tensor:
    """The values of all processes, of equal shapes, one after the other along ``dim``.

    Differentiable: the gradients that all processes give to this one's values are summed.
    """
    if rank_and_world()[1] == 1:
        return values
    pieces = all_gather(values.contiguous())  # type: ignore[no-untyped-call]
    return torch.cat(list(pieces), dim=dim)
