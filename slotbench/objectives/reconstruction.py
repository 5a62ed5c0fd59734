"""Training by reconstructing the image from its slots, with or without a penalty on the slots.

Locatello et al. 2020, arXiv 2006.15055, Section 3.1; penalties: Stange et al. 2023, *Exploring the
Role of the Bottleneck in Slot-Based Models Through Covariance Regularization*, arXiv 2306.02577,
and its code.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded, ImageDecoder, MixtureDecoder
from slotbench.cores.layers import mlp
from slotbench.fields import Count, NotNegative, PositiveShare, Share, Space, Span
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import (
    MaskConfig,
    attention_prior,
    full_precision,
    off_diagonal_covariance,
    risen,
    variance_hinge,
    with_prices,
)
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.registry import register

RISE = (3 / 8, 5 / 8)
"""Shares of the steps between which the weight of the slots' own errors rises."""


@dataclass(frozen=True)
class ReconstructionConfig(MaskConfig):
    space: ClassVar[Space] = {
        "alone": ("0", "0.3", "1.0"),
        "crop": ("0.6", "1"),
        "agree": ("0", "0.003", "0.01"),
    }
    later: ClassVar[tuple[str, ...]] = ("crop",)
    error: Literal["squared", "bce"] = "squared"
    """``squared``: mean squared error; ``bce``: binary cross-entropy of pixels as probabilities."""
    alone: Share = 0.0
    """Share of the error of each slot's own image, weighted by its mask. Without it a faint mask
    with a stronger colour draws the same picture as a full one. It rises from 0 between 3/8 and 5/8
    of the steps, when objects have been found."""
    crop: PositiveShare = 1.0
    """Smallest share of an image's area that training shows, as a random square, enlarged and
    mirrored by chance. Below 1, slots cannot keep a region of the frame, as they do on some seeds
    (docs/log.md)."""


@register("objectives")
class Reconstruction(Objective):
    """Error of the mixture image; a smaller decoder's target is area-averaged.

    (1 - s) e(x, sum_k m_k x_k) + s sum_k m_k e(x, x_k). The second error, as in the mixture
    likelihoods of MONet (arXiv 1901.11390) and IODINE (1903.00450), is never below the first. Only
    decoders that decode slots alone have it. A validation loss is the first error.
    """

    name = "reconstruction"
    summary = "mean squared error of the image mixed from the slots"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    family = "reconstruction"
    Config = ReconstructionConfig
    config: ReconstructionConfig
    takes_decoder = True

    def __init__(self, core: Core, config: ReconstructionConfig, decoder: ImageDecoder) -> None:
        super().__init__(core, config)
        if config.attend and not isinstance(decoder, MixtureDecoder):
            name = getattr(decoder, "name", type(decoder).__name__)
            raise ValueError(
                f"attend={config.attend}: expected a decoder that draws each slot alone, or "
                f"attend=0; decoder.name={name} has no masks to multiply"
            )
        self.decoder = decoder

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        return self.encoded(batch)[1]

    def encoded(self, batch: TrainBatch) -> tuple[SlotOutput, dict[str, Tensor]]:
        """The core's output for the batch, cropped, and its ``loss`` with the prices of masks."""
        batch, share = batch.cropped(self.config.crop), self.done(batch)
        output = self.core(batch.images, batch.noise(self.core))
        decoded = self.drawn(output, batch.images, share)
        losses = {"loss": self.error(decoded, batch)}
        if batch.purpose == "train":
            masks, attention = decoded.masks, output.attention
            losses = with_prices(losses, batch.images, masks, attention, self.config, share)
        return output, losses

    def error(self, decoded: Decoded, batch: TrainBatch) -> Tensor:
        """The decoder's mean error; a scalar."""
        assert decoded.image is not None  # decoders of images make one
        target = functional.adaptive_avg_pool2d(batch.images, self.decoder.size)
        together = self._pixels(decoded.image, target).mean()
        share = self.share(batch)
        if not share or decoded.parts is None:
            return together
        each = self._pixels(decoded.parts, target[:, None].expand_as(decoded.parts))
        alone = (decoded.masks[:, :, None] * each).sum(dim=1).mean()
        return (1 - share) * together + share * alone

    def share(self, batch: TrainBatch) -> float:
        """The share of the slots' own errors at this step."""
        return self.config.alone * risen(self.done(batch), RISE) * (batch.purpose == "train")

    def _pixels(self, image: Tensor, target: Tensor) -> Tensor:
        if self.config.error == "bce":
            # Colours may leave [0, 1] a little. Half precision has no numbers so near to 1.
            likely = image.float().clamp(1e-4, 1 - 1e-4)
            return -(target * likely.log() + (1 - target) * (1 - likely).log())
        return functional.mse_loss(image, target, reduction="none")

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded:
        return self.drawn(output, images, 1.0)

    def drawn(self, output: SlotOutput, images: Tensor, share: float) -> Decoded:
        """The decoder's output for the core's, after this share of the steps."""
        decoder, config = self.decoder, self.config
        prior = attention_prior(output.attention, decoder.size, config, share)
        drawn: Decoded = decoder(output.slots, images, *(() if prior is None else (prior,)))
        return drawn


