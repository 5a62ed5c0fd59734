"""The base of every objective, and the batch that the loop gives it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.views import ViewConfig, Views, make_views
from slotbench.fields import NoOptions
from slotbench.rng import torch_generator


@dataclass(frozen=True)
class TrainBatch:
    """The images of one step, and the views and labels that the objective asked for."""

    images: Tensor
    """float32 (B, 3, H, W) in [0, 1]; of a video, the first frame of each clip."""
    views: Views | None
    """V augmented copies with their geometry, or V neighbouring frames of a video with identity
    matrices; none if the objective takes none."""
    seed: int
    step: int
    purpose: str = "train"
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    """The dataset's arrays that the objective ``reads``, by key, (B, ...), on the device."""
    rank: int = 0
    """This process's number, of ``world``; its images start at ``rank * B`` of the step's."""
    world: int = 1

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator for (seed, purpose, step), the same for every objective."""
        return torch_generator(self.seed, self.purpose, purpose, self.step)

    @property
    def total(self) -> int:
        """Number of images of the step, over all processes."""
        return self.world * len(self.images)

    def own(self, drawn: Tensor | None, views: int = 1) -> Tensor | None:
        """This process's rows of a draw for all processes: (V * total, ...) -> (V * B, ...)."""
        if drawn is None or self.world == 1:
            return drawn
        first, count = self.rank * len(self.images), len(self.images)
        return drawn.view(views, -1, *drawn.shape[1:])[:, first : first + count].flatten(0, 1)

    def cropped(self, smallest: float) -> "TrainBatch":
        """The batch with a random square of each image, enlarged and mirrored by chance.

        It has at least the share ``smallest`` of the area. Unchanged outside training.
        """
        if smallest == 1 or self.purpose != "train":
            return self
        options = ViewConfig("none", crop=(smallest, 1.0), flip=0.5)
        keys, first = (self.seed, self.purpose, "crop", self.step), self.rank * len(self.images)
        views = make_views(self.images, options, keys, count=1, first=first)
        return replace(self, images=views.images[0])

    def noise(self, core: Core, views: int = 1) -> Tensor | None:
        """The slots' initial noise, its own for each image and view: (views * B, K, D), or none."""
        return self.own(core.noise(views * self.total, self.generator("slots")), views)


class Objective(nn.Module, ABC):
    """A loss on a core's slots, with the modules and the state that it needs.

    The core and all state (decoder, projector, queue, momentum copy) belong to ``state_dict``.
    Queues and momentum copies change in :meth:`after_step`, never in :meth:`loss`, which is also
    called on val.
    """

    version: ClassVar[int] = 1
    Config: ClassVar[type] = NoOptions
    views: ClassVar[int] = 0
    """Views of each image that the loss takes; 0: the plain images."""
    temporal: ClassVar[bool] = False
    """Whether the views are neighbouring frames of a video, not augmented copies."""
    compares_images: ClassVar[bool] = False
    """Whether the loss compares the images of a batch, and so needs at least two."""
    takes_alignment: ClassVar[bool] = False
    """Whether the constructor takes ``alignment``."""
    takes_decoder: ClassVar[bool] = False
    """Whether the constructor takes ``decoder``."""
    takes_layout: ClassVar[bool] = False
    """Whether the constructor takes ``layout``, the dataset's :class:`Layout`."""
    takes_teachers: ClassVar[bool] = False
    """Whether the constructor takes ``teachers``, which loads a frozen network by its name."""
    trains: ClassVar[bool] = True
    """Whether there is anything to train; without, a run ends before its first step."""
    reads: tuple[str, ...] = ()
    """Keys of the dataset's arrays that ``loss`` finds in ``batch.labels``, beside the images."""
    steps: int = 1
    """Steps of the run, for schedules that end on the last; set after construction."""

    def __init__(self, core: Core, config: Any = None) -> None:
        super().__init__()
        self.core, self.config = core, config

    @abstractmethod
    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        """Scalars: ``loss``, which is minimised, and the parts to log."""

    def after_step(self, step: int) -> None:
        """Move momentum copies and queues after the optimiser's step ``step``, from 0."""

    def done(self, batch: TrainBatch) -> float:
        """The share of the run's steps before this batch; 1 outside training."""
        return batch.step / self.steps if batch.purpose == "train" else 1.0

    def momentum(self, step: int) -> float:
        """The share of a momentum copy that stays after step ``step``.

        It rises from ``config.momentum`` to exactly 1 at the last step by a cosine (Grill et al.
        2020, arXiv 2006.07733, Section 3.2).
        """
        last, start = self.steps - 1, self.config.momentum
        if step >= last:
            return 1.0
        return 1.0 - (1.0 - start) * (math.cos(math.pi * step / last) + 1) / 2  # type: ignore[no-any-return]

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded | None:
        """The decoder's image and masks; none without a decoder.

        ``output`` is the core's for ``images`` (B, 3, H, W); autoregressive decoders read both.
        """
        return None

    def masks(self, images: Tensor, output: SlotOutput | None = None) -> Tensor | None:
        """Decoder masks float (B, K, h, w) of images (B, 3, H, W); none without a decoder."""
        decoded = self.decode(self.core(images) if output is None else output, images)
        return None if decoded is None else decoded.masks

    def predictor_masks(self, images: Tensor, output: SlotOutput | None = None) -> Tensor | None:
        """Masks float (B, K, h, w) of a predictor of what stands where; none without one.

        ``output`` is the core's for ``images`` (B, 3, H, W), if it is known already.
        """
        return None
