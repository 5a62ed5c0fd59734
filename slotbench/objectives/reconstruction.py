"""Training by reconstructing the image from its slots.

Locatello et al. 2020, arXiv 2006.15055, Section 3.1.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional

from slotbench.cores.base import Core, SlotOutput
from slotbench.cores.decoders import Decoded, ImageDecoder
from slotbench.objectives.base import Objective, TrainBatch


@dataclass(frozen=True)
class ReconstructionConfig:
    """Options of the objective ``reconstruction``, beside the decoder's own."""

    error: Literal["squared", "bce"] = "squared"
    """``squared``: mean squared error; ``bce``: binary cross-entropy of pixels as probabilities."""


class Reconstruction(Objective):
    """Error of the mixture image; a smaller decoder's target is area-averaged."""

    Config = ReconstructionConfig
    takes_decoder = True

    def __init__(self, core: Core, config: ReconstructionConfig, decoder: ImageDecoder) -> None:
        super().__init__(core)
        self.config, self.decoder = config, decoder

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        return {"loss": self.error(self.core(batch.images, batch.noise(self.core)), batch.images)}

    def error(self, output: SlotOutput, images: Tensor) -> Tensor:
        """The mean error of what the decoder makes of ``output``; a scalar."""
        decoded = self.decode(output, images)
        assert decoded.image is not None  # decoders of images make one
        target = functional.adaptive_avg_pool2d(images, self.decoder.size)
        if self.config.error == "bce":
            # The mixture is a convex sum of what may lie a little outside [0, 1]. Half
            # precision has no numbers so near to 1.
            likely = decoded.image.float().clamp(1e-4, 1 - 1e-4)
            return -(target * likely.log() + (1 - target) * (1 - likely).log()).mean()
        return functional.mse_loss(decoded.image, target)

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded:
        decoded: Decoded = self.decoder(output.slots, images)
        return decoded
