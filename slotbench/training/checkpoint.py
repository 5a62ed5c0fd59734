"""Checkpoints: plain tensors and numbers, from which a run goes on bit-identically.

Nothing random has state: the data, the views and the slots' noise of a step are functions of
(seed, step). So weights, optimiser and the step number are all that there is to keep.
"""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slotbench.errors import UserError
from slotbench.files import write_whole


@dataclass(frozen=True)
class Checkpoint:
    """A run after ``step`` steps and ``seconds`` of training."""

    run_id: str
    step: int
    seconds: float
    objective: dict[str, Tensor]
    optimizer: dict[str, Any]

    def save(self, path: Path) -> None:
        # By way of memory: torch's own writer turns a full disk into an internal error.
        buffer = io.BytesIO()
        torch.save(vars(self), buffer)
        write_whole(path, buffer.getvalue())


def load(path: Path, run_id: str) -> Checkpoint:
    """Read a checkpoint; :class:`UserError` where it is damaged or another configuration's."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**stored)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a checkpoint of slotbench, or is damaged.",
            f"Remove it to train from the start: rm {path}",
        ) from error
    if checkpoint.run_id != run_id:
        raise UserError(
            f"{path} belongs to another configuration: it is of run {checkpoint.run_id}, "
            f"and config.json gives {run_id}.",
            "Put back the file that belongs here, or train anew.",
        )
    return checkpoint
