"""Slots predict a teacher's features of another view, place by place, by regression."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from slotbench.cores.core import Core
from slotbench.cores.layers import content
from slotbench.cores.teachers import Teachers
from slotbench.datasets.format.views import to_original
from slotbench.fields import NotNegative, Share
from slotbench.objectives.dense import DenseConfig, DensePrediction
from slotbench.objectives.dense_targets import TeacherTarget
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import full_precision, off_diagonal_covariance, variance_hinge
from slotbench.objectives.objective import TrainBatch
from slotbench.registry import register

LEAST_DEVIATION = 1e-5
"""Channels of the teacher that vary less than this stay near 0."""


@dataclass(frozen=True)
class SlotJEPAConfig(DenseConfig):
    target: Literal["start", "momentum"] = "start"
    """Whose features are predicted: ``start``, the encoder's as initialised, which cannot collapse;
    ``momentum``, those of a copy that follows it, with VICReg's terms. A ``teacher`` replaces
    both."""
    momentum: Share = 0.996
    """The share of the copy that stays at the first step; it rises to 1."""
    variance: NotNegative = 1.0
    """With ``momentum``: weight of the hinge that keeps each channel's deviation at 1."""
    covariance: NotNegative = 0.04
    """With ``momentum``: weight of the squared covariance between channels."""


@register("objectives")
class SlotJEPA(DensePrediction):
    """Squared error of a teacher's content features, standardised over the batch.

    After Assran et al. 2023, arXiv 2301.08243, which predicts features of unseen regions from seen
    ones. The variance and covariance terms are VICReg's (arXiv 2105.04906).
    """

    name = "slot-jepa"
    summary = "slots of a view predict a teacher's features of the other, place by place"
    source = "slotbench, docs/objectives.md; Assran et al. 2023, arXiv 2301.08243"
    version = 2

    Config = SlotJEPAConfig
    takes_teachers = True

    def __init__(self, core: Core, config: SlotJEPAConfig, teachers: Teachers) -> None:
        target = TeacherTarget(core, config, teachers, normed=False)
        super().__init__(core, config, target.width)
        self.target = target

    @property
    def moves(self) -> bool:
        """Whether the targets follow the encoder, and could collapse with it."""
        return self.config.target == "momentum" and self.target.copy is not None

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        seen = self.see(batch)
        made = self.target(seen.images, self.core.encoder)
        target = standardised(self.by_direction(made))
        moved, shown = to_original(seen.predicted.float(), seen.matrices, made.shape[2:])
        error = place_error(
            self.by_direction(moved), target, self.by_direction(shown.to(moved.dtype))
        )
        if not self.moves:
            return self.priced(seen, batch, {"loss": error})
        rows = gather(content(seen.output.features, self.core.encoder).float()).flatten(0, 1)
        variance, covariance = variance_hinge(rows), off_diagonal_covariance(rows)
        loss = error + self.config.variance * variance + self.config.covariance * covariance
        parts = {"error": error, "variance": variance, "covariance": covariance}
        return self.priced(seen, batch, {"loss": loss, **parts})

    def after_step(self, step: int) -> None:
        if self.moves:
            self.target.follow(self.core.encoder, self.momentum(step))


@torch.no_grad()
@full_precision
def standardised(features: Tensor) -> Tensor:
    """float (E, B, C, h, w) with mean 0 and deviation 1 of each channel over all the rest."""
    deviation, mean = torch.std_mean(features, dim=(0, 1, 3, 4), correction=0, keepdim=True)
    return (features - mean) / deviation.clamp_min(LEAST_DEVIATION)


def place_error(predicted: Tensor, target: Tensor, shown: Tensor) -> Tensor:
    """Squared error, the mean over channels and over the places that are shown.

    ``predicted`` and ``target`` float (E, B, C, h, w), ``shown`` float (E, B, h, w), 0 or 1.
    """
    errors = (predicted - target).square().mean(dim=2)
    return (errors * shown).sum() / shown.sum().clamp_min(1)


@register("objectives")
class SlotJEPANext(SlotJEPA):
    """The same on video: the slots of a frame predict features of the next."""

    name = "slot-jepa-next"
    summary = "video: slots predict a teacher's features of the next frame, place by place"
    source = "slotbench, docs/objectives.md; Assran et al. 2023, arXiv 2301.08243"

    temporal = True
    directions = ((0, 1),)
