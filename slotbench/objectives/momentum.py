"""Momentum copies, and the schedules that are functions of the step."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

Copied = TypeVar("Copied", bound=nn.Module)


def momentum_copy(module: Copied) -> Copied:
    """A copy that no gradient reaches; :func:`move` draws it after its original."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Average the parameters, teacher = m * teacher + (1 - m) * student, and copy the buffers.

    He et al. 2020, arXiv 1911.05722, Equation 2.
    """
    for average, weights in zip(teacher.parameters(), student.parameters(), strict=True):
        average.lerp_(weights, 1.0 - momentum)
    for kept, new in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(new)


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """From ``start`` at step 0 to exactly ``end`` at the last, step ``steps - 1``, by a cosine.

    Grill et al. 2020, arXiv 2006.07733, Section 3.2.
    """
    if steps <= 1 or step >= steps - 1:
        return end
    return end - (end - start) * (math.cos(math.pi * step / (steps - 1)) + 1) / 2
