"""Contrast of two views of an image with views of other images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.fields import Count, Positive, Share, Space, Span
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import full_precision, projector
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import MomentumTwoViews, ProjectedViews, ProjectionConfig
from slotbench.registry import register


@dataclass(frozen=True)
class SimCLRConfig(ProjectionConfig):
    space: ClassVar[Space] = {"temperature": Span(0.05, 1.0, log=True)}
    temperature: Positive | None = None
    """Divides the cosine similarities; none: 0.5 where images are paired, 0.2 where slots are."""
    same_image_negatives: bool = True
    """Whether the other slots of an image count as negatives; they may hold the same thing."""


@register("objectives")
class SimCLR(ProjectedViews):
    """NT-Xent on paired vectors (Chen et al. 2020, arXiv 2002.05709, Equation 1)."""

    name = "simclr"
    summary = "two views of an image against those of all others (NT-Xent)"
    source = "Chen et al. 2020, arXiv 2002.05709"
    Config = SimCLRConfig
    compares_images = True

    def __init__(self, core: Core, config: SimCLRConfig, alignment: Alignment) -> None:
        super().__init__(core, config, alignment)
        self.temperature = config.temperature or alignment.temperature

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        vectors, image = self.rows(batch)
        first, second = self.projector(vectors)
        excluded = None if self.config.same_image_negatives else image
        loss = nt_xent(first, second, self.temperature, excluded)
        with torch.no_grad():
            similarity = functional.cosine_similarity(first, second).mean()
        return {"loss": loss, "positive_similarity": similarity}


@dataclass(frozen=True)
class MoCoConfig(ProjectionConfig):
    space: ClassVar[Space] = {
        "temperature": Span(0.05, 1.0, log=True),
        "momentum": ("0.99", "0.996", "0.999"),
    }
    temperature: Positive = 0.2
    """Divides the cosine similarities."""
    queue: Count = 4096
    """Number of keys of earlier steps that are negatives; 65,536 in the paper."""
    momentum: Share = 0.999
    """The share of the key encoder that stays at each step; it does not rise."""


@register("objectives")
class MoCo(MomentumTwoViews):
    """InfoNCE against a queue of a momentum encoder's keys (He et al. 2020, arXiv 1911.05722).

    With the MLP head of v2 (arXiv 2003.04297). The first view gives queries, the second keys.
    """

    name = "moco"
    summary = "InfoNCE against a queue of a momentum encoder's keys"
    source = "He et al. 2019, arXiv 1911.05722; v2: 2003.04297"
    Config = MoCoConfig
    queue: Tensor
    position: Tensor

    def __init__(self, core: Core, config: MoCoConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        self.projector = projector(core.config.width, config.hidden, config.projection)
        self.follow("projector")
        start = functional.normalize(torch.randn(config.queue, config.projection), dim=1)
        self.register_buffer("queue", start)
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self._keys: Tensor | None = None

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        student, teacher = self.both(batch, student=(0,), teacher=(1,))
        query = functional.normalize(self.projector(student[0]).float(), dim=1)
        with torch.no_grad():
            key = functional.normalize(self.teacher["projector"](teacher[0]).float(), dim=1)
        self._keys = key
        loss = info_nce(query, key, self.queue, self.config.temperature)
        return {"loss": loss, "positive_similarity": (query * key).sum(dim=1).mean()}

    def momentum(self, step: int) -> float:
        return float(self.config.momentum)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        assert self._keys is not None  # a loss came before
        enqueue(self.queue, self.position, self._keys)


@torch.no_grad()
def enqueue(queue: Tensor, position: Tensor, keys: Tensor) -> None:
    """Write keys float (M, D) over the oldest of the queue (Q, D), wrapping round at its end.

    ``position`` int64 () is where the next key goes. Of more than Q keys the last Q stay.
    """
    size = len(queue)
    places = (position + torch.arange(len(keys), device=queue.device)) % size
    queue[places[-size:]] = keys[-size:].to(queue.dtype)
    position.copy_((position + len(keys)) % size)


@full_precision
def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each query's key against all negatives; a scalar.

    Unit rows: float (M, D), (M, D), (Q, D). He et al. 2020, arXiv 1911.05722, Equation 1.
    """
    positive = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ negatives.T.clone()], dim=1) / temperature
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


@full_precision
def nt_xent(
    first: Tensor, second: Tensor, temperature: float, image: Tensor | None = None
) -> Tensor:
    """The normalised, temperature-scaled cross-entropy; a scalar.

    ``first`` and ``second`` are float (M, D), row m of each being a positive pair. All 2M rows
    are anchors, each against the 2M - 1 others. Where ``image`` int64 (M,) is given, rows of
    the anchor's own image are no negatives.
    """
    rows = functional.normalize(torch.cat([first, second]), dim=1)
    similarity = rows @ rows.T / temperature
    pairs = len(first)
    positive = (torch.arange(2 * pairs, device=rows.device) + pairs) % (2 * pairs)
    excluded = torch.eye(2 * pairs, dtype=torch.bool, device=rows.device)
    if image is not None:
        twice = image.repeat(2)
        excluded = twice[:, None] == twice
        excluded[torch.arange(2 * pairs, device=rows.device), positive] = False
    return functional.cross_entropy(similarity.masked_fill(excluded, -torch.inf), positive)
