"""What is scored of one batch: masks against the truth, reconstruction, slot health."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.base import SlotOutput
from slotbench.cores.decoders import Decoded
from slotbench.datasets.schema import NOT_LABELLED, Array
from slotbench.evaluation import health
from slotbench.evaluation.segmentation import labels_from_masks, resize, scores

Scores = dict[str, Array]
"""float64 (B,) by metric key; NaN where an image is left out."""


def mask_overlap(masks: Tensor, truth: Tensor, objects: int) -> Tensor:
    """Cosine similarity of each slot's mask with each object's: float32 (B, K, O) in [0, 1].

    ``masks`` float32 (B, K, H, W) in [0, 1]; ``truth`` uint8 (B, H, W), of which pixels of 255
    do not count. It is 0 where a mask is empty or an object has no pixel.
    """
    labels = truth.flatten(1)[:, None, :]
    index = torch.arange(1, objects + 1, device=truth.device)[:, None]
    true = functional.normalize((labels == index).float(), dim=2)
    found = functional.normalize(masks.flatten(2) * (labels != NOT_LABELLED), dim=2)
    return found @ true.mT


def segmentation_scores(
    output: SlotOutput, decoded: Decoded | None, images: Tensor, truth: Tensor
) -> Scores:
    """``<metric>/attention`` and, with a decoder, ``<metric>/decoder`` and ``recon_mse``.

    ``images`` float32 (B, 3, H, W) in [0, 1]; ``truth`` uint8 (B, H, W), on the CPU. ValueError
    where decoder masks are not finite.
    """
    sources = {"attention": output.attention}
    made: Scores = {}
    if decoded is not None:
        sources["decoder"] = decoded.masks
        made["recon_mse"] = reconstruction_error(decoded.image, images).cpu().double().numpy()
    for source, masks in sources.items():
        labels = labels_from_masks(masks.float(), (truth.shape[1], truth.shape[2])).cpu()
        for name, values in scores(labels, truth, masks.shape[1]).items():
            made[f"{name}/{source}"] = values.numpy()
    return made


def reconstruction_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of each image, float32 (B,).

    ``decoded`` float (B, 3, h, w) is resized bilinearly to ``images`` float32 (B, 3, H, W) in
    [0, 1], so that a decoder of a lower resolution has no easier target.
    """
    resized = resize(decoded.float(), (images.shape[2], images.shape[3]))
    return (resized - images).square().mean(dim=(1, 2, 3))


def health_scores(output: SlotOutput, again: SlotOutput | None, size: tuple[int, int]) -> Scores:
    """``health/<name>`` of one batch, on label maps of ``size`` (H, W).

    ``again`` is the core's output for the same images from another draw of its initial noise;
    without it, consistency is NaN.
    """
    attention, slots = output.attention.float().cpu(), output.attention.shape[1]
    labels = labels_from_masks(attention, size)
    consistency = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    if again is not None:
        other = labels_from_masks(again.attention.float().cpu(), size)
        consistency = health.consistency(labels, other, slots)
    made = {
        "empty_slots": health.empty_slots(labels, slots),
        "slot_cosine": health.slot_cosine(output.slots.cpu()),
        "attention_entropy": health.attention_entropy(attention),
        "consistency": consistency,
    }
    return {f"health/{name}": values.numpy().astype(np.float64) for name, values in made.items()}
