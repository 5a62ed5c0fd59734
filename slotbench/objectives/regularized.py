"""Reconstruction with a penalty on slots that say the same.

Stange et al. 2023, *Exploring the Role of the Bottleneck in Slot-Based Models Through Covariance
Regularization*, arXiv 2306.02577, and the code of that paper.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.decoders.spatial import ImageDecoder
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import mlp
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.precision import full_precision
from slotbench.objectives.reconstruction import Reconstruction, ReconstructionConfig
from slotbench.objectives.redundancy import off_diagonal_covariance, variance_hinge
from slotbench.registry import register


@dataclass(frozen=True)
class CovarianceConfig(ReconstructionConfig):
    """Options of the objective ``covariance``."""

    weight: float = 1.0
    """Weight of the covariance penalty."""
    variance: float = 0.0
    """Weight of the hinge that keeps each dimension's standard deviation at 1; 0: none."""
    hidden: int = 1024
    """Width of every layer of the projector."""


@register("objectives")
class Covariance(Reconstruction):
    """Reconstruction + squared off-diagonal covariance of projected slots over D^2 (Equation 3).

    The covariance is taken over all slots of the batch, behind a projector of three layers with
    LayerNorm.
    """

    name = "covariance"
    summary = "reconstruction, and a penalty on the slots' covariance"
    source = "Stange et al. 2023, arXiv 2306.02577"
    family = "reconstruction"

    Config = CovarianceConfig
    config: CovarianceConfig

    def __init__(self, core: Core, config: CovarianceConfig, decoder: ImageDecoder) -> None:
        super().__init__(core, config, decoder)
        width = config.hidden
        self.projector = mlp((core.config.width, width, width, width), "layer")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output = self.core(batch.images, batch.noise(self.core))
        reconstruction = self.error(output, batch)
        rows = self.projector(gather(output.slots).flatten(0, 1)).float()
        covariance = off_diagonal_covariance(rows) / rows.shape[1]
        loss = reconstruction + self.config.weight * covariance
        if self.config.variance:
            loss = loss + self.config.variance * variance_hinge(rows)
        parts = {"reconstruction": reconstruction, "covariance": covariance}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}


@dataclass(frozen=True)
class CosineConfig(ReconstructionConfig):
    """Options of the objective ``cosine``."""

    weight: float = 0.01
    """Weight of the penalty."""
    margin: float = 0.2
    """Cosine similarity of two slots above which they are pushed apart."""


@register("objectives")
class Cosine(Reconstruction):
    """Reconstruction + cosine embedding loss over all pairs of slots of an image.

    A slot with itself is the pair that shall agree (loss 0); any two are to stay under the margin.
    The mean is over all K^2 ordered pairs, as torch's CosineEmbeddingLoss takes it.
    """

    name = "cosine"
    summary = "reconstruction, and a penalty on slots that point the same way"
    source = "code of Stange et al. 2023, arXiv 2306.02577"
    family = "reconstruction"

    Config = CosineConfig
    config: CosineConfig
    ranges: ClassVar = {"margin": (-1, 1)}

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output = self.core(batch.images, batch.noise(self.core))
        reconstruction = self.error(output, batch)
        penalty = pairwise_cosine(output.slots, self.config.margin)
        loss = reconstruction + self.config.weight * penalty
        return {"loss": loss, "reconstruction": reconstruction.detach(), "cosine": penalty.detach()}


@full_precision
def pairwise_cosine(slots: Tensor, margin: float) -> Tensor:
    """Mean over all ordered pairs of an image's slots, float (B, K, D), of the embedding loss."""
    unit = functional.normalize(slots, dim=2)
    similarity = unit @ unit.mT
    own = torch.eye(slots.shape[1], device=slots.device)
    return (own * (1 - similarity) + (1 - own) * (similarity - margin).relu()).mean()
