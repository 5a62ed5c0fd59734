"""Reconstructing a frozen network's features instead of pixels.

DINOSAUR: Seitzer et al. 2022, *Bridging the Gap to Real-World Object-Centric Learning*, arXiv
2209.14860.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.patch import Autoregressive, SlotMLP
from slotbench.cores.decoders.spatial import Decoded
from slotbench.cores.teachers import Teacher, Teachers
from slotbench.datasets.format.schema import Feature, Layout
from slotbench.errors import UserError
from slotbench.fields import Count, Options
from slotbench.objectives.dense_targets import load
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.registry import register


@dataclass(frozen=True)
class FeatureReconstructionConfig(Options):
    teacher: str | None = None
    """The teacher: its name in the dataset's file, ``timm:MODEL``, or a run's id or directory;
    none: the file's only teacher."""
    weights: str | None = None
    """A file with the weights of a ``timm:`` teacher."""
    decoder: Literal["mlp", "transformer"] = "mlp"
    """``mlp``: each slot by itself; ``transformer``: autoregressive."""
    hidden: Count = 256
    """Width of the decoder's layers; 1,024 to 2,048 in the paper."""
    depth: Count = 3
    """Number of the decoder's hidden layers or blocks."""
    heads: Count = 4
    """Attention heads of the transformer."""


@register("objectives")
class FeatureReconstruction(Objective):
    """Mean squared error of a teacher's features, float (B, N, F), decoded from the slots.

    Features that ``slotbench prepare NAME --features TEACHER`` stored are read with the images;
    others are computed during training. As in the paper, they are neither centred nor scaled.
    Decoder masks have their resolution. ValueError where the options do not fit together or the
    features lie on no square grid.
    """

    name = "feature-reconstruction"
    summary = "a frozen network's features, from the slots"
    source = "Seitzer et al. 2022, arXiv 2209.14860"
    family = "reconstruction"
    Config = FeatureReconstructionConfig
    takes_layout = takes_teachers = True

    def __init__(
        self, core: Core, config: FeatureReconstructionConfig, layout: Layout, teachers: Teachers
    ) -> None:
        super().__init__(core, config)
        if config.decoder == "transformer" and config.hidden % config.heads:
            raise ValueError(f"hidden={config.hidden}: expected a multiple of heads={config.heads}")
        self.key: str | None = None
        # A Teacher is no module: its weights belong to its own run or file, not to this one.
        self.teacher: Teacher | None = None
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
        """The teacher's features in the dataset's file; none where there are none."""
        known = {feature.name: feature for feature in layout.features}
        wanted = self.config.teacher
        if wanted is None:
            if len(known) != 1:
                has = f"has those of {', '.join(known)}" if known else "has none"
                raise ValueError(
                    f"objective.teacher=none: expected features of one teacher in the dataset's "
                    f"file, which {has}; name a teacher (--teacher timm:MODEL, or a run), or type: "
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
        """Load the teacher; returns the shape of its features of this dataset's images."""
        try:
            teacher = load(teachers, str(self.config.teacher), self.config.weights)
        except UserError as error:
            held = ", ".join(feature.name for feature in layout.features) or "none"
            raise UserError(
                f"objective.teacher={self.config.teacher}: {error.message} Features in the "
                f"dataset's file: {held}.",
                error.advice,
            ) from error
        self.teacher = teacher
        made = teacher(torch.zeros(1, 3, layout.height, layout.width))
        return Feature(teacher.name, made.shape[1], made.shape[2])

    def target(self, batch: TrainBatch) -> Tensor:
        """Features float32 (B, N, F) of the batch's images."""
        if self.key is not None:
            return batch.labels[self.key].float()
        return self.features(batch.images)

    def features(self, images: Tensor) -> Tensor:
        """The teacher's features float32 (B, N, F) of images (B, 3, H, W), on their device."""
        assert self.teacher is not None  # features that are not stored are computed
        return self.teacher.to(images.device)(images)

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        target = self.target(batch)
        output = self.core(batch.images, batch.noise(self.core))
        made, _ = self._decode(output.slots, target)
        return {"loss": functional.mse_loss(made.float(), target)}

    def _decode(self, slots: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        if isinstance(self.decoder, SlotMLP):
            made: tuple[Tensor, Tensor] = self.decoder(slots)
        else:
            assert target is not None  # the transformer reads the positions before
            made = self.decoder(slots, target)
        return made

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded | None:
        """The masks; none for a transformer on stored features, which ``images`` do not give."""
        target = None
        if isinstance(self.decoder, Autoregressive):
            if self.key is not None:
                return None
            target = self.features(images)
        _, masks = self._decode(output.slots, target)
        return Decoded(None, masks.view(*masks.shape[:2], self.side, self.side), None)
