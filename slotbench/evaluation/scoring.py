"""What is taken of soft masks and decoded images in the pass, as they are too large to keep."""

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.format.schema import NOT_LABELLED
from slotbench.evaluation import health
from slotbench.evaluation.segmentation import resize


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


def reconstruction_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of each image, float32 (B,).

    ``decoded`` float (B, 3, h, w) is resized bilinearly to ``images`` float32 (B, 3, H, W) in
    [0, 1], so that a decoder of a lower resolution has no easier target.
    """
    resized = resize(decoded.float(), (images.shape[2], images.shape[3]))
    return (resized - images).square().mean(dim=(1, 2, 3))


def attention_entropy(attention: Tensor) -> Tensor:
    """:func:`slotbench.evaluation.health.attention_entropy`, on the CPU: float64 (B,).

    Not every accelerator has float64.
    """
    return health.attention_entropy(attention.float().cpu())
