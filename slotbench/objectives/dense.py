"""Slots predict what stands where in another view; InfoNCE compares it with what is there.

A loss on vectors of slots ignores how pixels are grouped into slots. A loss on places does not:
the slots must share the places, and each must know its own. No pixel is decoded.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import BilinearForm
from slotbench.cores.teachers import Teachers
from slotbench.datasets.format.views import invert, to_original
from slotbench.fields import Count, Positive, Share, Space, Span
from slotbench.objectives.dense_targets import Patches, TargetConfig, TeacherTarget
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import MaskConfig, attention_prior, full_precision, with_prices
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.objectives.two_views import chosen, expected_views
from slotbench.registry import register

LARGEST_SCALE = 30.0
"""A learned temperature falls no lower than one over this."""


@dataclass(frozen=True)
class DenseConfig(MaskConfig, TargetConfig):
    space: ClassVar[Space] = {"agree": ("0", "0.03", "0.3")}
    later: ClassVar[tuple[str, ...]] = ("unit",)
    channels: Count = 32
    """Rank of the predictor's bilinear form, and channels of its convolutions."""
    depth: Count = 1
    """Number of the predictor's 3x3 convolutions."""
    unit: bool = False
    """Whether each slot's vectors have length 1 before the masks mix them. Without it a faint mask
    with a long vector predicts as well as a full one, so ``gather`` empties the masks."""


