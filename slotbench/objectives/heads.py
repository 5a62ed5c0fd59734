"""Heads that objectives share: projectors, predictors, prototypes."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.objectives.precision import full_precision

Norm = Literal["none", "batch", "layer"]


def mlp(widths: tuple[int, ...], norm: Norm = "none", last_norm: bool = False) -> nn.Sequential:
    """Linear layers from ``widths[0]`` to ``widths[-1]``, each but the last with norm and ReLU.

    ``last_norm``: batch normalisation without an affine map behind the last layer. Takes float
    (M, widths[0]); without a norm over the batch, any leading dimensions.
    """
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        last = number == len(widths) - 2
        # A bias before a norm over the batch is taken away again.
        bare = norm == "batch" and (not last or last_norm)
        layers.append(nn.Linear(before, after, bias=not bare))
        if not last:
            if norm != "none":
                layers.append(nn.BatchNorm1d(after) if norm == "batch" else nn.LayerNorm(after))
            layers.append(nn.ReLU())
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """A two-layer MLP on the last dimension, as SimCLR has it (Chen et al. 2020, Section 2.1)."""
    return mlp((width, hidden, out))


def view_by_view(head: nn.Module, vectors: Tensor) -> Tensor:
    """A head on each of V views by itself, (V, M, D) -> (V, M, D').

    So batch statistics are those of one view, as in the papers.
    """
    return torch.stack([head(view) for view in vectors])


class Prototypes(nn.Module):
    """Cosine similarity with P learned unit vectors: float (..., D) -> (..., P).

    The rows are normalised where they are used, so that no step has to put them back on the
    sphere (Caron et al. 2020, arXiv 2006.09882, does so after each).
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(count, width), dim=1))

    @full_precision
    def forward(self, vectors: Tensor) -> Tensor:
        vectors = functional.normalize(vectors, dim=-1)
        return vectors @ functional.normalize(self.weight, dim=1).mT


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes of M rows that use P prototypes equally: float (M, P) -> (M, P), rows sum to 1.

    Entropic optimal transport by alternate normalisation (Cuturi 2013), as SwAV has it (Caron
    et al. 2020, arXiv 2006.09882, Listing 1), on logarithms, so that no epsilon is too small.
    """
    log_plan = scores / epsilon
    for _ in range(iterations):
        log_plan = log_plan.log_softmax(dim=0).log_softmax(dim=1)
    return log_plan.exp()
