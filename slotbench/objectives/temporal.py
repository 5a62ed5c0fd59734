"""Contrast in time: neighbouring frames of a video are the views.

All four encode frames t and t + 1 (``multi-dsprites-video``) separately. The alignment carries a
slot's identity from frame to frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import mlp
from slotbench.fields import Count, NotNegative, Options, Positive
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import full_precision, projector
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.objectives.two_views import (
    ProjectedViews,
    ProjectionConfig,
    TwoViews,
    expected_views,
)
from slotbench.registry import register


@dataclass(frozen=True)
class ContrastingSetsConfig(ProjectionConfig):
    temperature: Positive = 0.5
    """Divides the cosine similarities."""


@register("objectives")
class ContrastingSets(Objective):
    """The predicted set of the next frame against the sets of other scenes.

    Loewe et al. 2020, arXiv 2011.10287, Section 2: a transition moves the slots, a sum makes a
    vector of each set, and InfoNCE compares the vectors. It pairs no slots: no alignment.
    """

    name = "contrasting-sets"
    summary = "video: the next frame's predicted set against other sets"
    source = "Loewe et al. 2020, arXiv 2011.10287"
    family = "self-supervised"
    Config = ContrastingSetsConfig
    views, temporal = 2, True
    compares_images = True

    def __init__(self, core: Core, config: ContrastingSetsConfig) -> None:
        super().__init__(core, config)
        width = core.config.width
        self.transition = projector(width, config.hidden, width)
        self.each = projector(width, config.hidden, config.hidden)
        self.whole = projector(config.hidden, config.hidden, config.projection)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        frames = expected_views(batch).images
        slots = self.core(frames.flatten(0, 1), batch.noise(self.core, 2)).slots
        slots = gather(slots.view(2, -1, *slots.shape[1:]), dim=1)
        predicted = self.aggregate(slots[0] + self.transition(slots[0]))
        actual = self.aggregate(slots[1])
        return {"loss": batch_nce(predicted, actual, self.config.temperature)}

    def aggregate(self, slots: Tensor) -> Tensor:
        """Sets float (B, K, D) -> vectors (B, D'), whatever the order of the slots."""
        vector: Tensor = self.whole(self.each(slots).mean(dim=1))
        return vector


@dataclass(frozen=True)
class NextFrameConfig(ProjectionConfig):
    temperature: Positive = 0.1
    """Divides the cosine similarities."""


@register("objectives")
class SlotContrastNext(ProjectedViews):
    """Each slot against itself in the next frame, all other slots of the batch being negatives.

    Manasyan et al. 2025, *Temporally Consistent Object-Centric Learning by Contrasting Slots*,
    arXiv 2412.14295.
    """

    name = "slot-contrast-next"
    summary = "video: a slot against itself in the next frame"
    source = "Manasyan et al. 2025, arXiv 2412.14295"
    Config = NextFrameConfig
    temporal = True
    compares_images = True

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        now, later = self.projector(self.rows(batch).vectors)
        return {"loss": batch_nce(now, later, self.config.temperature)}


@full_precision
def batch_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE of row m of ``first``, float (..., M, D), for row m of ``second``; a scalar mean."""
    one, two = (functional.normalize(rows, dim=-1) for rows in (first, second))
    own = (one @ two.mT / temperature).log_softmax(dim=-1).diagonal(dim1=-2, dim2=-1)
    return -own.mean()


@dataclass(frozen=True)
class CSWMConfig(Options):
    sigma: Positive = 0.5
    """Scale of the distances in the energy."""
    hinge: NotNegative = 1.0
    """Energy below which a negative is pushed away."""
    hidden: Count = 128
    """Hidden width of the transition's networks."""


@register("objectives")
class CSWM(TwoViews):
    """Energy of a transition, and a hinge on the energy of states from other scenes.

    Kipf et al. 2019, arXiv 1911.12247, Equations 4 to 6, without actions. Distances are means over
    a slot's dimensions, so sigma and hinge hold for any width.
    """

    name = "cswm"
    summary = "video: energy of a transition between frames, with a hinge"
    source = "Kipf et al. 2019, arXiv 1911.12247"
    Config = CSWMConfig
    config: CSWMConfig
    temporal = True
    compares_images = True

    def __init__(self, core: Core, config: CSWMConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        width = core.config.width
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.edge = mlp((2 * width, config.hidden, config.hidden), "layer")
        self.node = mlp((width + config.hidden, config.hidden, width), "layer")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        vectors = self.rows(batch).vectors
        slots = vectors.shape[1] // batch.total
        state, later = self.norm(vectors).float().view(2, -1, slots, vectors.shape[2])
        positive = self.energy(state + self.move(state), later).mean()
        # Other scenes' states; a random permutation could leave some in place.
        negative = self.energy(state.roll(1, dims=0), later).mean(dim=1)
        loss = positive + (self.config.hinge - negative).relu().mean()
        return {"loss": loss, "positive": positive, "negative": negative.mean()}

    def move(self, state: Tensor) -> Tensor:
        """How each slot moves, from itself and all others: float (B, K, D) -> (B, K, D)."""
        count = state.shape[1]
        pairs = torch.cat(
            [state[:, :, None].expand(-1, -1, count, -1), state[:, None].expand(-1, count, -1, -1)],
            dim=3,
        )
        others = ~torch.eye(count, dtype=torch.bool, device=state.device)
        messages = (self.edge(pairs) * others[None, :, :, None]).sum(dim=2)
        moved: Tensor = self.node(torch.cat([state, messages], dim=2))
        return moved

    def energy(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distance over 2 sigma^2, float (B, K) of float (B, K, D)."""
        return (first - second).square().mean(dim=2) / (2 * self.config.sigma**2)


@register("objectives")
class SCN(ProjectedViews):
    """Slot k of frame t finds itself among the slots k of the batch, and among its image's slots.

    Racah and Chandar 2020, *Slot Contrastive Networks*, arXiv 2007.09294, Section 3: contrast in
    time for each slot's index, and diversity of the slots within an image.
    """

    name = "scn"
    summary = "video: a slot's index across the batch and within the image"
    source = "Racah and Chandar 2020, arXiv 2007.09294"
    Config = NextFrameConfig
    temporal = True
    compares_images = True

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        vectors = self.rows(batch).vectors
        slots = vectors.shape[1] // batch.total
        now, later = self.projector(vectors).unflatten(1, (-1, slots))
        temperature = self.config.temperature
        time = batch_nce(now.transpose(0, 1), later.transpose(0, 1), temperature)
        diversity = batch_nce(now, later, temperature)
        return {"loss": time + diversity, "time": time, "diversity": diversity}
