"""A model's soft masks, and what a pass computes from them because it cannot store them."""

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.schema import NOT_LABELLED
from slotbench.objectives.objective import Objective

SOURCES = ("attention", "decoder", "predictor")
"""Where masks come from: the core's attention, or the objective's decoder or predictor."""


def masks_of(
    objective: Objective, output: SlotOutput, images: Tensor, sources: Collection[str] = SOURCES
) -> tuple[dict[str, Tensor], Decoded | None]:
    """The soft masks float32 (B, K, h, w) that a model has, by source, and what it decodes.

    ``output`` is the core's for ``images``. Attention is always there; decoder and predictor run
    only where ``sources`` names them.
    """
    found: dict[str, Tensor | None] = {"attention": output.attention}
    decoded = objective.decode(output, images) if "decoder" in sources else None
    if decoded is not None:
        found["decoder"] = decoded.masks
    if "predictor" in sources:
        found["predictor"] = objective.predictor_masks(images, output)
    return {key: masks.float() for key, masks in found.items() if masks is not None}, decoded


def resize(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks float (B, K, h, w) resized bilinearly to (B, K, H, W), ``size`` being (H, W)."""
    if masks.shape[-2:] == size:
        return masks
    return functional.interpolate(masks, size=size, mode="bilinear", align_corners=False)


def labels_from_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Label maps int64 (B, H, W) in [0, K): the slot with the greatest mask at each pixel.

    ``masks`` is float (B, K, h, w), of any scale; it is resized bilinearly to ``size`` (H, W)
    before the argmax. Where slots tie, the first wins. ValueError where a mask is not finite.
    """
    if not torch.isfinite(masks).all():
        raise ValueError("masks hold NaN or infinite values")
    return resize(masks, size).max(dim=1).indices  # several times as fast as argmax


def mask_overlap(masks: Tensor, truth: Tensor, objects: int) -> Tensor:
    """Cosine similarity of each slot's mask with each object's: float32 (B, K, O) in [0, 1].

    ``masks`` float32 (B, K, H, W) in [0, 1]; ``truth`` uint8 (B, H, W), whose pixels of 255 do
    not count. It is 0 where a mask is empty or an object has no pixel.
    """
    labels = truth.flatten(1)[:, None, :]
    index = torch.arange(1, objects + 1, dtype=truth.dtype, device=truth.device)[:, None]
    true = (labels == index).float()
    found = masks.flatten(2) * (labels != NOT_LABELLED)
    sizes = found.norm(dim=2)[:, :, None] * true.sum(dim=2).sqrt()[:, None]
    cosine: Tensor = found @ true.mT / sizes.clamp(min=1e-12)
    return cosine


def centroids(masks: Tensor) -> Tensor:
    """Centres of mass float64 (B, K, 2), x before y, the frame being [-1, 1] each way.

    ``masks`` float (B, K, h, w), at least 0; NaN where a mask is 0 everywhere.
    """
    masks = masks.double()
    height, width = masks.shape[-2:]
    total = masks.sum(dim=(2, 3))
    x, y = (
        (2 * torch.arange(size, dtype=torch.float64, device=masks.device) + 1) / size - 1
        for size in (width, height)
    )
    along = torch.stack([masks.sum(dim=2) @ x, masks.sum(dim=3) @ y], dim=2)
    # 0 / 0 is NaN, which marks a slot without a place.
    return along / total[:, :, None]


def attention_entropy(attention: Tensor) -> Tensor:
    """Mean entropy of a position's attention over slots, divided by log K: float64 (B,), [0, 1].

    ``attention`` float (B, K, H', W'), summing to 1 over K at each position. The result is on the
    CPU: not every accelerator has float64. NaN for one slot, which leaves no choice.
    """
    attention = attention.float().cpu()
    slots = attention.shape[1]
    if slots < 2:
        return torch.full((len(attention),), torch.nan, dtype=torch.float64)
    entropy: Tensor = torch.special.entr(attention).sum(dim=1)
    return entropy.double().mean(dim=(1, 2)) / math.log(slots)


def reconstruction_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of each image, float32 (B,).

    ``decoded`` float (B, 3, h, w) is resized bilinearly to ``images`` float32 (B, 3, H, W) in
    [0, 1], so that a decoder of a lower resolution has no easier target.
    """
    resized = resize(decoded.float(), (images.shape[2], images.shape[3]))
    return (resized - images).square().mean(dim=(1, 2, 3))
