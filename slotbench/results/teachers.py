"""Teachers: frozen networks whose features are reconstructed, or stored in a dataset's file."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from torch import Tensor, nn

from slotbench.errors import UserError

_results_dir: ContextVar[Path] = ContextVar("results_dir", default=Path("results"))
EXAMPLES = "For example: timm:vit_base_patch16_224.dino, or the directory or id of a run"


class Teacher:
    """A frozen encoder: images float32 (B, 3, H, W) in [0, 1] -> features float32 (B, N, F).

    It stays in evaluation mode, passes no gradient, computes in single precision under autocast
    too, and takes images of any device and size to its own.
    """

    def __init__(self, name: str, encoder: nn.Module, image_size: int, source: str) -> None:
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".")
        self.encoder = encoder.requires_grad_(False).eval()
        self.image_size = image_size
        digest = hashlib.sha256()
        for key, value in sorted(encoder.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.description = f"{source}, {image_size} pixels, weights {digest.hexdigest()[:16]}"
        """What made the features, down to a hash of its weights."""

    def to(self, device: torch.device) -> "Teacher":
        """The same teacher, on that device from now on."""
        self.encoder.to(device)
        return self

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        device = next(self.encoder.parameters()).device
        images = resized(images.to(device), self.image_size)
        with torch.autocast(device.type, enabled=False):
            features: Tensor = self.encoder(images.float())[0]
        # Coordinates say nothing about the image.
        coordinates = int(getattr(self.encoder, "coordinates", 0))
        return features[..., : features.shape[2] - coordinates].float()


def resized(images: Tensor, size: int) -> Tensor:
    """Images (B, 3, H, W) as (B, 3, size, size), by bilinear interpolation with antialiasing."""
    if images.shape[2:] == (size, size):
        return images
    return nn.functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    ).clamp(0, 1)


@contextmanager
def runs_in(results_dir: Path) -> Iterator[None]:
    """Inside, a teacher that is named by a run's id is looked for in this folder of runs."""
    token = _results_dir.set(results_dir)
    try:
        yield
    finally:
        _results_dir.reset(token)


def load_teacher(text: str, weights: Path | None = None, image_size: int = 224) -> Teacher:
    """``timm:MODEL``, or an earlier run, whose encoder becomes the teacher.

    A ViT of timm's sees images of ``image_size`` pixels; its weights are fetched or, where
    ``weights`` names a file, read. Its features are ``forward_features`` without the class token,
    so behind the last LayerNorm; the code of DINOSAUR takes them before it. A run's encoder sees
    the size that it was trained on, and its features are those without coordinates.
    :class:`UserError` where there is no such model or run, or its weights cannot be had.
    """
    kind, colon, model = text.partition(":")
    if kind == "timm" and colon:
        return _of_timm(model, weights, image_size)
    if weights is not None:
        raise UserError(f"{text}: a run has weights of its own.", "Leave the weights' file out.")
    return _of_run(text, _results_dir.get())


def _of_timm(model: str, weights: Path | None, image_size: int) -> Teacher:
    from slotbench.cores.encoders.vit import ViT, ViTConfig

    file = None if weights is None else str(weights)
    try:
        encoder = ViT(ViTConfig(model, None, weights is None, file, frozen=True), image_size)
    except ValueError as error:
        raise UserError(f"timm:{model}: {error}.", EXAMPLES) from error
    return Teacher(model, encoder, image_size, f"timm:{model}")


def _of_run(reference: str, results_dir: Path) -> Teacher:
    from slotbench.results.run import find
    from slotbench.training.loop import trained

    run = find(reference, results_dir)
    config = run.config()
    encoder = trained(run, config).core.encoder
    return Teacher(f"run-{config.id}", encoder, config.dataset.image_size, f"run {config.id}")
