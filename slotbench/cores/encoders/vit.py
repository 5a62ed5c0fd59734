"""A vision transformer of timm's as an encoder: from scratch, or pretrained and frozen."""

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import safetensors.torch
import torch
from torch import Tensor, nn

from slotbench.errors import UserError
from slotbench.fields import Count, Options
from slotbench.files import read_bytes
from slotbench.registry import register

MOST_BYTES = 16 << 30
"""Largest file of weights that is read."""


@dataclass(frozen=True)
class ViTConfig(Options):
    model: str = "vit_tiny_patch16_224"
    """timm's name of the architecture."""
    patch: Count | None = 8
    """Pixels of a patch's side; none: as in the model's pretrained weights."""
    pretrained: bool = False
    """Whether timm fetches the model's pretrained weights."""
    weights: str | None = None
    """A file with weights: .safetensors, or a state dict that torch saved."""
    frozen: bool = False
    """Whether the weights are not trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pretrained and self.weights is not None:
            raise ValueError(f"weights={self.weights}: expected none where pretrained=true")


@register("encoders")
class ViT(nn.Module):
    """Patch tokens of a ViT (Dosovitskiy et al. 2020, arXiv 2010.11929), after its last norm.

    timm resamples weights of another image or patch size. ValueError where timm is not installed,
    has no such model, or cannot get the weights, and where the patches do not divide the image.
    """

    name = "vit"
    summary = "a vision transformer of timm's, from scratch or pretrained and frozen"
    source = "Dosovitskiy et al. 2020, arXiv 2010.11929"
    Config: ClassVar[type] = ViTConfig
    coordinates = 0

    def __init__(self, config: ViTConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.model = create(config.model, image_size, config.patch, config.pretrained)
        if config.weights is not None:
            load_weights(self.model, Path(config.weights))
        data = self.model.pretrained_cfg
        for name, key in (("mean", "mean"), ("deviation", "std")):
            self.register_buffer(name, torch.tensor(data[key])[:, None, None], persistent=False)
        self.width = int(self.model.num_features)
        self.grid = tuple(self.model.patch_embed.grid_size)
        if config.frozen:
            self.requires_grad_(False)
            self.eval()

    def train(self, mode: bool = True) -> "ViT":
        super().train(mode and not self.config.frozen)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Images (B, 3, H, W) in [0, 1] -> patch tokens (B, N, F) and their grid."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            inputs = (images - self.get_buffer("mean")) / self.get_buffer("deviation")
            tokens: Tensor = self.model.forward_features(inputs)
        height, width = self.grid
        return tokens[:, self.model.num_prefix_tokens :], (height, width)


def create(name: str, image_size: int, patch: int | None, pretrained: bool) -> Any:
    """A timm model without its classifier, for square images; ValueError as for :class:`ViT`."""
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            "vision transformers need timm; type: pip install 'slotbench[vit]'"
        ) from error
    if not timm.is_model(name):
        raise ValueError(f"timm cannot make {name!r}: it knows no such model")
    options: dict[str, Any] = {"num_classes": 0, "img_size": image_size}
    if patch is not None:
        options["patch_size"] = patch
    try:
        model: Any = timm.create_model(name, **options)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"timm cannot make {name!r} for {image_size} pixels: {error}") from error
    if not hasattr(model, "patch_embed") or not hasattr(model, "num_prefix_tokens"):
        raise ValueError(f"{name!r} is no vision transformer")
    side = model.patch_embed.patch_size[0]
    if image_size % side:
        raise ValueError(f"patches of {side} pixels do not divide the image size {image_size}")
    if not pretrained:
        return model
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:
        # Without a network, the hub's client raises errors of several libraries.
        raise ValueError(
            f"the pretrained weights of {name!r} cannot be fetched ({type(error).__name__}); give "
            "the path of a file of them: encoder.weights, or for a teacher objective.weights "
            "(prepare: --features-weights)"
        ) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights from a file, running no code in it.

    timm resamples position and patch embeddings of other sizes and translates the names of other
    repositories. ValueError where the weights do not fit; the model must not be used then.
    """
    try:
        content = read_bytes(path, MOST_BYTES)
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UserError as error:
        raise ValueError(f"no weights: {error.message.rstrip('.')}") from error
    except Exception as error:
        raise ValueError(f"{path} holds no weights that can be read safely: {error}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected tensors by name")
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        if translate is not None:
            state = translate(dict(state), model)
        # Extra weights, such as a classifier's, are ignored.
        missing = model.load_state_dict(state, strict=False).missing_keys
    except (RuntimeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(f"the weights of {path} are of another model: {error}") from error
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of the model's weights: {missing[0]}, ...")
