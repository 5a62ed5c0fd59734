"""The base of every core: images in, slots and attention out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor, nn

from slotbench.fields import Options
from slotbench.rng import sent, torch_generator


class SlotOutput(NamedTuple):
    """A core's output for B images.

    A core may drop slots that an image does not need: such a slot is a zero vector, and its
    attention is 0 everywhere.
    """

    slots: Tensor
    """float (B, K, D)."""
    attention: Tensor
    """float (B, K, H', W'), in [0, 1]; sums to 1 over K at each position."""
    features: Tensor
    """float (B, N, F): the encoder's output, N = H'W' positions in row order."""


@dataclass(frozen=True)
class CoreConfig(Options):
    slots: Annotated[int, Interval(ge=1, le=1024)] | None = None
    """Number of slots K; none: one more than the fullest image has objects."""
    width: Annotated[int, Interval(ge=1, le=8192)] = 64
    """Slot width D."""


class Core(nn.Module, ABC):
    """An encoder, and a module that turns its features into slots.

    A subclass names its ``Config``, a frozen dataclass. Its constructor takes one, and an encoder.
    """

    version: ClassVar[int] = 1
    """Raised when a change gives other numbers from the same weights."""
    Config: ClassVar[type[CoreConfig]] = CoreConfig
    draws: ClassVar[bool] = True
    """Whether the slots start from noise."""
    extra_noise: ClassVar[int] = 0
    """Random numbers that each slot takes beside the D of its start."""

    def __init__(self, config: Any, encoder: nn.Module) -> None:
        super().__init__()
        if config.slots is None:
            raise ValueError("slots=None: expected a number of at least 1")
        self.config, self.encoder = config, encoder

    @property
    def num_slots(self) -> int:
        """Number of slots K."""
        return int(self.config.slots)

    @property
    def any_slots(self) -> bool:
        """Whether the same weights work with any number of slots."""
        return False

    def noise(self, batch: int, generator: torch.Generator) -> Tensor | None:
        """Standard normal noise (B, K, D + ``extra_noise``), on the CPU; none if unused."""
        if not self.draws:
            return None
        numbers = self.config.width + self.extra_noise
        return torch.randn(batch, self.num_slots, numbers, generator=generator)

    @abstractmethod
    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        """Images float32 (B, 3, H, W) in [0, 1]; ``noise`` as :meth:`noise` draws it.

        Without noise every call uses the same fixed draw, equal for all images.
        """

    def start_noise(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """``noise`` on the images' device, or the fixed draw; only for cores that draw noise."""
        if noise is None:
            fixed = self.noise(1, torch_generator("slots", "fixed"))
            assert fixed is not None
            noise = fixed.expand(len(images), -1, -1)
        return sent(noise, images.device)
