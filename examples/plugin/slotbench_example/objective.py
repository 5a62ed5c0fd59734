"""Alignment and uniformity on the sphere."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import projector
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import TwoViews


@dataclass(frozen=True)
class AlignmentUniformityConfig:
    """Options of the objective ``alignment-uniformity``."""

    weight: float = 1.0
    """Weight of uniformity beside alignment."""


class AlignmentUniformity(TwoViews):
    """E|x - y|^2 + w log E exp(-2|x - x'|^2) (Wang and Isola 2020, arXiv 2005.10242)."""

    Config = AlignmentUniformityConfig

    def __init__(self, core: Core, config: AlignmentUniformityConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        self.config = config
        self.projector = projector(core.config.width, 128, 64)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        rows = functional.normalize(self.projector(self.rows(batch).vectors).float(), dim=2)
        near = (rows[0] - rows[1]).square().sum(dim=1).mean()
        spread = torch.stack([torch.pdist(view).square().mul(-2).exp().mean() for view in rows])
        uniform = spread.log().mean()
        return {"loss": near + self.config.weight * uniform, "near": near, "uniform": uniform}
