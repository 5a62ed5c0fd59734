"""Contrast of two views of an image with those of other images."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.base import Core
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.base import Objective, TrainBatch
from slotbench.objectives.heads import projector


@dataclass(frozen=True)
class SimCLRConfig:
    """Options of the objective ``simclr``."""

    temperature: float | None = None
    """Divides the cosine similarities; none: 0.5 where images are paired, 0.2 where slots are."""
    hidden: int = 128
    """Hidden width of the projector."""
    projection: int = 64
    """Width of the vectors that are compared."""
    same_image_negatives: bool = True
    """Whether the other slots of an image count as negatives; they may hold the same thing."""


class SimCLR(Objective):
    """NT-Xent on paired vectors (Chen et al. 2020, arXiv 2002.05709, Equation 1)."""

    Config = SimCLRConfig
    views = 2
    takes_alignment = True

    def __init__(self, core: Core, config: SimCLRConfig, alignment: Alignment) -> None:
        super().__init__(core)
        self.config, self.alignment = config, alignment
        self.projector = projector(core.config.width, config.hidden, config.projection)
        given = config.temperature
        self.temperature = alignment.temperature if given is None else given
        if self.temperature <= 0:
            raise ValueError(f"objective.temperature={given}: expected a number above 0")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        views = batch.views
        assert views is not None  # the loop makes as many views as the objective asks for
        count, images = views.images.shape[:2]
        noise = self.alignment.noise(self.core, images, count, batch.generator("slots"))
        paired = self.alignment.pair(self.core(views.images.flatten(0, 1), noise), views)
        first, second = self.projector(paired.vectors)
        image = None if self.config.same_image_negatives else paired.image
        loss = nt_xent(first, second, self.temperature, image)
        with torch.no_grad():
            similarity = functional.cosine_similarity(first, second).mean()
        return {"loss": loss, "positive_similarity": similarity}


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, image: Tensor | None = None
) -> Tensor:
    """The normalised, temperature-scaled cross-entropy; a scalar.

    ``first`` and ``second`` are float (M, D), row m of each being a positive pair. All 2M rows
    are anchors, each against the 2M - 1 others. Where ``image`` int64 (M,) is given, rows of
    the anchor's own image are no negatives.
    """
    rows = functional.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = rows @ rows.T / temperature
    pairs = len(first)
    positive = (torch.arange(2 * pairs, device=rows.device) + pairs) % (2 * pairs)
    excluded = torch.eye(2 * pairs, dtype=torch.bool, device=rows.device)
    if image is not None:
        twice = image.repeat(2)
        excluded = twice[:, None] == twice
        excluded[torch.arange(2 * pairs, device=rows.device), positive] = False
    return functional.cross_entropy(similarity.masked_fill(excluded, -torch.inf), positive)
