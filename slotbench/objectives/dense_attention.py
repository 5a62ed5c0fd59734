"""Losses on the core's own attention: which places it groups, whatever the slots hold."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.teachers import Teachers
from slotbench.datasets.format.views import Views, to_original
from slotbench.errors import UserError
from slotbench.fields import NotNegative, Positive, Share, Space, Span
from slotbench.objectives.alignment import Alignment, by_view, one_to_one, overlap
from slotbench.objectives.dense_targets import TargetConfig, TeacherTarget
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import full_precision, log_attention
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.objectives.slotcon import GroupAndContrast, GroupConfig, entropy_at_places
from slotbench.registry import register


@dataclass(frozen=True)
class AttentionConsistencyConfig(GroupConfig):
    space: ClassVar[Space] = {**GroupConfig.space, "teacher_temperature": Span(0.2, 1.0, log=True)}
    student_temperature: Positive = 1.0
    """Divides the logarithm of the student's attention."""
    teacher_temperature: Positive = 0.5
    """Divides the centred logarithm of the teacher's attention: sharper than the student."""


@register("objectives")
class AttentionConsistency(GroupAndContrast):
    """The core's attention on a view agrees with a momentum teacher's on the other, place by place.

    SlotCon's grouping (arXiv 2205.15288, Equations 3 and 4) with the core's slots as prototypes.
    Overlap of masks pairs the groups of the two views; the alignment pairs the slots for the
    contrast.
    """

    name = "attention-consistency"
    summary = "attention agrees with a momentum teacher's on the other view, place by place"
    source = "slotbench, docs/objectives.md; Wen et al. 2022, arXiv 2205.15288"

    Config = AttentionConsistencyConfig

    def __init__(
        self, core: Core, config: AttentionConsistencyConfig, alignment: Alignment
    ) -> None:
        super().__init__(core, config, alignment, core.num_slots)

    def grouping(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """Cross-entropy of the student's attention to the teacher's on the other view."""
        check_learned(self.core, student.attention)
        matrices = views.matrices.flatten(0, 1)
        scores, taught = (log_attention(output.attention) for output in (student, teacher))
        self.observe(gather(taught.flatten(2).mT.flatten(0, 1)).detach())
        student_map, seen = to_original(scores, matrices)
        teacher_map, _ = to_original(taught - self.center[:, None, None], matrices)
        target = by_view((teacher_map / self.config.teacher_temperature).softmax(dim=1), views)
        attention = student.attention, teacher.attention
        pairs = torch.cat([paired(*attention, views, view) for view in range(2)])
        # Picked, since a product of matrices would be rounded under autocast.
        target = target.flip(0).take_along_dim(pairs.argmax(dim=3)[..., None, None], dim=2)
        logits = by_view(student_map / self.config.student_temperature, views)
        return entropy_at_places(target, logits, by_view(seen, views).all(dim=0))


def check_learned(core: Core, attention: Tensor) -> None:
    """:class:`UserError` where no gradient passes through a core's attention."""
    if torch.is_grad_enabled() and not attention.requires_grad:
        name = getattr(core, "name", type(core).__name__)
        raise UserError(
            f"The core {name} learns no attention, and this objective compares attention.",
            "Choose another core, for example: --core slot-attention",
        )


@torch.no_grad()
@full_precision
def paired(student: Tensor, teacher: Tensor, views: Views, view: int) -> Tensor:
    """Permutations float32 (1, B, K, K) from slots of the student's ``view`` (rows) to slots of the
    teacher's other view (columns), by the overlap of their attention (2 * B, K, h, w).
    """
    masks = [by_view(student, views)[view], by_view(teacher, views)[1 - view]]
    matrices = views.matrices[[view, 1 - view]]
    return one_to_one(overlap(torch.stack(masks), matrices))


@dataclass(frozen=True)
class AttentionAffinityConfig(TargetConfig):
    space: ClassVar[Space] = {"target": ("start", "momentum"), "threshold": Span(0.0, 0.4)}
    target: Literal["start", "momentum"] = "momentum"
    """Whose features tell what belongs together: the encoder's as initialised, or those of a copy
    that follows it. A ``teacher`` replaces both."""
    threshold: NotNegative = 0.1
    """The similarity above which two places belong together."""
    momentum: Share = 0.99
    """The share of the copy that stays at the first step; it rises to 1."""


@register("objectives")
class AttentionAffinity(Objective):
    """Places with similar features share a slot, others do not.

    STEGO's correlation loss (Hamilton et al. 2022, arXiv 2203.08414, Equation 4) within an image,
    on the core's attention instead of a segmentation head, with features centred over the image.
    """

    name = "attention-affinity"
    summary = "places with similar features share a slot (STEGO's loss on the attention)"
    source = "Hamilton et al. 2022, arXiv 2203.08414"
    family = "self-supervised"

    Config = AttentionAffinityConfig
    takes_teachers = True

    def __init__(self, core: Core, config: AttentionAffinityConfig, teachers: Teachers) -> None:
        super().__init__(core, config)
        self.target = TeacherTarget(core, config, teachers)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output = self.core(batch.images, batch.noise(self.core))
        check_learned(self.core, output.attention)
        features = self.target(batch.images, self.core.encoder)
        attention = functional.adaptive_avg_pool2d(output.attention.float(), features.shape[2:])
        return {"loss": affinity(features, attention, self.config.threshold)}

    def after_step(self, step: int) -> None:
        if self.config.target == "momentum":
            self.target.follow(self.core.encoder, self.momentum(step))


@full_precision
def affinity(features: Tensor, attention: Tensor, threshold: float) -> Tensor:
    """-(cos(f_n, f_m) - threshold) A_n . A_m, the mean over images and pairs of places n, m.

    ``features`` float (B, F, h, w), centred over the places; ``attention`` float (B, K, h, w).
    """
    rows, masks = features.flatten(2), attention.flatten(2)
    unit = functional.normalize(rows - rows.mean(dim=2, keepdim=True), dim=1)
    together = masks.mT @ masks
    return -((unit.mT @ unit - threshold) * together).mean()
