"""A decoder on a frozen core: masks for objectives that have no decoder.

The decoder is the same for every core and objective, so its masks depend on the slots alone. It
is :data:`DECODER`, on slots standardised with the mean and deviation of the training slots. It
learns the area-averaged image by squared error: 2,000 steps of 16 images, Adam, 100 steps of
warm-up to 2e-3, then a cosine to 0.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from slotbench.cores.decoders.spatial import Bilinear, BilinearConfig, Decoded
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.schema import Array
from slotbench.evaluation.frozen_pass import Representations, joined
from slotbench.evaluation.masks import labels_from_masks, reconstruction_error
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.probes import Standardised, batches, fit
from slotbench.evaluation.result import Progress, Result, silent
from slotbench.evaluation.segmentation import RANGES, UNLABELLED, scores
from slotbench.registry import register
from slotbench.rng import building, numpy_generator

SOURCE = "probe-decoder"
DECODER = BilinearConfig(channels=32, depth=1, grid=16, size=32, bounded=False)
"""Spelled out, so that new defaults for training change no score. Unbounded colours learn fast."""
STEPS, BATCH, LEARNING_RATE, WARMUP = 2_000, 16, 2e-3, 0.05
CPU = torch.device("cpu")
_BLOCK = 64


@register("metrics")
class DecoderProbe(Metric):
    """``<metric>/probe-decoder`` and ``recon_mse/probe-decoder``.

    A decoder learns to reconstruct the training images from the frozen slots. Its masks are scored
    like any others. It takes minutes on two cores, so it is computed only where it is named.
    Without slots or training images it is skipped; without a labelled pixel only the error is
    there.
    """

    name = "decoder-probe"
    summary = "masks of one decoder for all, trained on frozen slots: minutes"
    source = "slotbench, docs/evaluation.md"
    version = 1
    keys = (f"*/{SOURCE}",)
    better = 1
    directions: ClassVar = {"recon_mse/*": -1}
    ranges = RANGES
    default = False
    needs = ("slots", "labelled")
    cost = 100_000.0

    def splits(self, dataset: DatasetFile) -> dict[str, tuple[str, ...]]:
        del dataset
        return {JUDGED: self.needs, "train": ("slots",)}

    def compute(self, context: Context) -> dict[str, Result]:
        train, made = context.made["train"], context.judged
        decoder = train_decoder(
            train.slots,
            targets(train),
            seed=context.seed,
            steps=min(STEPS, context.probe_steps),
            device=context.device,
            progress=context.progress(),
        )
        values = joined(_scored(decoder, made))
        if not made.labelled:
            context.skip(self.name, UNLABELLED)
            values = {"recon_mse": values["recon_mse"]}
        return context.means({f"{name}/{SOURCE}": each for name, each in values.items()})


def targets(made: Representations) -> Tensor:
    """The images, area-averaged to the size of :data:`DECODER`: float32 (n, 3, 32, 32), [0, 1]."""
    parts = []
    for start in range(0, made.n, 256):
        stop = min(made.n, start + 256)
        images = images_on(made.dataset.read(made.split, start, stop, ("image",)), CPU)
        parts.append(functional.adaptive_avg_pool2d(images, DECODER.size))
    return torch.cat(parts)


def train_decoder(
    slots: Array,
    images: Tensor,
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> nn.Module:
    """A decoder of slots (B, K, D), trained on ``slots`` float32 (n, K, D) and their ``images``.

    ``images`` are as :func:`targets`. Weights and batches are drawn from (seed, "probe-decoder").
    """
    inputs = torch.from_numpy(slots)
    with building(seed, "probe-decoder"):
        decoder = Bilinear(DECODER, inputs.shape[2], DECODER.size)
    model = nn.Sequential(Standardised(inputs), decoder).to(device)
    inputs, images = inputs.to(device), images.to(device)
    drawn = batches(len(inputs), numpy_generator(seed, "probe-decoder", "batches"), BATCH)

    def loss() -> Tensor:
        index = next(drawn).to(device)
        return functional.mse_loss(model(inputs[index]).image, images[index])

    with torch.enable_grad():
        fit(
            list(model.parameters()),
            loss,
            steps=steps,
            learning_rate=LEARNING_RATE,
            schedule=lambda adam: LambdaLR(adam, partial(_share, steps=steps)),
            progress=progress,
        )
    return model.eval()


def _share(step: int, steps: int) -> float:
    """Learning rate at a step, relative to its peak."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _scored(decoder: nn.Module, made: Representations) -> Iterator[dict[str, Array]]:
    """Each score of the decoder's masks and its error, float64 (B,), block by block."""
    device = next(decoder.parameters()).device
    for start in range(0, made.n, _BLOCK):
        stop = min(made.n, start + _BLOCK)
        batch = made.dataset.read(made.split, start, stop, ("image", "mask"))
        images = images_on(batch, device)
        truth = torch.from_numpy(batch["mask"])
        with torch.no_grad():
            decoded: Decoded = decoder(torch.from_numpy(made.slots[start:stop]).to(device))
        labels = labels_from_masks(decoded.masks, (truth.shape[1], truth.shape[2])).cpu()
        found = scores(labels, truth, decoded.masks.shape[1])
        assert decoded.image is not None  # it is a decoder of images
        found["recon_mse"] = reconstruction_error(decoded.image, images).cpu().double()
        yield {name: values.numpy() for name, values in found.items()}
