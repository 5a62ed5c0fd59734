"""Redundancy reduction: the dimensions of the vectors must differ from each other."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import mlp
from slotbench.fields import Count, NotNegative, Options, Space, Span
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import (
    full_precision,
    off_diagonal_covariance,
    variance_hinge,
    view_by_view,
)
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import TwoViews
from slotbench.registry import register


@dataclass(frozen=True)
class VICRegConfig(Options):
    space: ClassVar[Space] = {"covariance": Span(0.1, 10.0, log=True)}
    invariance: NotNegative = 25.0
    """Weight of the squared distance between the views."""
    variance: NotNegative = 25.0
    """Weight of the hinge that keeps each dimension's standard deviation at 1 or above."""
    covariance: NotNegative = 1.0
    """Weight of the squared covariance between dimensions."""
    hidden: Count = 256
    """Width of every layer of the expander; 8,192 in the paper."""


@register("objectives")
class VICReg(TwoViews):
    """Variance, invariance, covariance (Bardes et al. 2021, arXiv 2105.04906, Equation 6)."""

    name = "vicreg"
    summary = "variance, invariance and covariance of the views"
    source = "Bardes et al. 2021, arXiv 2105.04906"
    Config = VICRegConfig
    compares_images = True

    def __init__(self, core: Core, config: VICRegConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        width = config.hidden
        self.expander = mlp((core.config.width, width, width, width), "batch")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        first, second = view_by_view(self.expander, self.rows(batch).vectors).float()
        invariance = functional.mse_loss(first, second)
        variance = (variance_hinge(first) + variance_hinge(second)) / 2
        covariance = off_diagonal_covariance(first) + off_diagonal_covariance(second)
        weights = self.config
        loss = (
            weights.invariance * invariance
            + weights.variance * variance
            + weights.covariance * covariance
        )
        parts = {"invariance": invariance, "variance": variance, "covariance": covariance}
        return {"loss": loss, **parts}


@dataclass(frozen=True)
class BarlowTwinsConfig(Options):
    space: ClassVar[Space] = {"redundancy": Span(5e-4, 5e-2, log=True)}
    redundancy: NotNegative = 5e-3
    """Weight lambda of the correlations between dimensions."""
    hidden: Count = 256
    """Width of every layer of the projector; 8,192 in the paper."""


@register("objectives")
class BarlowTwins(TwoViews):
    """The views' cross-correlation becomes the identity (Zbontar et al. 2021, arXiv 2103.03230)."""

    name = "barlow-twins"
    summary = "the views' cross-correlation becomes the identity"
    source = "Zbontar et al. 2021, arXiv 2103.03230"
    Config = BarlowTwinsConfig
    compares_images = True

    def __init__(self, core: Core, config: BarlowTwinsConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        width = config.hidden
        self.projector = mlp((core.config.width, width, width, width), "batch")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        first, second = view_by_view(self.projector, self.rows(batch).vectors).float()
        correlation = cross_correlation(first, second)
        on = (correlation.diagonal() - 1).square().sum()
        off = correlation.square().sum() - correlation.diagonal().square().sum()
        return {"loss": on + self.config.redundancy * off, "on_diagonal": on}


@full_precision
def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation of each dimension of one with each of the other: float (M, D) -> (D, D)."""
    standard = [
        (rows - rows.mean(dim=0)) * (rows.var(dim=0, correction=0) + 1e-5).rsqrt()
        for rows in (first, second)
    ]
    return standard[0].T @ standard[1] / len(first)
