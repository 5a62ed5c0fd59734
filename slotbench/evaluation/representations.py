"""One pass of a frozen core over a split: all that any metric reads of the model."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.errors import SlotbenchError
from slotbench.evaluation.position import centroids
from slotbench.evaluation.scoring import attention_entropy, mask_overlap, reconstruction_error
from slotbench.evaluation.segmentation import labels_from_masks, resize
from slotbench.rng import torch_generator

Decode = Callable[[SlotOutput, Tensor], Decoded | None]
Progress = Callable[[int, int], None]
DRAWS = ("first", "second", "third")
"""Draws of the initial noise; everything but label maps is that of the first."""
ARRAYS = (
    "slots",
    "features",
    "overlap",
    "centroids",
    "labelled",
    "entropy",
    "recon_mse",
    *(f"labels/{source}/{draw}" for source in ("attention", "decoder") for draw in DRAWS),
)
"""What a pass can give, for n images:

- ``slots`` float32 (n, K, D); ``features`` float32 (n, F): the encoder's, averaged over positions;
- ``overlap`` float32 (n, K, O) in [0, 1]: cosine similarity of attention masks with true masks;
- ``centroids`` float64 (n, K, 2): centres of the attention masks, x before y, in [-1, 1];
- ``labelled`` bool (n,): the image has a labelled pixel;
- ``entropy`` float64 (n,) in [0, 1]: of the attention, over log K; NaN for one slot;
- ``recon_mse`` float64 (n,): of the decoder's image;
- ``labels/<source>/<draw>`` uint8 (int16 beyond 256 slots) (n, H, W): the slot with the greatest
  mask at each pixel of the image.
