"""Checkpoints: plain tensors and numbers, from which a run goes on bit-identically.

They hold weights, optimiser and step number. Images, views and noise of a step are functions of
(seed, step).
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slotbench.config.run_config import RunConfig
from slotbench.errors import UserError
from slotbench.fields import LARGEST
from slotbench.files import read_bytes, write_whole
from slotbench.training.build import fill

MOST_BYTES = 64 * 2**30


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns every error of torch on a damaged checkpoint into :class:`UserError`."""
    try:
        yield
    except (OSError, MemoryError, UserError):
        raise
    except Exception as error:
        raise UserError(
            f"{path} is not a checkpoint of slotbench, or is damaged.",
            f"Remove it to train from the start: rm {path}",
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """A run after ``step`` steps and ``seconds`` of training."""

    run_id: str
    step: int
    seconds: float
    objective: dict[str, Tensor]
    optimizer: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        # Through memory: torch's own writer turns a full disk into an internal error.
        buffer = io.BytesIO()
        torch.save({**vars(self), "layout": _layout(self.optimizer)}, buffer)
        write_whole(path, buffer.getvalue())

    def restore(self, path: Path, objective: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put weights and state in place; :class:`UserError` where they do not fit."""
        with _reading(path):
            fill(objective, self.objective)
            kept = [{**group, "params": ()} for group in optimizer.param_groups]
            mine, stored = (
                [group["params"] for group in state["param_groups"]]
                for state in (optimizer.state_dict(), self.optimizer)
            )
            if mine != stored:
                raise ValueError("the optimiser's groups are not of these weights")
            optimizer.load_state_dict(self.optimizer)
            for group, own in zip(optimizer.param_groups, kept, strict=True):
                group |= {**own, "params": group["params"]}
            for weights, state in optimizer.state.items():
                shapes = {"exp_avg": weights.shape, "exp_avg_sq": weights.shape, "step": ()}
                if any(state[name].shape != shape for name, shape in shapes.items()):
                    raise ValueError("the optimiser's state is not of these weights")


def _layout(optimizer: dict[str, Any]) -> list[Any]:
    """The weights of an optimiser's groups, and the names of what it holds for each weight.

    It holds nothing for weights without a gradient, so only this list shows what is missing.
    """
    groups = [list(group["params"]) for group in optimizer["param_groups"]]
    return [groups, {weights: sorted(held) for weights, held in optimizer["state"].items()}]


def load(path: Path, config: RunConfig) -> Checkpoint:
    """Read a run's checkpoint; :class:`UserError` where it is damaged or another run's."""
    with _reading(path):
        data = read_bytes(path, MOST_BYTES)
        # torch reads the members of the archive without comparing their checksums.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is not None:
                raise ValueError("a checksum differs")
        stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        layout = stored.pop("layout", None)  # an older slotbench stored none
        checkpoint = Checkpoint(**stored)
        if layout is not None and layout != _layout(checkpoint.optimizer):
            raise ValueError("the optimiser's state lacks a part")
        if type(checkpoint.step) is not int or not 0 <= checkpoint.step <= config.train.steps:
            raise TypeError("step is no number of steps")
        if not isinstance(checkpoint.seconds, float) or not 0 <= checkpoint.seconds <= LARGEST:
            raise TypeError("seconds are no time")
    if checkpoint.run_id != config.id:
        raise UserError(
            f"{path} belongs to another configuration: it is of run {checkpoint.run_id}, "
            f"and config.json gives {config.id}.",
            "Put back the file that belongs here, or train anew.",
        )
    return checkpoint
