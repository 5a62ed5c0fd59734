"""SlotCon: grouping by shared prototypes, and contrast of what both views show.

Wen et al. 2022, *Self-Supervised Visual Representation Learning with Semantic Grouping*, arXiv
2205.15288. In the paper the prototypes are the slots. Here the core has slots of its own: the
prototypes group the encoder's features, which trains the encoder, and the contrast is between
the core's slots, which trains the core.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.datasets.format.views import Views, to_original
from slotbench.objectives.alignment import Alignment, by_view
from slotbench.objectives.dense_targets import content, coordinates
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import Prototypes, mlp
from slotbench.objectives.momentum import cosine
from slotbench.objectives.objective import TrainBatch, check_fields
from slotbench.objectives.precision import full_precision
from slotbench.objectives.two_views import MomentumTwoViews
from slotbench.registry import register

MARK = 1e-4


@dataclass(frozen=True)
class SlotConConfig:
    """Options of the objective ``slotcon``."""

    prototypes: int = 64
    """Number of groups, shared by all images; 256 on COCO in the paper."""
    group_weight: float = 0.5
    """Weight of the grouping; the contrast's is what is left of 1."""
    temperature: float = 0.2
    """Of the contrast between slots."""
    student_temperature: float = 0.1
    """Divides the student's scores of a position."""
    teacher_temperature: float = 0.07
    """Divides the teacher's centred scores."""
    center_momentum: float = 0.9
    """The share of the centre that stays at each step."""
    momentum: float = 0.99
    """The share of the teacher that stays at the first step; it rises to 1."""
    hidden: int = 128
    """Hidden width of the heads."""
    projection: int = 64
    """Width of the vectors that are compared."""


class GroupAndContrast(MomentumTwoViews):
    """A loss on how places are grouped, and InfoNCE of slots that both views show.

    A subclass defines the grouping, which is the cross-entropy to a centred momentum teacher.
    """

    config: Any
    center: Tensor

    def __init__(self, core: Core, config: Any, alignment: Alignment, groups: int) -> None:
        super().__init__(core, alignment)
        self.config = config
        self.projector = mlp((core.config.width, config.hidden, config.projection))
        self.predictor = mlp((config.projection, config.hidden, config.projection))
        self.follow("projector")
        self.register_buffer("center", torch.zeros(groups))
        self._mean: Tensor | None = None

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        (student, teacher), views = self.encode(batch, (0, 1), (0, 1))
        group = self.grouping(student, teacher, Views(*(part[:2] for part in views)))
        contrast = self.contrast(batch, student, teacher, views)
        weight = self.config.group_weight
        loss = weight * group + (1 - weight) * contrast
        return {"loss": loss, "grouping": group.detach(), "contrast": contrast.detach()}

    @abstractmethod
    def grouping(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """The loss on places of the original image that both views show; a scalar.

        Sets ``_mean``, float (groups,), which the centre moves to.
        """

    def contrast(
        self, batch: TrainBatch, student: SlotOutput, teacher: SlotOutput, views: Views
    ) -> Tensor:
        """InfoNCE of slots that win a position in both views, against all slots of the batch.

        ``views`` are the student's two and the teacher's two, as the outputs are.
        """
        present = torch.cat([wins(student.attention), wins(teacher.attention)])
        output = SlotOutput(*(torch.cat(parts) for parts in zip(student, teacher, strict=True)))
        # Whether a slot is present travels with it through alignment and gathering, as one more
        # number, too small to have a say in the alignment.
        marked = torch.cat([output.slots, MARK * present[:, :, None].to(output.slots)], dim=2)
        rows = self.align(batch, output._replace(slots=marked), views).vectors
        vectors, shown = rows[:, :, :-1], rows[:, :, -1] > 0.5 * MARK / present.shape[1]
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

    def momentum(self, step: int) -> float:
        return cosine(self.config.momentum, 1.0, step, self.steps)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        assert self._mean is not None  # a loss came before
        self.center.lerp_(self._mean, 1 - self.config.center_momentum)


def entropy_at_places(target: Tensor, logits: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of float (2, B, G, h, w) to a target of that shape; a scalar.

    The mean over the places ``shown``, bool (B, h, w), of all processes: a process with few of
    them must not weigh more.
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
    family = "self-supervised"

    version = 2
    Config = SlotConConfig

    def __init__(self, core: Core, config: SlotConConfig, alignment: Alignment) -> None:
        check_fields(config)
        super().__init__(core, config, alignment, config.prototypes)
        features = int(core.encoder.width) - coordinates(core.encoder)  # type: ignore[arg-type]
        self.dense = nn.Sequential(
            mlp((features, config.hidden, config.projection)),
            Prototypes(config.projection, config.prototypes),
        )
        self.follow("dense")

    def grouping(self, student: SlotOutput, teacher: SlotOutput, views: Views) -> Tensor:
        """Cross-entropy of the student's groups to the teacher's of the other view."""
        config, grid, encoder = self.config, student.attention.shape[2:], self.core.encoder
        scores = self.dense(content(student.features, encoder))
        with torch.no_grad():
            taught = self.teacher["dense"](content(teacher.features, encoder))
            self._mean = gather(taught.flatten(0, 1)).mean(dim=0)
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
    """InfoNCE of float (M, D) against float (M, D), the mean over rows ``counted`` bool (M,).

    Keys that are not ``shown`` bool (M,) are no negatives.
    """
    one, two = (functional.normalize(rows, dim=1) for rows in (queries, keys))
    hidden = ~shown[None] & ~torch.eye(len(one), dtype=torch.bool, device=one.device)
    logits = (one @ two.mT / temperature).masked_fill(hidden, -torch.inf)
    losses = -logits.log_softmax(dim=1).diagonal()
    return (losses * counted).sum() / counted.sum().clamp_min(1)


def wins(attention: Tensor) -> Tensor:
    """Whether a slot has the greatest attention somewhere: (B, K, h, w) -> bool (B, K)."""
    winner = attention.flatten(2).argmax(dim=1)
    return functional.one_hot(winner, attention.shape[1]).any(dim=1)