"""


@dataclass
class Representations:
    """What a model makes of the first n images of a split, and what is true of them."""

    dataset: DatasetFile
    split: str
    n: int
    arrays: Mapping[str, Array]
    """By name, as :data:`ARRAYS`; what the model cannot give is not there. Predictions from
    elsewhere may have label maps of a source of another name."""

    @property
    def slots(self) -> Array:
        """float32 (n, K, D)."""
        return self.arrays["slots"]

    @property
    def features(self) -> Array:
        """float32 (n, F)."""
        return self.arrays["features"]

    @property
    def overlap(self) -> Array:
        """float32 (n, K, O)."""
        return self.arrays["overlap"]

    @property
    def labelled(self) -> int:
        """How many of the images have a labelled pixel."""
        return int(self.arrays["labelled"].sum())

    def sources(self, draw: str) -> tuple[str, ...]:
        """The mask sources whose label maps are there."""
        parts = [name.split("/") for name in self.arrays if name.startswith("labels/")]
        return tuple(source for _, source, of in parts if of == draw)

    def tensor(self, name: str) -> Tensor | None:
        return torch.from_numpy(self.arrays[name]) if name in self.arrays else None

    @cached_property
    def visible(self) -> Array:
        """bool (n, O)."""
        return self.dataset.read(self.split, 0, self.n, ("visible",))["visible"]

    @cached_property
    def properties(self) -> dict[str, Array]:
        """float32 (n, O[, d]) or int16 (n, O), by property name."""
        listed = self.dataset.layout.properties
        if not listed:
            return {}
        read = self.dataset.read(self.split, 0, self.n, tuple(prop.key for prop in listed))
        return {prop.name: read[prop.key] for prop in listed}

    @property
    def truth(self) -> Array:
        """uint8 (n, H, W): 0 background, 1..O objects, 255 not labelled."""
        return self.dataset.read(self.split, 0, self.n, ("mask",))["mask"]


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


@contextmanager
def raised(core: Core, more: int) -> Iterator[None]:
    """A core with so many slots more, if the same weights can give them."""
    if more <= 0 or not core.any_slots:
        yield
        return
    config = core.config
    try:
        core.config = replace(config, slots=config.slots + more)
        yield
    finally:
        core.config = config


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
    wanted: Collection[str] = ARRAYS,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Array]:
    """The arrays ``wanted`` for the first ``limit`` images of a split (or all, if fewer).

    ``device`` is where the core is. Only the draws that are wanted are made, and the decoder
    runs only for its own arrays. Where images of a shifted split may have more objects than those
    of training, the core has as many slots more, if it can (``Core.any_slots``).

    What the model cannot give is left out: all draws but the first
    of a core without noise, and what comes from a decoder where there is none.

    :class:`SlotbenchError` where slots or masks are not finite or the split has no images;
    :class:`UserError` where there is no such split or it cannot be read.
    """
    total = min(limit, dataset.size(split))
    if total < 1:
        raise SlotbenchError(f"{dataset.path}: split {split!r} has no images to evaluate.")
    draws = [draw for draw in DRAWS if any(_draw(name) == draw for name in wanted)]
    kept: dict[str, list[Array]] = {}
    more = dataset.layout_of(split).objects - dataset.layout.objects
    with frozen(core), raised(core, more):
        for start in range(0, total, batch_size):
            stop = min(start + batch_size, total)
            batch = dataset.read(split, start, stop, ("image", "mask"))
            images = torch.from_numpy(batch["image"]).to(device).permute(0, 3, 1, 2).float() / 255
            truth = torch.from_numpy(batch["mask"])
            for draw in draws:
                noise = initial_noise(core, split, start, stop, seed=seed, draw=draw)
                if noise is None and draw != DRAWS[0]:
                    continue
                output = core(images, noise)
                _check(core, output._asdict(), split, start)
                names = {name for name in wanted if _draw(name) == draw}
                made = _of_core(output, truth, dataset.layout_of(split).objects, draw, names)
                if decode is not None and any(_of_decoder(name) for name in names):
                    decoded = decode(output, images)
                    if decoded is not None:
                        _check(core, {"decoder masks": decoded.masks}, split, start)
                        made |= _of_decoding(decoded, images, draw)
                for name in names & made.keys():
                    kept.setdefault(name, []).append(made[name])
            if progress is not None:
                progress(stop, total)
    return {name: np.concatenate(kept[name]) for name in wanted if name in kept}


def _draw(name: str) -> str:
    """The draw that an array belongs to."""
    return name.rpartition("/")[2] if name.startswith("labels/") else DRAWS[0]


def _of_decoder(name: str) -> bool:
    return name == "recon_mse" or name.startswith("labels/decoder/")


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


def _of_core(
    output: SlotOutput, truth: Tensor, objects: int, draw: str, names: Collection[str]
) -> dict[str, Array]:
    """What is kept of a core's output for one batch."""
    made: dict[str, Array] = {}
    size = (truth.shape[1], truth.shape[2])
    attention = output.attention.float()
    if f"labels/attention/{draw}" in names:
        made[f"labels/attention/{draw}"] = _labels(attention, size)
    if draw != DRAWS[0]:
        return made
    if "overlap" in names:
        overlap = mask_overlap(resize(attention, size), truth.to(attention.device), objects)
        made["overlap"] = overlap.cpu().numpy()
    if "centroids" in names:
        made["centroids"] = centroids(attention).cpu().numpy()
    if "entropy" in names:
        made["entropy"] = attention_entropy(attention).numpy()
    return made | {
        "slots": output.slots.float().cpu().numpy(),
        "features": output.features.float().mean(dim=1).cpu().numpy(),
        "labelled": (truth != NOT_LABELLED).flatten(1).any(dim=1).numpy(),
    }


def _of_decoding(decoded: Decoded, images: Tensor, draw: str) -> dict[str, Array]:
    size = (images.shape[2], images.shape[3])
    made = {f"labels/decoder/{draw}": _labels(decoded.masks.float(), size)}
    if draw == DRAWS[0] and decoded.image is not None:
        error = reconstruction_error(decoded.image, images)
        made["recon_mse"] = error.double().cpu().numpy()
    return made


def _labels(masks: Tensor, size: tuple[int, int]) -> Array:
    dtype = np.uint8 if masks.shape[1] <= 256 else np.int16
    return labels_from_masks(masks, size).cpu().numpy().astype(dtype)
