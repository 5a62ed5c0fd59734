"""What every core is: images in, slots and attention out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from slotbench.rng import torch_generator


class SlotOutput(NamedTuple):
    """What a core makes of B images."""

    slots: Tensor
    """float (B, K, D)."""
    attention: Tensor
    """float (B, K, H', W'), in [0, 1]; sums to 1 over K at each position."""
    features: Tensor
    """float (B, N, F): the encoder's output, N = H'W' positions in row order."""


@dataclass(frozen=True)
class CoreConfig:
    """What every core's configuration has."""

    slots: int | None = None
    """Number of slots K; none: one for each object of the fullest image and one more."""
    width: int = 64
    """Slot width D."""


def check_positive(config: Any, *fields: str) -> None:
    """ValueError naming the first of these fields that is not above 0."""
    for field in fields:
        value = getattr(config, field)
        if not value > 0:
            raise ValueError(f"{field}={value}: expected above 0")


class Core(nn.Module, ABC):
    """An encoder and what turns its features into slots.

    A subclass names its ``Config`` (a frozen dataclass) and takes it with an encoder. A change
    that gives other numbers from the same weights raises ``version``.
    """

    version: ClassVar[int] = 1
    Config: ClassVar[type[CoreConfig]] = CoreConfig

    def __init__(self, config: Any, encoder: nn.Module) -> None:
        super().__init__()
        if config.slots is None or config.slots < 1:
            raise ValueError(f"slots={config.slots}: expected at least 1")
        self.config, self.encoder = config, encoder

    @property
    def num_slots(self) -> int:
        return int(self.config.slots)

    @property
    def any_slots(self) -> bool:
        """Whether the same weights give any number of slots: none belongs to one slot."""
        return False

    def noise(self, batch: int, generator: torch.Generator) -> Tensor | None:
        """Standard normal noise (B, K, D) for the slots' start, on the CPU; none if unused.

        A core that starts from something else may draw another number than D for each slot.
        """
        return torch.randn(batch, self.num_slots, self.config.width, generator=generator)

    @abstractmethod
    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        """Images float32 (B, 3, H, W) in [0, 1]; ``noise`` as :meth:`noise` draws it.

        Without noise every call uses the same fixed draw, equal for all images.
        """

    def start_noise(self, images: Tensor, noise: Tensor | None) -> Tensor | None:
        """``noise`` on the images' device, or the fixed draw where none is given."""
        if noise is None:
            fixed = self.noise(1, torch_generator("slots", "fixed"))
            noise = None if fixed is None else fixed.expand(len(images), -1, -1)
        return None if noise is None else noise.to(images.device, non_blocking=True)