class Predictor(BilinearForm):
    """Predicts what stands where from slots float (B, K, D).

    Each slot gives a vector and a mask logit for every place; a softmax over slots mixes the
    vectors. ``prior``, float (B, K, grid, grid), is added to the logits.
    """

    def __init__(self, slot_width: int, width: int, config: DenseConfig) -> None:
        super().__init__(slot_width, config.channels, config.depth, config.grid, width + 1)
        self.unit = config.unit

    def forward(self, slots: Tensor, prior: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors float (B, width, grid, grid), and masks float (B, K, grid, grid)."""
        hidden = self.hidden(slots.flatten(0, 1))
        weight, bias = self.last.weight, self.last.bias
        assert bias is not None
        logits = functional.conv2d(hidden, weight[-1:], bias[-1:])
        logits = logits.view(*slots.shape[:2], *logits.shape[2:])
        masks = (logits if prior is None else logits + prior).softmax(dim=1)
        if self.unit:
            vectors = functional.normalize(functional.conv2d(hidden, weight[:-1], bias[:-1]), dim=1)
            vectors = vectors.view(*slots.shape[:2], *vectors.shape[1:])
            return (vectors * masks[:, :, None]).sum(dim=1), masks
        # The last layer is linear and masks sum to 1: it is applied once, to the mixture.
        mixture = (hidden.view(*slots.shape[:2], *hidden.shape[1:]) * masks[:, :, None]).sum(dim=1)
        return functional.conv2d(mixture, weight[:-1], bias[:-1]), masks


class Seen(NamedTuple):
    """One pass over a batch, for E directions from a source view to a target view."""

    predicted: Tensor
    """float (E * B, width, grid, grid), in the frame of the source."""
    output: SlotOutput
    """The core's for the sources, (E * B, ...)."""
    masks: Tensor
    """float (E * B, K, grid, grid): the predictor's."""
    sources: Tensor
    """float32 (E * B, 3, H, W)."""
    images: Tensor
    """float32 (E * B, 3, H, W): the targets."""
    matrices: Tensor
    """float32 (E * B, 2, 3): from the source's coordinates to the target's, in [-1, 1]."""


class DensePrediction(Objective):
    """Predicts a map of one view's targets from the slots of another.

    A subclass makes the targets and the loss. Each image and view has noise of its own.
    """

    family = "self-supervised"
    views = 2
    directions: ClassVar[tuple[tuple[int, int], ...]] = ((0, 1), (1, 0))
    """Pairs of views: source, target."""

    def __init__(self, core: Core, config: DenseConfig, width: int) -> None:
        super().__init__(core, config)
        self.predictor = Predictor(core.config.width, width, config)

    def see(self, batch: TrainBatch) -> Seen:
        """Encode the source views, and predict."""
        views = expected_views(batch)
        sources, targets = zip(*self.directions, strict=True)
        seen = chosen(views.images, sources).flatten(0, 1)
        output = self.core(seen, batch.noise(self.core, len(sources)))
        matrices = composed(
            invert(chosen(views.matrices, targets)), chosen(views.matrices, sources)
        )
        predicted, masks = self.predictor(output.slots, self.prior(output, self.done(batch)))
        images = chosen(views.images, targets).flatten(0, 1)
        return Seen(predicted, output, masks, seen, images, matrices.flatten(0, 1))

    def prior(self, output: SlotOutput, share: float = 1.0) -> Tensor | None:
        """The attention's term in the masks' logits after this share of the steps."""
        return attention_prior(output.attention, self.config.grid, self.config, share)

    def priced(self, seen: Seen, batch: TrainBatch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses with the prices of masks; a validation loss has none."""
        if batch.purpose != "train":
            return losses
        attention, done = seen.output.attention, self.done(batch)
        return with_prices(losses, seen.sources, seen.masks, attention, self.config, done)

    def by_direction(self, values: Tensor) -> Tensor:
        """float (E * B, ...) of this process -> (E, B of all processes, ...)."""
        return gather(values.view(len(self.directions), -1, *values.shape[1:]), dim=1)

    def predictor_masks(self, images: Tensor, output: SlotOutput | None = None) -> Tensor:
        """The predictor's masks float (B, K, grid, grid); they sum to 1 over the slots."""
        output = self.core(images) if output is None else output
        masks: Tensor = self.predictor(output.slots, self.prior(output))[1]
        return masks


@full_precision
def composed(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine map ``inner``, then ``outer``, both float (..., 2, 3)."""
    linear = outer[..., :2]
    return torch.cat([linear @ inner[..., :2], linear @ inner[..., 2:] + outer[..., 2:]], dim=-1)


@dataclass(frozen=True)
class SlotInfoNCEConfig(DenseConfig):
    space: ClassVar[Space] = {**DenseConfig.space, "temperature": Span(0.03, 0.5, log=True)}
    target: Literal["patches", "encoder"] = "patches"
    """``patches``: a learned embedding of the pixels at a place; ``encoder``: a learned linear map
    of the encoder's content features, from a momentum copy (a frozen encoder needs none). A
    ``teacher`` replaces both."""
    patch: Count = 4
    """Side of a patch in pixels, after resizing the image to ``grid`` patches."""
    hidden: Count = 64
    """Channels between the patch's convolution and its embedding."""
    projection: Count = 32
    """Width of the vectors that are compared."""
    temperature: Positive = 0.1
    """Divides the cosine similarities at the start; it is learned, and at least 1/30."""
    momentum: Share = 0.99
    """The share of the encoder's copy that stays at the first step; it rises to 1."""


@register("objectives")
class SlotInfoNCE(DensePrediction):
    """InfoNCE between the prediction for a place and what stands there.

    The negatives are the same place of the other images of the batch. Other places of the same
    image would reward slots that know places, and slots would keep regions.
    """

    name = "slot-infonce"
    summary = "slots of a view predict by contrast what stands where in the other"
    source = "slotbench, docs/objectives.md"

    Config = SlotInfoNCEConfig
    takes_teachers = True
    compares_images = True

    def __init__(self, core: Core, config: SlotInfoNCEConfig, teachers: Teachers) -> None:
        super().__init__(core, config, config.projection)
        self.target: Patches | TeacherTarget
        if config.target == "patches" and config.teacher is None:
            self.target = Patches(config.grid, config.patch, config.hidden, config.projection)
        else:
            self.target = TeacherTarget(core, config, teachers)
            self.head = nn.Conv2d(self.target.width, config.projection, 1)
        self.log_temperature = nn.Parameter(torch.tensor(config.temperature).log())

    @property
    def temperature(self) -> Tensor:
        """float32 (): divides the similarities."""
        return self.log_temperature.exp().clamp_min(1 / LARGEST_SCALE)

    def targets(self, images: Tensor) -> Tensor:
        """What stands where in images (B, 3, H, W): float (B, projection, h, w)."""
        if isinstance(self.target, Patches):
            made: Tensor = self.target(images)
        else:
            made = self.head(self.target(images, self.core.encoder))
        return made

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        seen = self.see(batch)
        target = functional.normalize(self.targets(seen.images).float(), dim=1)
        predicted = functional.normalize(seen.predicted.float(), dim=1)
        moved, shown = to_original(predicted, seen.matrices, (target.shape[2], target.shape[3]))
        moved, target, shown = map(self.by_direction, (moved, target, shown.float()))
        loss, right = place_nce(moved, target, shown, self.temperature)
        losses = {"loss": loss, "accuracy": right, "temperature": self.temperature}
        return self.priced(seen, batch, losses)

    def after_step(self, step: int) -> None:
        if isinstance(self.target, TeacherTarget):
            self.target.follow(self.core.encoder, self.momentum(step))


@full_precision
def place_nce(
    predicted: Tensor, target: Tensor, shown: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """InfoNCE at each place, over the images of the batch; the mean over places that are shown.

    ``predicted`` and ``target`` float (E, B, C, h, w), ``shown`` float (E, B, h, w), 0 or 1: where
    there is a prediction. Also returns the share of places whose own target is the nearest of B.
    """
    logits = torch.einsum("eichw,ejchw->ehwij", predicted, target) / temperature
    losses = -logits.log_softmax(dim=4).diagonal(dim1=3, dim2=4)
    counted = shown.permute(0, 2, 3, 1)
    total = counted.sum().clamp_min(1)
    with torch.no_grad():
        first = logits.argmax(dim=4) == torch.arange(logits.shape[4], device=logits.device)
        right = (first * counted).sum() / total
    return (losses * counted).sum() / total, right


@register("objectives")
class SlotInfoNCENext(SlotInfoNCE):
    """The same on video: the slots of a frame predict what stands where in the next."""

    name = "slot-infonce-next"
    summary = "video: slots predict by contrast what stands where in the next frame"
    source = "slotbench, docs/objectives.md"

    temporal = True
    directions = ((0, 1),)
