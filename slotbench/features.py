"""Teachers: frozen networks whose features are reconstructed, or stored in a dataset's file."""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slotbench.errors import UserError

EXAMPLES = "For example: timm:vit_base_patch16_224.dino, or the directory or id of a run"


class Teacher:
    """A frozen encoder: images float32 (B, 3, H, W) in [0, 1] -> features float32 (B, N, F).

    It stays in evaluation mode, passes no gradient, and takes images of any device to its own.
    """

    def __init__(self, name: str, encoder: nn.Module, source: str) -> None:
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        self.encoder = encoder.requires_grad_(False).eval()
        digest = hashlib.sha256()
        for key, value in sorted(encoder.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.description = f"{source}, weights {digest.hexdigest()[:16]}"
        """What made the features, down to a hash of its weights."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        device = next(self.encoder.parameters()).device
        features: Tensor = self.encoder(images.to(device))[0]
        return features.float()


def load_teacher(
    text: str, weights: Path | None = None, image_size: int = 224, results_dir: Path | None = None
) -> Teacher:
    """``timm:MODEL``, or an earlier run, whose encoder becomes the teacher.

    A ViT takes images of ``image_size`` pixels (its own weights, or those of the file
    ``weights``). :class:`UserError` where there is no such model or run, or its weights cannot
    be had.
    """
    kind, colon, model = text.partition(":")
    if kind == "timm" and colon:
        return _of_timm(model, weights, image_size)
    if weights is not None:
        raise UserError(f"{text}: a run has weights of its own.", "Leave the weights' file out.")
    return _of_run(text, Path("results") if results_dir is None else results_dir)


def _of_timm(model: str, weights: Path | None, image_size: int) -> Teacher:
    from slotbench.cores.encoders_vit import ViT, ViTConfig

    try:
        config = ViTConfig(
            model, None, weights is None, None if weights is None else str(weights), True
        )
        encoder = Resized(ViT(config, image_size), image_size)
    except ValueError as error:
        raise UserError(f"timm:{model}: {error}.", EXAMPLES) from error
    return Teacher(model, encoder, f"timm:{model} at {image_size} pixels")


def _of_run(reference: str, results_dir: Path) -> Teacher:
    from slotbench.runs import find
    from slotbench.train import trained

    run = find(reference, results_dir)
    config = run.config()
    return Teacher(f"run-{config.id}", trained(run, config).core.encoder, f"run {config.id}")


class Resized(nn.Module):
    """An encoder behind a bilinear resize of its images to the size that it was made for."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder, self.size = encoder, size

    def forward(self, images: Tensor) -> Any:
        if images.shape[-1] != self.size:
            images = nn.functional.interpolate(
                images, (self.size, self.size), mode="bilinear", antialias=True
            ).clamp(0, 1)
        return self.encoder(images)
