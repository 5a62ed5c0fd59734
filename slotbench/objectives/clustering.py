"""Clustering: what two views of a thing have in common is the cluster they fall into."""

from dataclasses import dataclass

import torch
from torch import Tensor

from slotbench.cores.core import Core
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.distillation import distillation
from slotbench.objectives.heads import Prototypes, projector, sinkhorn
from slotbench.objectives.objective import TrainBatch, check_fields
from slotbench.objectives.two_views import TwoViews
from slotbench.registry import register


@dataclass(frozen=True)
class SwAVConfig:
    """Options of the objective ``swav``."""

    prototypes: int = 128
    """Number of clusters; 3,000 in the paper."""
    temperature: float = 0.1
    """Divides the scores of the prediction."""
    epsilon: float = 0.05
    """Entropy of the codes: the larger, the softer."""
    iterations: int = 3
    """Rounds of Sinkhorn's normalisation."""
    hidden: int = 128
    """Hidden width of the projector."""
    projection: int = 64
    """Width of the vectors that are compared with the prototypes."""


@register("objectives")
class SwAV(TwoViews):
    """Each view predicts the other's balanced code (Caron et al. 2020, arXiv 2006.09882, Eq. 2)."""

    name = "swav"
    summary = "each view predicts the other's balanced cluster"
    source = "Caron et al. 2020, arXiv 2006.09882"
    family = "self-supervised"

    Config = SwAVConfig

    def __init__(self, core: Core, config: SwAVConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        check_fields(config)
        self.config = config
        self.projector = projector(core.config.width, config.hidden, config.projection)
        self.prototypes = Prototypes(config.projection, config.prototypes)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        config = self.config
        scores = self.prototypes(self.projector(self.rows(batch).vectors))
        codes = torch.stack(
            [sinkhorn(view, config.epsilon, config.iterations) for view in scores.detach()]
        )
        used = (codes.flatten(0, 1).mean(dim=0) > 0.1 / config.prototypes).float().mean()
        return {"loss": distillation(scores / config.temperature, codes), "clusters_used": used}