@dataclass(frozen=True)
class CovarianceConfig(ReconstructionConfig):
    space: ClassVar[Space] = {**ReconstructionConfig.space, "weight": Span(0.1, 10.0, log=True)}
    weight: NotNegative = 1.0
    """Weight of the covariance penalty."""
    variance: NotNegative = 0.0
    """Weight of the hinge that keeps each dimension's standard deviation at 1; 0: none."""
    hidden: Count = 1024
    """Width of every layer of the projector."""


@register("objectives")
class Covariance(Reconstruction):
    """Reconstruction + squared off-diagonal covariance of projected slots over D^2 (Equation 3).

    Stange et al. 2023. The covariance is over all slots of the batch, after a projector with
    LayerNorm.
    """

    name = "covariance"
    summary = "reconstruction, and a penalty on the slots' covariance"
    source = "Stange et al. 2023, arXiv 2306.02577"
    Config = CovarianceConfig
    config: CovarianceConfig

    def __init__(self, core: Core, config: CovarianceConfig, decoder: ImageDecoder) -> None:
        super().__init__(core, config, decoder)
        width = config.hidden
        self.projector = mlp((core.config.width, width, width, width), "layer")

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output, made = self.encoded(batch)
        reconstruction = made["loss"]
        rows = self.projector(gather(output.slots).flatten(0, 1)).float()
        covariance = off_diagonal_covariance(rows) / rows.shape[1]
        loss = reconstruction + self.config.weight * covariance
        if self.config.variance:
            loss = loss + self.config.variance * variance_hinge(rows)
        return made | {"loss": loss, "reconstruction": reconstruction, "covariance": covariance}


@dataclass(frozen=True)
class CosineConfig(ReconstructionConfig):
    space: ClassVar[Space] = {**ReconstructionConfig.space, "weight": Span(0.001, 0.1, log=True)}
    weight: NotNegative = 0.01
    """Weight of the penalty."""
    margin: Annotated[float, Interval(ge=-1, le=1)] = 0.2
    """Cosine similarity of two slots above which they are pushed apart."""


@register("objectives")
class Cosine(Reconstruction):
    """Reconstruction + cosine embedding loss over all pairs of slots of an image.

    The loss of two slots is their similarity above the margin, the mean over all K^2 ordered pairs,
    as in torch's CosineEmbeddingLoss.
    """

    name = "cosine"
    summary = "reconstruction, and a penalty on slots that point the same way"
    source = "code of Stange et al. 2023, arXiv 2306.02577"
    Config = CosineConfig
    config: CosineConfig

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        output, made = self.encoded(batch)
        penalty = pairwise_cosine(output.slots, self.config.margin)
        loss = made["loss"] + self.config.weight * penalty
        return made | {"loss": loss, "reconstruction": made["loss"], "cosine": penalty}


@full_precision
def pairwise_cosine(slots: Tensor, margin: float) -> Tensor:
    """Mean over all ordered pairs of an image's slots, float (B, K, D), of the embedding loss."""
    unit = functional.normalize(slots, dim=2)
    similarity = unit @ unit.mT
    own = torch.eye(slots.shape[1], device=slots.device)
    return (own * (1 - similarity) + (1 - own) * (similarity - margin).relu()).mean()
