"""Distillation: one view predicts the other's vector or cluster, or a slower copy's."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import mlp, sinkhorn
from slotbench.fields import Count, Options, Positive, Share, Space, Span
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import Prototypes, full_precision, view_by_view
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import (
    CentredTwoViews,
    MomentumTwoViews,
    ProjectedViews,
    ProjectionConfig,
    TwoViews,
)
from slotbench.registry import register


@dataclass(frozen=True)
class SimSiamConfig(Options):
    hidden: Count = 128
    """Hidden and outer width of the projector."""
    bottleneck: Count = 32
    """Hidden width of the predictor."""
    stop_gradient: bool = True
    """Whether the predicted vector gets no gradient; without this, everything collapses."""


@register("objectives")
class SimSiam(TwoViews):
    """-cos(p1, stop z2), symmetrised (Chen and He 2020, arXiv 2011.10566, Equation 2)."""

    name = "simsiam"
    summary = "one view predicts the other, whose gradient is stopped"
    source = "Chen and He 2020, arXiv 2011.10566"
    Config = SimSiamConfig
    compares_images = True  # by batch normalisation

    def __init__(self, core: Core, config: SimSiamConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        width = config.hidden
        self.projector = mlp((core.config.width, width, width, width), "batch", last_norm=True)
        self.predictor = mlp((width, config.bottleneck, width), "batch")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        projected = view_by_view(self.projector, self.rows(batch).vectors)
        predicted = view_by_view(self.predictor, projected)
        target = projected.detach() if self.config.stop_gradient else projected
        loss = -crossed_cosine(predicted, target)
        # 1 / sqrt(D) while the vectors spread over all directions, 0 once they are one (Sec. 4.1).
        spread = functional.normalize(projected.detach(), dim=2).std(dim=1).mean()
        return {"loss": loss, "spread": spread * self.config.hidden**0.5}


@dataclass(frozen=True)
class BYOLConfig(ProjectionConfig):
    space: ClassVar[Space] = {"momentum": ("0.99", "0.996", "0.999")}
    hidden: Count = 256
    """Hidden width of projector and predictor; 4,096 in the paper, and ``projection`` is 256."""
    momentum: Share = 0.99
    """The share of the target network that stays at the first step; it rises to 1."""


@register("objectives")
class BYOL(MomentumTwoViews):
    """2 - 2 cos(p, a momentum copy's z), symmetrised (Grill et al. 2020, arXiv 2006.07733)."""

    name = "byol"
    summary = "one view predicts what a momentum copy makes of the other"
    source = "Grill et al. 2020, arXiv 2006.07733"
    Config = BYOLConfig
    compares_images = True  # by batch normalisation

    def __init__(self, core: Core, config: BYOLConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        self.projector = mlp((core.config.width, config.hidden, config.projection), "batch")
        self.predictor = mlp((config.projection, config.hidden, config.projection), "batch")
        self.follow("projector")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        student, teacher = self.both(batch)
        predicted = view_by_view(self.predictor, view_by_view(self.projector, student))
        with torch.no_grad():
            target = view_by_view(self.teacher["projector"], teacher)
        similarity = crossed_cosine(predicted, target)
        return {"loss": 2 - 2 * similarity, "positive_similarity": similarity}


def crossed_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean cosine similarity, a scalar, of each view's prediction with the other view's target.

    Both float (2, M, D).
    """
    return functional.cosine_similarity(predicted.float(), target.flip(0).float(), dim=2).mean()


@dataclass(frozen=True)
class DINOConfig(Options):
    space: ClassVar[Space] = {
        "student_temperature": Span(0.05, 0.3),
        "teacher_temperature": Span(0.02, 0.08),
    }
    prototypes: Count = 256
    """Width of the output; 65,536 in the paper."""
    hidden: Count = 256
    """Hidden width of the head."""
    bottleneck: Count = 64
    """Width of the unit vectors that are compared with the prototypes."""
    student_temperature: Positive = 0.1
    """Divides the student's scores."""
    teacher_temperature: Positive = 0.04
    """Divides the teacher's centred scores: sharper than the student."""
    center_momentum: Share = 0.9
    """The share of the centre that stays at each step."""
    momentum: Share = 0.996
    """The share of the teacher that stays at the first step; it rises to 1."""


@register("objectives")
class DINO(CentredTwoViews):
    """Cross-entropy to a centred, sharpened momentum teacher (Caron et al. 2021, arXiv 2104.14294).

    Two global views, without the paper's small crops: a crop of a scene loses objects.
    """

    name = "dino"
    summary = "cross-entropy to a centred and sharpened momentum teacher"
    source = "Caron et al. 2021, arXiv 2104.14294"
    Config = DINOConfig

    def __init__(self, core: Core, config: DINOConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        hidden = config.hidden
        # Three layers with GELU, then prototypes (Appendix C).
        self.head = nn.Sequential(
            nn.Linear(core.config.width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, config.bottleneck),
            Prototypes(config.bottleneck, config.prototypes),
        )
        self.follow("head")
        self.build_center(config.prototypes)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        student, teacher = self.both(batch)
        scores, config = self.head(student), self.config
        with torch.no_grad():
            taught = self.teacher["head"](teacher)
            self.observe(taught)
        target = ((taught - self.center) / config.teacher_temperature).softmax(dim=2)
        entropy = -(target * target.clamp_min(1e-12).log()).sum(dim=2).mean()
        loss = distillation(scores / config.student_temperature, target)
        return {"loss": loss, "teacher_entropy": entropy}


def distillation(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each view's logits to the other view's target; a scalar.

    float (2, M, P); ``target`` rows sum to 1.
    """
    return -(target.flip(0) * logits.float().log_softmax(dim=2)).sum(dim=2).mean()


@dataclass(frozen=True)
class SwAVConfig(ProjectionConfig):
    space: ClassVar[Space] = {"temperature": Span(0.05, 0.5, log=True)}
    prototypes: Count = 128
    """Number of clusters; 3,000 in the paper."""
    temperature: Positive = 0.1
    """Divides the scores of the prediction."""
    epsilon: Positive = 0.05
    """Entropy of the codes: the larger, the softer."""
    iterations: Count = 3
    """Rounds of Sinkhorn's normalisation."""


@register("objectives")
class SwAV(ProjectedViews):
    """Each view predicts the other's balanced code (Caron et al. 2020, arXiv 2006.09882, Eq. 2)."""

    name = "swav"
    summary = "each view predicts the other's balanced cluster"
    source = "Caron et al. 2020, arXiv 2006.09882"
    Config = SwAVConfig
    compares_images = True

    def __init__(self, core: Core, config: SwAVConfig, alignment: Alignment) -> None:
        super().__init__(core, config, alignment)
        self.prototypes = Prototypes(config.projection, config.prototypes)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        config = self.config
        scores = self.prototypes(self.projector(self.rows(batch).vectors))
        found = balanced_codes(scores, config.epsilon, config.iterations)
        used = (found.flatten(0, 1).mean(dim=0) > 0.1 / config.prototypes).float().mean()
        return {"loss": distillation(scores / config.temperature, found), "clusters_used": used}


@torch.no_grad()
@full_precision
def balanced_codes(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes that use P prototypes equally: float (..., M, P) -> the same; rows sum to 1.

    SwAV's entropic optimal transport (arXiv 2006.09882, Listing 1), on logarithms: any epsilon
    works.
    """
    rows, prototypes = scores.shape[-2:]
    log_plan, _ = sinkhorn(scores.mT / epsilon, iterations, math.log(rows / prototypes))
    return log_plan.mT.exp()
