"""An objective: alignment and uniformity on the sphere (Wang and Isola 2020, 2005.10242)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.fields import NotNegative, Options
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import projector
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import TwoViews
from slotbench.registry import register


@dataclass(frozen=True)
class AlignmentUniformityConfig(Options):
    weight: NotNegative = 1.0
    """Weight of uniformity beside alignment."""


@register("objectives")
class AlignmentUniformity(TwoViews):
    name, family = "alignment-uniformity", "self-supervised"
    summary = "pairs close together, all vectors spread out"
    source = "Wang and Isola 2020, arXiv 2005.10242"
    Config = AlignmentUniformityConfig

    def __init__(self, core: Core, config: AlignmentUniformityConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        self.config, self.projector = config, projector(core.config.width, 128, 64)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        rows = functional.normalize(self.projector(self.rows(batch).vectors).float(), dim=2)
        near = (rows[0] - rows[1]).square().sum(dim=1).mean()
        spread = torch.stack([torch.pdist(view).square().mul(-2).exp().mean() for view in rows])
        uniform = spread.log().mean()
        return {"loss": near + self.config.weight * uniform, "near": near, "uniform": uniform}
