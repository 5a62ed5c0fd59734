"""Heads that self-supervised objectives share."""

from torch import nn


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """A two-layer MLP on the last dimension, as SimCLR has it (Chen et al. 2020, Section 2.1)."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))
