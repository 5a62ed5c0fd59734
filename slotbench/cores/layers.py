"""Pieces that encoders, decoders, cores and objectives share."""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

Norm = Literal["none", "batch", "layer"]


def cell_centres(height: int, width: int) -> Tensor:
    """float32 (height * width, 2): y and x of the middle of each cell, from -1 to 1."""
    y, x = ((torch.arange(side) + 0.5) * (2 / side) - 1 for side in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=2).flatten(0, 1)


def fourier_grid(side: int, frequencies: tuple[float, ...]) -> Tensor:
    """float32 (side * side, 4 * frequencies): sine and cosine of pi f y and of pi f x."""
    angles = math.pi * cell_centres(side, side)[..., None] * torch.tensor(frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)


class PositionEmbedding(nn.Module):
    """Adds a learned linear map of y, x, 1 - y and 1 - x, each in [0, 1], to a feature map.

    Locatello et al. 2020, Appendix E.2.
    """

    grid: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, channels)
        line = torch.linspace(0, 1, side)
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("grid", torch.stack([y, x, 1 - y, 1 - x], dim=2), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """float (B, C, side, side) -> the same shape."""
        embedded: Tensor = self.linear(self.grid)
        return features + embedded.permute(2, 0, 1)


def content_width(encoder: nn.Module) -> int:
    """Channels of an encoder's features before its ``coordinates``, which hold only the position.

    An encoder without that attribute has none.
    """
    return int(encoder.width) - int(getattr(encoder, "coordinates", 0))  # type: ignore[arg-type]


def content(features: Tensor, encoder: nn.Module) -> Tensor:
    """Features float (B, N, F) without the coordinates."""
    return features[..., : content_width(encoder)]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def mlp(widths: tuple[int, ...], norm: Norm = "none", last_norm: bool = False) -> nn.Sequential:
    """Linear layers from ``widths[0]`` to ``widths[-1]``, each but the last with norm and ReLU.

    ``last_norm``: batch normalisation without an affine map follows the last layer. Takes float
    (M, widths[0]); without a norm over the batch, any leading dimensions.
    """
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        last = number == len(widths) - 2
        # A norm over the batch would subtract the bias again.
        bare = norm == "batch" and (not last or last_norm)
        layers.append(nn.Linear(before, after, bias=not bare))
        if not last:
            if norm != "none":
                layers.append(nn.BatchNorm1d(after) if norm == "batch" else nn.LayerNorm(after))
            layers.append(nn.ReLU())
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)


def he_initialise(module: nn.Module) -> None:
    """Initialise every layer as He et al. 2015 do, with zero biases.

    PyTorch's default is smaller: the signal shrinks from layer to layer, and the coordinates
    drown it.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def sinkhorn(
    scores: Tensor,
    iterations: int,
    rows: Tensor | float = 0.0,
    columns: Tensor | float = 0.0,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The transport plan of float ``scores`` (..., R, C), with entropy weight 1 (Cuturi 2013).

    ``rows`` (..., R) and ``columns`` (..., C) are the logarithms of masses with equal sums; 0: a
    mass of 1 each. Each iteration rescales the rows, then the columns, so the columns are exact
    and the rows approximate. ``start`` (..., C) is the column potential to start from.

    Returns the logarithm of the plan (..., R, C) and the last column potential (..., C).
    """
    potential = torch.zeros_like(scores[..., 0, :]) if start is None else start
    for _ in range(iterations):
        of_rows = rows - (potential[..., None, :] + scores).logsumexp(dim=-1)
        potential = columns - (of_rows[..., None] + scores).logsumexp(dim=-2)
    return of_rows[..., None] + potential[..., None, :] + scores, potential


class _Penalty(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, penalty: Tensor) -> Tensor:
        ctx.dtype = penalty.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, torch.ones((), dtype=ctx.dtype, device=gradient.device)


def with_penalty(values: Tensor, penalty: Tensor) -> Tensor:
    """``values``, whose backward pass also adds the gradient of the scalar ``penalty``.

    It gives a core a loss of its own under any objective. The printed loss does not include it.
    """
    result: Tensor = _Penalty.apply(values, penalty)
    return result
