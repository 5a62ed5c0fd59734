"""Training by reconstructing the image from its slots.

Locatello et al. 2020, arXiv 2006.15055, Section 3.1.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from slotbench.cores.base import Core, SlotOutput
from slotbench.cores.decoders import Decoded, MixtureDecoder
from slotbench.objectives.base import Objective, TrainBatch


@dataclass(frozen=True)
class ReconstructionConfig:
    """Options of the objective ``reconstruction``: none yet beside the decoder's own."""


class Reconstruction(Objective):
    """Mean squared error of the mixture image; a smaller decoder's target is area-averaged."""

    Config = ReconstructionConfig
    takes_decoder = True

    def __init__(self, core: Core, config: ReconstructionConfig, decoder: MixtureDecoder) -> None:
        super().__init__(core)
        self.config, self.decoder = config, decoder

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        noise = self.core.noise(len(batch.images), batch.generator("slots"))
        decoded = self.decode(self.core(batch.images, noise))
        target = functional.adaptive_avg_pool2d(batch.images, self.decoder.size)
        return {"loss": functional.mse_loss(decoded.image, target)}

    def decode(self, output: SlotOutput) -> Decoded:
        decoded: Decoded = self.decoder(output.slots)
        return decoded
