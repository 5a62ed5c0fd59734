"""Slot health: cheap numbers that explain a score, version 1.

K slots of width D an image. A score over pairs of slots or over the choice among slots means
nothing for one slot: those images are left out (NaN).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.evaluation.segmentation import adjusted_rand, joint_counts

VERSION = 1


def empty_slots(labels: Tensor, slots: int) -> Tensor:
    """Share of slots that win no pixel, float64 (B,) in [0, 1).

    ``labels`` int64 (B, H, W) in [0, slots).
    """
    won = torch.zeros(len(labels), slots, dtype=torch.bool, device=labels.device)
    won.scatter_(1, labels.flatten(1), True)
    return 1 - won.double().mean(dim=1)


def slot_cosine(slots: Tensor) -> Tensor:
    """Mean cosine similarity over the pairs of different slots, float64 (B,) in [-1, 1].

    ``slots`` float (B, K, D).
    """
    count = slots.shape[1]
    if count < 2:
        return torch.full((len(slots),), torch.nan, dtype=torch.float64, device=slots.device)
    unit = functional.normalize(slots.double(), dim=2)
    # The sum over all pairs is the squared norm of the sum; each slot with itself is taken off.
    everything = unit.sum(dim=1).square().sum(dim=1)
    own = unit.square().sum(dim=(1, 2))
    return (everything - own) / (count * (count - 1))


def effective_rank(slots: Tensor) -> float:
    """Effective rank of the covariance of all slots of a dataset, in [1, D]; 0 if all are equal.

    ``slots`` float (n, K, D). The exponential of the entropy of the covariance's normalised
    eigenvalues (Roy and Vetterli 2007, Definition 1).
    """
    rows = slots.flatten(0, 1).double()
    centred = rows - rows.mean(dim=0)
    covariance = centred.T @ centred / max(1, len(rows))
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
    # Rounding leaves a trace of its own where all slots are equal.
    if float(eigenvalues.sum()) <= 1e-12 * float(rows.square().sum()) / max(1, len(rows)):
        return 0.0
    shares = eigenvalues / eigenvalues.sum()
    return math.exp(float(torch.special.entr(shares).sum()))


def attention_entropy(attention: Tensor) -> Tensor:
    """Mean entropy of a position's attention over slots, divided by log K: float64 (B,), [0, 1].

    ``attention`` float (B, K, H', W'), summing to 1 over K at each position.
    """
    slots = attention.shape[1]
    if slots < 2:
        return torch.full(
            (len(attention),), torch.nan, dtype=torch.float64, device=attention.device
        )
    entropy: Tensor = torch.special.entr(attention).sum(dim=1)
    return entropy.double().mean(dim=(1, 2)) / math.log(slots)


def consistency(first: Tensor, second: Tensor, slots: int) -> Tensor:
    """Adjusted Rand index of two label maps of the same images, float64 (B,).

    ``first`` and ``second`` are int64 (B, H, W) in [0, slots): what the core finds from two
    draws of its initial noise. All pixels count.
    """
    return adjusted_rand(joint_counts(first, second, slots, slots))
