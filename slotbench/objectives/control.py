"""Controls: the untrained core as the floor, the supervised core as the ceiling."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import mlp
from slotbench.datasets.format.schema import NOT_LABELLED, Layout
from slotbench.fields import Count, NotNegative, Options, Positive
from slotbench.matching import assign
from slotbench.objectives.gather import gather
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.registry import register


@register("objectives")
class Random(Objective):
    """The floor: the core as it was initialised. Nothing is trained."""

    name = "random"
    summary = "the untrained core: the floor"
    source = "control"
    family = "control"
    trains = False

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        """A constant: there is nothing to learn."""
        return {"loss": batch.images.new_zeros(())}


@dataclass(frozen=True)
class SupervisedConfig(Options):
    mask_weight: NotNegative = 1.0
    """Weight of the masks' loss."""
    property_weight: NotNegative = 0.1
    """Weight of the properties' error, in the loss and in the matching. Matching by properties
    alone would take slots away from the objects that they hold."""
    object_weight: Positive = 5.0
    """Weight of an object's pixel in the masks' loss; a background pixel has 1. Attention's cells
    are coarse, and at the edges a lost object pixel costs more FG-ARI than a background one."""
    hidden: Count = 128
    """Hidden width of the head that predicts properties."""


@register("objectives")
class Supervised(Objective):
    """Hungarian set prediction of properties and masks (Locatello et al. 2020, Section 4.2).

    Visible objects are assigned to slots at the least total cost, and the background too where a
    slot is left. The cost is the error of the slot's predicted properties (squared, of standardised
    numbers; cross-entropy of classes) less the share of the object's pixels in the slot's
    attention. The loss is the pairs' error, plus the cross-entropy of the attention, enlarged to
    the image as the evaluation does it.
    """

    version = 2
    name = "supervised"
    summary = "set prediction of properties and masks: the ceiling"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    family = "control"
    Config = SupervisedConfig
    takes_layout = True
    moments: Tensor

    def __init__(self, core: Core, config: SupervisedConfig, layout: Layout) -> None:
        super().__init__(core, config)
        self.properties, self.objects = layout.properties, layout.objects
        self.reads = ("mask", "visible", *(prop.key for prop in layout.properties))
        self.sizes = [len(prop.classes) or prop.dim for prop in layout.properties]
        self.head = mlp((core.config.width, config.hidden, sum(self.sizes)))
        # The numeric targets seen so far: count, mean and sum of squared deviations.
        numbers = sum(prop.dim for prop in layout.properties if prop.kind == "numeric")
        self.register_buffer("moments", torch.zeros(3, numbers))
        self._new: Tensor | None = None

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output = self.core(batch.images, batch.noise(self.core))
        labels, visible = batch.labels["mask"], batch.labels["visible"]
        attention = functional.interpolate(
            output.attention.float(), labels.shape[1:], mode="bilinear", align_corners=False
        )
        truth = object_masks(labels, self.objects)
        held = truth.flatten(2) @ attention.flatten(2).mT
        held = held / truth.sum(dim=(2, 3)).clamp_min(1)[..., None]
        errors = self.errors(self.head(output.slots).float(), batch.labels, visible)
        errors = functional.pad(self.config.property_weight * errors, (0, 0, 1, 0))
        spare = visible.sum(dim=1, keepdim=True) < attention.shape[1]
        slot = assign(errors - held, torch.cat([spare, visible], dim=1))
        matched = slot[:, 1:] >= 0
        # The mean over the pairs of all processes.
        pairs = gather(matched.sum()[None].float()).mean().clamp_min(1)
        chosen = errors.take_along_dim(slot.clamp_min(0)[..., None], 2)[:, 1:, 0]
        error = (chosen * matched).sum() / pairs
        masks = mask_loss(attention, truth, slot, self.config.object_weight)
        loss = error + self.config.mask_weight * masks
        return {"loss": loss, "properties": error, "masks": masks}

    def errors(self, predicted: Tensor, labels: Mapping[str, Tensor], visible: Tensor) -> Tensor:
        """Error of each slot's prediction for each object, float (B, O, K); a mean over properties.

        ``predicted`` float (B, K, P), ``visible`` bool (B, O).
        """
        total = predicted.new_zeros(*visible.shape, predicted.shape[1])
        numbers = [
            labels[prop.key].float().reshape(*visible.shape, prop.dim)
            for prop in self.properties
            if prop.kind == "numeric"
        ]
        standard = iter(self.standardise(numbers, visible))
        pieces = torch.split(predicted, self.sizes, dim=2)
        for prop, found in zip(self.properties, pieces, strict=True):
            if prop.kind == "numeric":
                difference = next(standard)[:, :, None] - found[:, None]
                total = total + difference.square().mean(dim=3)
            else:
                # Padding is -1, and is not counted: any class will do.
                index = labels[prop.key].long().clamp_min(0)[..., None]
                chosen = found.log_softmax(dim=2).mT.take_along_dim(index, dim=1)
                total = total - chosen
        return total / max(1, len(self.properties))

    def standardise(self, numbers: list[Tensor], visible: Tensor) -> list[Tensor]:
        """Numeric targets (B, O, d) with the mean and deviation of those seen so far removed."""
        if not numbers:
            return []
        values = torch.cat(numbers, dim=2)
        fresh = reduce(merged, gather(moments_of(values, visible)[None]))
        if self.training:
            self._new = fresh
        # The first step uses its own targets.
        count, mean, squares = torch.where(self.moments[0].any(), self.moments, fresh)
        variance = (squares / count.clamp_min(1)).clamp_min(1e-6)
        standard = (values - mean) * variance.rsqrt()
        return list(torch.split(standard, [part.shape[2] for part in numbers], dim=2))

    def after_step(self, step: int) -> None:
        if self._new is not None:
            self.moments.copy_(merged(self.moments, self._new))


