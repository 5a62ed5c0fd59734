"""Distillation: one view predicts what the other, or a slower copy, makes of the image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.objectives.alignment import Alignment
from slotbench.objectives.heads import Prototypes, mlp, view_by_view
from slotbench.objectives.momentum import cosine
from slotbench.objectives.objective import TrainBatch, check_fields
from slotbench.objectives.two_views import MomentumTwoViews, TwoViews
from slotbench.registry import register


@dataclass(frozen=True)
class SimSiamConfig:
    """Options of the objective ``simsiam``."""

    hidden: int = 128
    """Hidden and outer width of the projector."""
    bottleneck: int = 32
    """Hidden width of the predictor."""
    stop_gradient: bool = True
    """Whether no gradient reaches the vector that is predicted; without, everything collapses."""


@register("objectives")
class SimSiam(TwoViews):
    """-cos(p1, stop z2), symmetrised (Chen and He 2020, arXiv 2011.10566, Equation 2)."""

    name = "simsiam"
    summary = "one view predicts the other, whose gradient is stopped"
    source = "Chen and He 2020, arXiv 2011.10566"
    family = "self-supervised"

    Config = SimSiamConfig

    def __init__(self, core: Core, config: SimSiamConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        check_fields(config)
        self.config, width = config, config.hidden
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
class BYOLConfig:
    """Options of the objective ``byol``."""

    hidden: int = 256
    """Hidden width of projector and predictor; 4,096 in the paper."""
    projection: int = 64
    """Width of the vectors that are compared; 256 in the paper."""
    momentum: float = 0.99
    """The share of the target network that stays at the first step; it rises to 1."""


@register("objectives")
class BYOL(MomentumTwoViews):
    """2 - 2 cos(p, a momentum copy's z), symmetrised (Grill et al. 2020, arXiv 2006.07733)."""

    name = "byol"
    summary = "one view predicts what a momentum copy makes of the other"
    source = "Grill et al. 2020, arXiv 2006.07733"
    family = "self-supervised"

    Config = BYOLConfig

    def __init__(self, core: Core, config: BYOLConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        check_fields(config)
        self.config = config
        self.projector = mlp((core.config.width, config.hidden, config.projection), "batch")
        self.predictor = mlp((config.projection, config.hidden, config.projection), "batch")
        self.follow("projector")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        student, teacher, _ = self.both(batch)
        predicted = view_by_view(self.predictor, view_by_view(self.projector, student))
        with torch.no_grad():
            target = view_by_view(self.teacher["projector"], teacher)
        similarity = crossed_cosine(predicted, target)
        return {"loss": 2 - 2 * similarity, "positive_similarity": similarity.detach()}

    def momentum(self, step: int) -> float:
        return cosine(self.config.momentum, 1.0, step, self.steps)


def crossed_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean cosine similarity of each view's prediction with the other view's target; a scalar.

    float (2, M, D) both.
    """
    return functional.cosine_similarity(predicted.float(), target.flip(0).float(), dim=2).mean()


@dataclass(frozen=True)
class DINOConfig:
    """Options of the objective ``dino``."""

    prototypes: int = 256
    """Width of the output; 65,536 in the paper."""
    hidden: int = 256
    """Hidden width of the head."""
    bottleneck: int = 64
    """Width of the unit vectors that are compared with the prototypes."""
    student_temperature: float = 0.1
    """Divides the student's scores."""
    teacher_temperature: float = 0.04
    """Divides the teacher's centred scores: sharper than the student."""
    center_momentum: float = 0.9
    """The share of the centre that stays at each step."""
    momentum: float = 0.996
    """The share of the teacher that stays at the first step; it rises to 1."""


class DINOHead(nn.Sequential):
    """Three layers with GELU, then prototypes, both normalised (arXiv 2104.14294, App. C)."""

    def __init__(self, width: int, config: DINOConfig) -> None:
        super().__init__(
            nn.Linear(width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.bottleneck),
            Prototypes(config.bottleneck, config.prototypes),
        )


@register("objectives")
class DINO(MomentumTwoViews):
    """Cross-entropy to a centred, sharpened momentum teacher (Caron et al. 2021, arXiv 2104.14294).

    Two global views; the small crops of the paper are left out, since a crop of a scene loses
    objects.
    """

    name = "dino"
    summary = "cross-entropy to a centred and sharpened momentum teacher"
    source = "Caron et al. 2021, arXiv 2104.14294"
    family = "self-supervised"

    Config = DINOConfig
    center: Tensor

    def __init__(self, core: Core, config: DINOConfig, alignment: Alignment) -> None:
        super().__init__(core, alignment)
        check_fields(config)
        self.config = config
        self.head = DINOHead(core.config.width, config)
        self.follow("head")
        self.register_buffer("center", torch.zeros(config.prototypes))
        self._mean: Tensor | None = None

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        student, teacher, _ = self.both(batch)
        scores = self.head(student)
        with torch.no_grad():
            taught = self.teacher["head"](teacher)
            self._mean = taught.mean(dim=(0, 1))
        config = self.config
        target = ((taught - self.center) / config.teacher_temperature).softmax(dim=2)
        entropy = -(target * target.clamp_min(1e-12).log()).sum(dim=2).mean()
        loss = distillation(scores / config.student_temperature, target)
        return {"loss": loss, "teacher_entropy": entropy}

    def momentum(self, step: int) -> float:
        return cosine(self.config.momentum, 1.0, step, self.steps)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        assert self._mean is not None  # a loss came before
        self.center.lerp_(self._mean, 1 - self.config.center_momentum)


def distillation(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each view's logits to the other view's target; a scalar.

    float (2, M, P); ``target`` rows sum to 1.
    """
    return -(target.flip(0) * logits.float().log_softmax(dim=2)).sum(dim=2).mean()
