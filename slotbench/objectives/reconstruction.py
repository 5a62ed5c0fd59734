"""Training by reconstructing the image from its slots.

Locatello et al. 2020, arXiv 2006.15055, Section 3.1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded, ImageDecoder
from slotbench.objectives.objective import Objective, TrainBatch, check_fields
from slotbench.registry import register

RISE = (3 / 8, 5 / 8)
"""Between which shares of the steps the slots' own errors come in."""


@dataclass(frozen=True)
class ReconstructionConfig:
    """Options of the objective ``reconstruction``, beside the decoder's own."""

    error: Literal["squared", "bce"] = "squared"
    """``squared``: mean squared error; ``bce``: binary cross-entropy of pixels as probabilities."""
    alone: float = 0.0
    """Share, in [0, 1], of the error of each slot's own image, weighted by its mask. Without it a
    faint mask with a stronger colour draws the same picture as a full one. It rises from 0 between
    3/8 and 5/8 of the steps, when objects have been found."""


@register("objectives")
class Reconstruction(Objective):
    """Error of the mixture image; a smaller decoder's target is area-averaged.

    (1 - s) e(x, sum_k m_k x_k) + s sum_k m_k e(x, x_k): the second error, of which the mixture
    likelihoods of MONet (arXiv 1901.11390) and IODINE (1903.00450) are built, is never below the
    first. Only decoders that decode slots alone have it. A validation loss is the first alone.
    """

    name = "reconstruction"
    summary = "mean squared error of the image mixed from the slots"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    family = "reconstruction"

    Config = ReconstructionConfig
    takes_decoder = True
    ranges: ClassVar[dict[str, tuple[float, float]]] = {}
    """As :func:`check_fields` takes them."""

    def __init__(self, core: Core, config: ReconstructionConfig, decoder: ImageDecoder) -> None:
        super().__init__(core)
        check_fields(config, **self.ranges)
        self.config, self.decoder = config, decoder

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        return {"loss": self.error(self.core(batch.images, batch.noise(self.core)), batch)}

    def error(self, output: SlotOutput, batch: TrainBatch) -> Tensor:
        """The mean error of what the decoder makes of ``output``; a scalar."""
        decoded = self.decode(output, batch.images)
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
        if batch.purpose != "train":
            return 0.0
        risen = (batch.step / self.steps - RISE[0]) / (RISE[1] - RISE[0])
        return self.config.alone * min(1.0, max(0.0, risen))

    def _pixels(self, image: Tensor, target: Tensor) -> Tensor:
        if self.config.error == "bce":
            # The mixture is a convex sum of what may lie a little outside [0, 1]. Half
            # precision has no numbers so near to 1.
            likely = image.float().clamp(1e-4, 1 - 1e-4)
            return -(target * likely.log() + (1 - target) * (1 - likely).log())
        return functional.mse_loss(image, target, reduction="none")

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded:
        decoded: Decoded = self.decoder(output.slots, images)
        return decoded
