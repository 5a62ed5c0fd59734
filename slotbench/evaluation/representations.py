"""One pass of a frozen core over a split: its slots, and the scores of its masks."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from slotbench.cores.base import Core, SlotOutput
from slotbench.cores.decoders import Decoded
from slotbench.datasets.schema import NOT_LABELLED, Array, Batch, DatasetFile
from slotbench.errors import SlotbenchError
from slotbench.evaluation.scoring import health_scores, mask_overlap, segmentation_scores
from slotbench.evaluation.segmentation import resize
from slotbench.rng import torch_generator

Decode = Callable[[SlotOutput], Decoded | None]
Progress = Callable[[int, int], None]


@dataclass
class Representations:
    """What a core makes of the first n images of a split."""

    slots: Array
    """float32 (n, K, D)."""
    features: Array
    """float32 (n, F): the encoder's features, averaged over positions."""
    overlap: Array
    """float32 (n, K, O) in [0, 1]: cosine similarity of attention masks with true masks."""
    visible: Array
    """bool (n, O)."""
    properties: dict[str, Array]
    """float32 (n, O[, d]) or int16 (n, O), by property name."""
    labelled: int
    """How many of the images have a labelled pixel."""
    scores: dict[str, Tensor]
    """float64 (n,) by metric key, NaN where an image is left out."""


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode and without gradients; each part's mode is put back."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def initial_noise(
    core: Core, split: str, start: int, stop: int, *, seed: int, draw: str = "first"
) -> Tensor | None:
    """The slots' initial noise (stop - start, K, D) for images of a split; none if unused.

    Each image's is drawn from (seed, split, draw, index) alone, so that the size of the
    batches and the number of images change nothing.
    """
    drawn = [
        core.noise(1, torch_generator(seed, "evaluate", split, draw, index))
        for index in range(start, stop)
    ]
    noise = [one for one in drawn if one is not None]
    return torch.cat(noise) if noise else None


def collect(
    core: Core,
    decode: Decode | None,
    dataset: DatasetFile,
    split: str,
    limit: int,
    *,
    seed: int,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    score: Collection[str] = (),
    progress: Progress | None = None,
) -> Representations:
    """Runs the core on the first ``limit`` images of a split (or all, if fewer).

    ``score`` holds the groups whose per-image scores are wanted: ``segmentation`` (``decode``
    gives the decoder's image and masks, where there is a decoder) and ``health``, which takes
    a second run of the core. ``device`` is where the core is.

    :class:`SlotbenchError` where slots or masks are not finite or the split has no images;
    :class:`UserError` where there is no such split or it cannot be read.
    """
    total = min(limit, dataset.size(split))
    if total < 1:
        raise SlotbenchError(f"{dataset.path}: split {split!r} has no images to evaluate.")
    properties = dataset.layout.properties
    keys = ("image", "mask", "visible", *(prop.key for prop in properties))
    kept: dict[str, list[Array]] = {}
    with frozen(core):
        for start in range(0, total, batch_size):
            stop = min(start + batch_size, total)
            batch = dataset.read(split, start, stop, keys)
            images = torch.from_numpy(batch["image"]).to(device).permute(0, 3, 1, 2).float() / 255
            output = core(images, initial_noise(core, split, start, stop, seed=seed))
            _check(core, output._asdict(), split, start)
            made = _stored(output, batch, dataset.layout.objects)
            if "segmentation" in score:
                decoded = None if decode is None else decode(output)
                if decoded is not None:
                    _check(core, {"decoder masks": decoded.masks}, split, start)
                truth = torch.from_numpy(batch["mask"])
                made |= segmentation_scores(output, decoded, images, truth)
            if "health" in score:
                noise = initial_noise(core, split, start, stop, seed=seed, draw="second")
                again = None if noise is None else core(images, noise)
                made |= health_scores(output, again, (images.shape[2], images.shape[3]))
            for name, values in made.items():
                kept.setdefault(name, []).append(values)
            if progress is not None:
                progress(stop, total)
    joined = {name: np.concatenate(values) for name, values in kept.items()}
    return Representations(
        slots=joined.pop("slots"),
        features=joined.pop("features"),
        overlap=joined.pop("overlap"),
        visible=joined.pop("visible"),
        properties={prop.name: joined.pop(prop.key) for prop in properties},
        labelled=int(joined.pop("labelled").sum()),
        scores={name: torch.from_numpy(values) for name, values in joined.items()},
    )


def _check(core: Core, tensors: dict[str, Tensor], split: str, start: int) -> None:
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor).flatten(1).all(dim=1)
        if not finite.all():
            first = start + int(finite.logical_not().nonzero()[0])
            raise SlotbenchError(
                f"Core {type(core).__name__}: the {name} of {split} image {first} hold NaN or "
                "infinite values.",
                "Its weights are damaged or its training diverged; train it again.",
            )


def _stored(output: SlotOutput, batch: Batch, objects: int) -> dict[str, Array]:
    """What is kept of a batch for the probes."""
    mask = torch.from_numpy(batch["mask"]).to(output.attention.device)
    attention = resize(output.attention.float(), (mask.shape[1], mask.shape[2]))
    return {
        "slots": output.slots.float().cpu().numpy(),
        "features": output.features.float().mean(dim=1).cpu().numpy(),
        "overlap": mask_overlap(attention, mask, objects).cpu().numpy(),
        "labelled": (batch["mask"] != NOT_LABELLED).any(axis=(1, 2)),
        **{key: array for key, array in batch.items() if key not in ("image", "mask")},
    }
