"""Teachers: frozen networks whose features are reconstructed, or stored in a dataset's file."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from slotbench.cores.layers import content
from slotbench.errors import UserError

EXAMPLES = "For example: timm:vit_base_patch16_224.dino, or the directory or id of a run"


class Teacher:
    """A frozen encoder: images float32 (B, 3, H, W) in [0, 1] -> features float32 (B, N, F).

    It passes no gradient, computes in single precision even under autocast, and takes images of
    any device and size.
    """

    def __init__(self, name: str, encoder: nn.Module, image_size: int, source: str) -> None:
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".")
        self.encoder = encoder.requires_grad_(False).eval()
        self.image_size = image_size
        digest = hashlib.sha256()
        for key, value in sorted(encoder.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.description = f"{source}, {image_size} pixels, weights {digest.hexdigest()[:16]}"
        """The network, down to a hash of its weights."""

    def to(self, device: torch.device) -> "Teacher":
        """Move the encoder to a device; returns the teacher itself."""
        self.encoder.to(device)
        return self

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images float32 (B, 3, H, W) in [0, 1] -> features float32 (B, N, F)."""
        device = next(self.encoder.parameters()).device
        images = resized(images.to(device), self.image_size)
        with torch.autocast(device.type, enabled=False):
            features: Tensor = self.encoder(images.float())[0]
        return content(features, self.encoder).float()


Teachers = Callable[[str, Path | None], Teacher]
"""Loads a teacher by name, and from a file of weights where one is named."""


def resized(images: Tensor, size: int) -> Tensor:
    """Images (B, 3, H, W) as (B, 3, size, size), by bilinear interpolation with antialiasing."""
    if images.shape[2:] == (size, size):
        return images
    return nn.functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    ).clamp(0, 1)


def timm_teacher(text: str, weights: Path | None = None, image_size: int = 224) -> Teacher:
    """The teacher ``timm:MODEL``, which sees images of ``image_size`` pixels.

    Its weights are read from the file ``weights``, or fetched. Its features are
    ``forward_features`` without the class token: after the last LayerNorm (DINOSAUR's code takes
    them before it). :class:`UserError` where there is no such model, or no weights.
    """
    from slotbench.cores.encoders.vit import ViT, ViTConfig

    kind, _, model = text.partition(":")
    if kind != "timm" or not model:
        raise UserError(f"{text!r} names no teacher.", EXAMPLES)
    file = None if weights is None else str(weights)
    try:
        encoder = ViT(ViTConfig(model, None, weights is None, file, frozen=True), image_size)
    except ValueError as error:
        raise UserError(f"timm:{model}: {error}.", EXAMPLES) from error
    return Teacher(model, encoder, image_size, f"timm:{model}")
