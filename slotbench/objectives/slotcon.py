"""SlotCon: grouping by shared prototypes, and contrast of slots that both views show.

Wen et al. 2022, *Self-Supervised Visual Representation Learning with Semantic Grouping*, arXiv
2205.15288. In the paper the prototypes are the slots. Here the core has slots of its own: the
prototypes group the encoder's features and train the encoder; the contrast is between the core's
slots and trains the core.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.layers import content, content_width, mlp
from slotbench.datasets.format.views import Views, to_original
from slotbench.fields import Count, Positive, Share, Space, Span
from slotbench.objectives.alignment import Alignment, by_view
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import Prototypes, full_precision
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.two_views import CentredTwoViews, ProjectionConfig, joined
from slotbench.registry import register


@dataclass(frozen=True, kw_only=True)
class GroupConfig(ProjectionConfig):
    space: ClassVar[Space] = {
        "group_weight": ("0.2", "0.5", "0.8"),
        "temperature": Span(0.05, 0.5, log=True),
    }
    group_weight: Share = 0.5
    """Weight of the grouping; the contrast has the rest of 1."""
    temperature: Positive = 0.2
    """Of the contrast between slots."""
    center_momentum: Share = 0.9
    """The share of the centre that stays at each step."""
    momentum: Share = 0.99
    """The share of the teacher that stays at the first step; it rises to 1."""


@dataclass(frozen=True)
class SlotConConfig(GroupConfig):
    space: ClassVar[Space] = {**GroupConfig.space, "teacher_temperature": Span(0.04, 0.1, log=True)}
    prototypes: Count = 64
    """Number of groups, shared by all images; 256 on COCO in the paper."""
    student_temperature: Positive = 0.1
    """Divides the student's scores of a position."""
    teacher_temperature: Positive = 0.07
    """Divides the teacher's centred scores."""


class GroupAndContrast(CentredTwoViews):
    """A loss on how places are grouped, and InfoNCE of slots that both views show.

    A subclass defines the grouping: a cross-entropy to a centred momentum teacher.
    """

    compares_images = True

    def __init__(self, core: Core, config: Any, alignment: Alignment, groups: int) -> None:
        super().__init__(core, alignment, config)
        hidden, projection = config.hidden, config.projection
        self.projector = mlp((core.config.width, hidden, projection))
        self.predictor = mlp((projection, hidden, projection))
        self.follow("projector")
        self.build_center(groups)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        (student, teacher), views = self.encode(batch, (0, 1), (0, 1))
        group = self.grouping(student, teacher, Views(*(part[:2] for part in views)))
        contrast = self.contrast(student, teacher, views)
        weight = self.config.group_weight
        loss = weight * group + (1 - weight) * contrast
        return {"loss": loss, "grouping": group, "contrast": contrast}

    @abstractmethod
    def grouping(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """The loss on places of the original image that both views show; a scalar.

        From the outputs (2 * B, ...) for two views. It must call :meth:`observe`.
        """

    def contrast(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """InfoNCE of slots that win a position in both views, against all slots of the batch.

        The outputs (2 * B, ...) of student and teacher, view by view; ``views`` are the student's
        two, then the teacher's two. A scalar.
        """
        output = joined(student, teacher)
        paired = self.alignment.pair(output, views)
        # A row counts as shown if a slot with a share of it wins a position.
        share = gather(paired.carried(wins(output.attention)), dim=1)
        vectors, shown = gather(paired.vectors, dim=1), share > 0.5 / output.slots.shape[1]
        queries = self.predictor(self.projector(vectors[:2]))
        with torch.no_grad():
            keys = self.teacher["projector"](vectors[2:].detach())
        losses = [
            slot_contrast(
                queries[view],
                keys[1 - view],
                shown[view] & shown[3 - view],
                shown[3 - view],
                self.config.temperature,
            )
            for view in range(2)
        ]
        return torch.stack(losses).mean()


def entropy_at_places(target: Tensor, logits: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of float (2, B, G, h, w) to a target of that shape; a scalar.

    The mean over the places ``shown``, bool (B, h, w), of all processes together.
    """
    entropy = -(target * logits.log_softmax(dim=2)).sum(dim=2)
    both = shown.expand_as(entropy)
    total, count = gather(torch.stack([(entropy * both).sum(), both.sum()])[None]).sum(dim=0)
    mean: Tensor = total / count.clamp_min(1)
    return mean


@register("objectives")
class SlotCon(GroupAndContrast):
    """DINO's cross-entropy on overlapping positions, and InfoNCE of slots (Equations 3 to 6).

    The grouping head does not see the encoder's coordinates: with them it learns places.
    """

    name = "slotcon"
    summary = "shared prototypes group positions, slots are contrasted"
    source = "Wen et al. 2022, arXiv 2205.15288"
    version = 2
    Config = SlotConConfig

    def __init__(self, core: Core, config: SlotConConfig, alignment: Alignment) -> None:
        super().__init__(core, config, alignment, config.prototypes)
        self.dense = nn.Sequential(
            mlp((content_width(core.encoder), config.hidden, config.projection)),
            Prototypes(config.projection, config.prototypes),
        )
        self.follow("dense")

    def grouping(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """Cross-entropy of the student's groups to the teacher's of the other view."""
        config, grid, encoder = self.config, student.attention.shape[2:], self.core.encoder
        scores = self.dense(content(student.features, encoder))
        with torch.no_grad():
            taught = self.teacher["dense"](content(teacher.features, encoder))
            self.observe(gather(taught.flatten(0, 1)))
        maps = []
        for values in (scores, taught - self.center):
            image = values.mT.reshape(*values.shape[::2], *grid)
            maps.append(to_original(image, views.matrices.flatten(0, 1)))
        (student_map, seen), (teacher_map, _) = maps
        target = by_view((teacher_map / config.teacher_temperature).softmax(dim=1), views).flip(0)
        logits = by_view(student_map / config.student_temperature, views)
        return entropy_at_places(target, logits, by_view(seen, views).all(dim=0))


@full_precision
def slot_contrast(
    queries: Tensor, keys: Tensor, counted: Tensor, shown: Tensor, temperature: float
) -> Tensor:
    """2 t times the InfoNCE of float (M, D) against float (M, D), at temperature t; a scalar.

    The mean over rows ``counted`` bool (M,). Keys that are not ``shown`` bool (M,) are no
    negatives. The factor 2 t is the paper's code's.
    """
    one, two = (functional.normalize(rows, dim=1) for rows in (queries, keys))
    hidden = ~shown[None] & ~torch.eye(len(one), dtype=torch.bool, device=one.device)
    logits = (one @ two.mT / temperature).masked_fill(hidden, -torch.inf)
    losses = -logits.log_softmax(dim=1).diagonal()
    return 2 * temperature * (losses * counted).sum() / counted.sum().clamp_min(1)


def wins(attention: Tensor) -> Tensor:
    """Whether a slot has the greatest attention somewhere: float (B, K, h, w) -> bool (B, K)."""
    winner = attention.flatten(2).argmax(dim=1)
    return functional.one_hot(winner, attention.shape[1]).any(dim=1)