def moments_of(values: Tensor, visible: Tensor) -> Tensor:
    """Count, mean and sum of squared deviations, (3, P), of float (B, O, P) where visible."""
    kept = visible[..., None].to(values.dtype)
    count = kept.sum(dim=(0, 1)).expand(values.shape[2])
    mean = (values * kept).sum(dim=(0, 1)) / count.clamp_min(1)
    squares = ((values - mean).square() * kept).sum(dim=(0, 1))
    return torch.stack([count, mean, squares])


def merged(one: Tensor, two: Tensor) -> Tensor:
    """The moments of two groups together, (3, P) each (Chan et al. 1979, Equation 2.1).

    Sums of squares would cancel without double precision, which not every device has.
    """
    count = one[0] + two[0]
    share, apart = two[0] / count.clamp_min(1), two[1] - one[1]
    squares = one[2] + two[2] + apart.square() * one[0] * share
    return torch.stack([count, one[1] + apart * share, squares])


def object_masks(labels: Tensor, objects: int) -> Tensor:
    """Masks of background and objects, float (B, 1 + O, H, W), 0 or 1, of uint8 (B, H, W).

    Pixels of 255 are in none.
    """
    kept = torch.where(labels == NOT_LABELLED, objects + 1, labels.long())
    masks = functional.one_hot(kept, objects + 2)[..., : objects + 1]
    return masks.permute(0, 3, 1, 2).float()


def mask_loss(attention: Tensor, truth: Tensor, slot: Tensor, object_weight: float) -> Tensor:
    """Cross-entropy of attention (B, K, H, W) to the slots of background and objects; a scalar.

    ``truth`` float (B, 1 + O, H, W); ``slot`` int64 (B, 1 + O), -1 for none, which does not count.
    Pixels of objects have ``object_weight``, those of the background 1.
    """
    own = attention.flatten(2).take_along_dim(slot.clamp_min(0)[..., None], dim=1)
    weight = truth.flatten(2) * (slot >= 0)[..., None]
    weight[:, 1:] *= object_weight
    total = gather(weight.sum()[None]).mean().clamp_min(1e-6)
    return -(own.clamp_min(1e-6).log() * weight).sum() / total
