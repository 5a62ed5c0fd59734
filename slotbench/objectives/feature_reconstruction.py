"""Reconstructing a frozen network's features instead of pixels.

DINOSAUR: Seitzer et al. 2022, *Bridging the Gap to Real-World Object-Centric Learning*, arXiv
2209.14860.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.patch import Autoregressive, SlotMLP
from slotbench.cores.decoders.spatial import Decoded
from slotbench.cores.teachers import Teacher, Teachers, timm_teacher
from slotbench.datasets.format.schema import Feature, Layout
from slotbench.errors import UserError
from slotbench.objectives.objective import Objective, TrainBatch, check_fields
from slotbench.registry import register


@dataclass(frozen=True)
class FeatureReconstructionConfig:
    """Options of the objective ``feature-reconstruction``."""

    teacher: str | None = None
    """Whose features: the name of some in the dataset's file, ``timm:MODEL``, or a run's id or
    directory; none: those of the file, where it has features of one teacher only."""
    weights: str | None = None
    """A file with the weights of a ``timm:`` teacher."""
    decoder: Literal["mlp", "transformer"] = "mlp"
    """``mlp``: each slot by itself; ``transformer``: autoregressive."""
    hidden: int = 256
    """Width of the decoder's layers; 1,024 to 2,048 in the paper."""
    depth: int = 3
    """Number of the decoder's hidden layers or blocks."""
    heads: int = 4
    """Attention heads of the transformer."""


@register("objectives")
class FeatureReconstruction(Objective):
    """Mean squared error of features, float (B, N, F), that the slots are decoded to.

    Features stored by ``slotbench prepare NAME --features TEACHER`` are read with the images;
    others are computed as training goes. As in the paper, features are targets as the teacher
    gives them, neither centred nor scaled. Decoder masks have the resolution of the features.
    ValueError where a field cannot be used or the teacher's features lie on no square grid.
    """

    name = "feature-reconstruction"
    summary = "a frozen network's features, from the slots"
    source = "Seitzer et al. 2022, arXiv 2209.14860"
    family = "reconstruction"

    Config = FeatureReconstructionConfig
    takes_layout = takes_teachers = True

    def __init__(
        self,
        core: Core,
        config: FeatureReconstructionConfig,
        layout: Layout,
        teachers: Teachers = timm_teacher,
    ) -> None:
        super().__init__(core)
        check_fields(config)
        if config.decoder == "transformer" and config.hidden % config.heads:
            raise ValueError(f"hidden={config.hidden}: expected a multiple of heads={config.heads}")
        self.config = config
        self.key: str | None = None
        # No submodule: the teacher's weights belong to its own run or file, not to this one's.
        self.teacher: list[Teacher] = []
        shape = self._stored(layout) or self._computed(layout, teachers)
        self.side = math.isqrt(shape.positions)
        if self.side**2 != shape.positions:
            raise ValueError(f"the features {shape.name} lie on no square grid")
        width = core.config.width
        self.decoder: SlotMLP | Autoregressive
        if config.decoder == "mlp":
            self.decoder = SlotMLP(
                width, shape.positions, shape.width + 1, config.hidden, config.depth
            )
        else:
            self.decoder = Autoregressive(
                width, shape.positions, shape.width, config.hidden, config.depth, config.heads
            )

    def _stored(self, layout: Layout) -> Feature | None:
        """The features of the dataset's file that are meant, if they are such."""
        known = {feature.name: feature for feature in layout.features}
        wanted = self.config.teacher
        if wanted is None:
            if len(known) != 1:
                has = f"has those of {', '.join(known)}" if known else "has none"
                raise ValueError(
                    f"objective.teacher=none: the features of the dataset's file are asked for, "
                    f"which {has}; name a teacher (--teacher timm:MODEL, or a run), or type: "
                    "slotbench prepare NAME --features TEACHER"
                )
            wanted = next(iter(known))
        if wanted not in known:
            return None
        if self.config.weights is not None:
            raise ValueError(f"weights={self.config.weights}: the features {wanted} are stored")
        self.key = known[wanted].key
        self.reads = (self.key,)
        return known[wanted]

    def _computed(self, layout: Layout, teachers: Teachers) -> Feature:
        """The shape of what a teacher makes of this dataset's images."""
        weights = None if self.config.weights is None else Path(self.config.weights)
        try:
            # The decoder starts from the same weights, wherever the features come from.
            with torch.random.fork_rng(devices=[]):
                teacher = teachers(str(self.config.teacher), weights)
        except UserError as error:
            held = ", ".join(feature.name for feature in layout.features) or "none"
            raise UserError(
                f"objective.teacher={self.config.teacher}: {error.message} Features in the "
                f"dataset's file: {held}.",
                error.advice,
            ) from error
        self.teacher = [teacher]
        made = teacher(torch.zeros(1, 3, layout.height, layout.width))
        return Feature(teacher.name, made.shape[1], made.shape[2])

    def target(self, batch: TrainBatch) -> Tensor:
        """Features float32 (B, N, F) of the batch's images."""
        if self.key is not None:
            return batch.labels[self.key].float()
        return self.features(batch.images)

    def features(self, images: Tensor) -> Tensor:
        """What the teacher, which follows the images to their device, makes of them."""
        return self.teacher[0].to(images.device)(images)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        target = self.target(batch)
        output = self.core(batch.images, batch.noise(self.core))
        made, _ = self._decode(output.slots, target)
        return {"loss": functional.mse_loss(made.float(), target)}

    def _decode(self, slots: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        if isinstance(self.decoder, SlotMLP):
            made: tuple[Tensor, Tensor] = self.decoder(slots)
        else:
            assert target is not None  # the transformer is told what came before
            made = self.decoder(slots, target)
        return made

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded | None:
        """The masks; None for a transformer on stored features, which images alone do not give."""
        target = None
        if isinstance(self.decoder, Autoregressive):
            if self.key is not None:
                return None
            target = self.features(images)
        _, masks = self._decode(output.slots, target)
        return Decoded(None, masks.view(*masks.shape[:2], self.side, self.side), None)
