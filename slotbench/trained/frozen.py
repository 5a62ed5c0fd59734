"""A trained core for inference: ``slotbench.load(run)``."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.config.run_config import RunConfig
from slotbench.cores.core import Core, SlotOutput
from slotbench.errors import SlotbenchError, UserError
from slotbench.evaluation.masks import SOURCES, labels_from_masks
from slotbench.objectives.objective import Objective
from slotbench.registry import unknown
from slotbench.results.models import set_slots, trained
from slotbench.results.run import Run


class FrozenCore(nn.Module):
    """A trained core in evaluation mode whose weights take no gradient.

    ``core(images)`` gives a :class:`slotbench.cores.core.SlotOutput`. The slots' start depends on
    ``seed`` alone and is the same for every image, so the output for an image does not depend on
    its batch.
    """

    def __init__(self, objective: Objective, run: Run, config: RunConfig) -> None:
        super().__init__()
        self.objective, self.run, self.config = objective.requires_grad_(False), run, config
        self.eval()

    @property
    def core(self) -> Core:
        """The core itself, which takes images of ``image_size`` pixels only."""
        return self.objective.core

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that the core was trained on."""
        return self.config.dataset.image_size

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        del mode
        return super().train(False)

    def noise(self, batch: int, seed: int = 0) -> Tensor | None:
        """The slots' start (B, K, D), equal for all images; None where the core draws none."""
        drawn = self.core.noise(1, torch.Generator().manual_seed(seed))
        return None if drawn is None else drawn.expand(batch, *drawn.shape[1:])

    def fitted(self, images: Tensor) -> Tensor:
        """Images float (B, 3, H, W) in [0, 1] at the core's size; ValueError for others."""
        if not isinstance(images, Tensor):
            raise ValueError(
                f"images are a {type(images).__name__}; expected a tensor float (B, 3, H, W) in "
                "[0, 1]. From a NumPy array: torch.from_numpy(images)"
            )
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype} {tuple(images.shape)}; expected float (B, 3, H, W) "
                "in [0, 1]. From uint8 (B, H, W, 3): images.permute(0, 3, 1, 2) / 255"
            )
        if images.numel() and not (images.min() >= -0.01 and images.max() <= 1.01):
            low, high = float(images.min()), float(images.max())
            raise ValueError(
                f"images range from {low:.4g} to {high:.4g}; expected [0, 1]. The core normalizes "
                "them itself; pixels of 0 to 255 are divided by 255."
            )
        images, size = images.float(), (self.image_size, self.image_size)
        if images.shape[2:] == size:
            return images
        return functional.interpolate(images, size, mode="bilinear", antialias=True)

    def forward(self, images: Tensor, noise: Tensor | None = None, *, seed: int = 0) -> SlotOutput:
        """Slots (B, K, D), attention (B, K, H', W') and features of images (B, 3, H, W) in [0, 1].

        Images of another size are resized. ``noise`` (B, K, D) replaces the draw from ``seed``.
        """
        images = self.fitted(images)
        output: SlotOutput = self.core(
            images, self.noise(len(images), seed) if noise is None else noise
        )
        return output

    def masks(self, images: Tensor, output: SlotOutput, source: str = "attention") -> Tensor:
        """Soft masks float (B, K, h, w) of a source: ``attention``, ``decoder`` or ``predictor``.

        ``output`` is the core's for the same images. :class:`UserError` where the model has no
        such masks, :class:`SlotbenchError` where they are not finite.
        """
        if source not in SOURCES:
            raise unknown("mask source", source, SOURCES)
        found: Tensor | None = output.attention
        if source == "decoder":
            decoded = self.objective.decode(output, self.fitted(images))
            found = None if decoded is None else decoded.masks
        elif source == "predictor":
            found = self.objective.predictor_masks(self.fitted(images), output)
        if found is None:
            raise UserError(
                f"--source {source}: the objective {self.config.names['objective']!r} has no "
                f"{source}.",
                "Leave it out for the masks of the attention.",
            )
        if not bool(torch.isfinite(found).all() and torch.isfinite(output.slots).all()):
            raise SlotbenchError(
                f"{self.run.model}: slots or masks hold NaN or infinite values.",
                "The training diverged; train the run again.",
            )
        return found.float()

    def labels(self, images: Tensor, source: str = "attention", *, seed: int = 0) -> Tensor:
        """Label maps int64 (B, H, W) in [0, K): the slot with the greatest mask at each pixel."""
        with torch.no_grad():
            output = self(images, seed=seed)
            size = (images.shape[2], images.shape[3])
            return labels_from_masks(self.masks(images, output, source), size)


def load(run: Run, *, slots: int | None = None, device: torch.device | str = "cpu") -> FrozenCore:
    """The trained core of a finished run; with ``slots``, of another number of slots.

    :class:`UserError` where the run has no model, or its weights hold a fixed number of slots.
    """
    config = run.config()
    objective = trained(run, config)
    if slots is not None:
        set_slots(objective.core, slots)
    return FrozenCore(objective.to(device), run, config)
