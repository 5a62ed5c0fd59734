"""One run in several processes: each takes its rows of every batch, and all take the same steps.

Images, views and noise are drawn for the whole batch. So the gradient equals that of one process,
up to rounding, and saved files do not depend on the number of processes.
"""

import copy
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, distributed, nn

from slotbench.errors import UserError
from slotbench.objectives.gather import alone, rank_and_world
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.training.flops import SIZES, take

PATIENCE = timedelta(minutes=30)
"""How long the others wait while rank 0 computes the loss on val."""
NO_BUFFERS = ("forward_sync_buffers", "broadcast_buffers")
"""The option of DistributedDataParallel that sends buffers, in newer and older torch."""
Loss = Callable[[TrainBatch], dict[str, Tensor]]


LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
"""Variables of torchrun and Ray Train, and of srun: rank, processes, rank on this machine."""


def launched() -> tuple[int, int, int] | None:
    """Rank, processes, and rank on this machine; None unless a launcher started several processes.

    They meet at MASTER_ADDR and MASTER_PORT, which the user of srun sets; without these, each
    process is alone.
    """
    if not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return None
    for names in LAUNCHERS:
        if names[0] in os.environ and os.environ.get(names[1], "1") != "1":
            try:
                rank, world, local = (int(os.environ.get(name, "0")) for name in names)
            except ValueError as error:
                raise UserError(f"{', '.join(names)} are no whole numbers: {error}.") from error
            if not 0 <= rank < world:
                raise UserError(f"{names[0]} {rank}: expected 0 to {world - 1}, below {names[1]}.")
            return rank, world, local
    return None


def first_rank() -> bool:
    """Whether this process is rank 0, or alone: it prints and writes for all."""
    return (launched() or (0,))[0] == 0


@contextmanager
def meeting(device: torch.device) -> Iterator[None]:
    """Join the processes that the launcher has started: NCCL between GPUs, Gloo between CPUs.

    Ray Train has joined them already.

    Gloo's threads end with the meeting: one that lets go of a tensor while Python shuts down aborts
    the process.
    """
    if distributed.is_initialized():
        yield
        return
    if os.environ.get("MASTER_ADDR") in ("localhost", "127.0.0.1"):
        # On one machine, use loopback: no name is looked up, and no other machine can connect.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    on_gpus = device.type == "cuda"
    if on_gpus:
        torch.cuda.set_device(device)
    # Its functions have the group of the moment as a default. Imported later, they would keep it.
    import_module("torch.distributed.nn")
    rank, world, _ = launched() or (0, 1, 0)
    kind = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    distributed.init_process_group(kind, timeout=PATIENCE, rank=rank, world_size=world)
    try:
        yield
    finally:
        distributed.destroy_process_group()
        gc.collect()


def gone(error: BaseException) -> bool:
    """Whether an error says that the connection to another process is lost."""
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, distributed.DistError) or "gloo" in text or "nccl" in text


def check_batch(batch_size: int, processes: int) -> None:
    """:class:`UserError` where a batch cannot be shared equally."""
    if batch_size % processes:
        more = -(-batch_size // processes) * processes
        raise UserError(
            f"{processes} processes cannot share train.batch_size={batch_size} equally.",
            f"Choose another number, or type: --set train.batch_size={more}",
        )


def own_rows(total: int) -> slice:
    """This process's rows of ``total``."""
    rank, world = rank_and_world()
    each = total // world
    return slice(rank * each, (rank + 1) * each)


class LossOf(nn.Module):
    """A module whose forward pass is the loss, for DistributedDataParallel."""

    def __init__(self, objective: Objective, loss: Loss) -> None:
        super().__init__()
        self.objective, self.loss = objective, loss

    def forward(self, batch: TrainBatch) -> dict[str, Tensor]:
        """The loss of this process's rows: scalars."""
        return self.loss(batch)


def shared(objective: Objective, loss: Loss, batch: TrainBatch) -> Loss:
    """The loss, with its gradient averaged over all processes.

    ``batch`` has at least two images. :class:`UserError` where core or decoder, which see this
    process's rows alone, compute statistics of the batch.
    """
    for name, module in objective.named_modules():
        if name.startswith(("core.", "decoder.")) and isinstance(
            module, nn.modules.batchnorm._BatchNorm
        ):
            raise UserError(
                f"--gpus: {name} is a batch normalisation, which would see a part of each batch.",
                "Use another normalisation, or one GPU.",
            )
    # Buffers change alike in every process: send none.
    wrap: Any = nn.parallel.DistributedDataParallel
    known = inspect.signature(wrap).parameters
    no_buffers = next(name for name in NO_BUFFERS if name in known)
    joined: Loss = wrap(
        LossOf(objective, loss),
        find_unused_parameters=_any_unused(objective, batch),
        **{no_buffers: False},
    )
    return joined


def _any_unused(objective: Objective, batch: TrainBatch) -> bool:
    """Whether some weight gets no gradient; searching for these at every step takes time."""
    twin = copy.deepcopy(objective)
    with alone():
        twin.loss(take(batch, SIZES[0]))["loss"].backward()  # type: ignore[no-untyped-call]
    return any(weight.requires_grad and weight.grad is None for weight in twin.parameters())


def mean(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scalars, averaged over the processes."""
    world = rank_and_world()[1]
    if world == 1:
        return dict(losses)
    values = torch.stack([value.float() for value in losses.values()])
    distributed.all_reduce(values)
    return dict(zip(losses, (values / world).unbind(), strict=True))


def agree(seconds: float, stop: bool) -> tuple[float, bool]:
    """The greatest time, and whether any process must stop, so that all stop at the same step."""
    if rank_and_world()[1] == 1:
        return seconds, stop
    told = torch.tensor([seconds, float(stop)], dtype=torch.float64)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return float(told[0]), bool(told[1])
