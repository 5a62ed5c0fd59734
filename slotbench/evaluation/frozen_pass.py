"""The pass of a frozen core over a split, which all metrics share."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.errors import SlotbenchError
from slotbench.evaluation.masks import (
    SOURCES,
    attention_entropy,
    centroids,
    labels_from_masks,
    mask_overlap,
    masks_of,
    reconstruction_error,
    resize,
)
from slotbench.evaluation.result import Progress, silent
from slotbench.objectives.objective import Objective
from slotbench.rng import torch_generator

DRAWS = ("first", "second", "third")
"""Draws of the initial noise. All arrays but label maps come from the first."""
ARRAYS = (
    "slots",
    "features",
    "overlap",
    "centroids",
    "labelled",
    "entropy",
    "recon_mse",
    *(f"labels/{source}/{draw}" for source in SOURCES for draw in DRAWS),
)
"""Arrays of a pass, for n images:

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
    """A model's arrays for n images of a split, and the truth about these images."""

    dataset: DatasetFile
    split: str
    n: int
    arrays: Mapping[str, Array]
    """By name; see :data:`ARRAYS`. Arrays that the model lacks are missing."""
    first: int = 0
    """Position of the first image in the split."""

    @property
    def slots(self) -> Array:
        """float32 (n, K, D)."""
        return self.arrays["slots"]

    @property
    def overlap(self) -> Array:
        """float32 (n, K, O)."""
        return self.arrays["overlap"]

    @property
    def labelled(self) -> int:
        """How many of the images have a labelled pixel."""
        return int(self.arrays["labelled"].sum())

    def sources(self, draw: str = DRAWS[0]) -> tuple[str, ...]:
        """The mask sources that have label maps."""
        return tuple(each for each in SOURCES if f"labels/{each}/{draw}" in self.arrays)

    def labels(self, source: str, draw: str = DRAWS[0]) -> Tensor:
        """The label maps of a mask source, int (n, H, W)."""
        return torch.from_numpy(self.arrays[f"labels/{source}/{draw}"])

    def rows(self, start: int, stop: int) -> "Representations":
        """Images ``start`` to ``stop`` of these."""
        arrays = {name: values[start:stop] for name, values in self.arrays.items()}
        return replace(self, n=stop - start, arrays=arrays, first=self.first + start)

    @cached_property
    def visible(self) -> Array:
        """bool (n, O)."""
        return self._read("visible")["visible"]

    @cached_property
    def properties(self) -> dict[str, Array]:
        """float32 (n, O[, d]) or int16 (n, O), by property name."""
        listed = self.dataset.layout.properties
        read = self._read(*(prop.key for prop in listed)) if listed else {}
        return {prop.name: read[prop.key] for prop in listed}

    @property
    def truth(self) -> Array:
        """uint8 (n, H, W): 0 background, 1..O objects, 255 not labelled."""
        return self._read("mask")["mask"]

    def _read(self, *keys: str) -> dict[str, Array]:
        return self.dataset.read(self.split, self.first, self.first + self.n, keys)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode and without gradients; each part's mode is restored."""
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
    """A core with ``more`` additional slots, if its weights allow it."""
    config = core.config
    try:
        if more > 0 and core.any_slots:
            core.config = replace(config, slots=config.slots + more)
        yield
    finally:
        core.config = config


def initial_noise(
    core: Core, split: str, start: int, stop: int, *, seed: int, draw: str = "first"
) -> Tensor | None:
    """The slots' initial noise (stop - start, K, D) for images of a split; none if unused.

    Each image's noise is drawn from (seed, split, draw, index), so that it depends neither on the
    batch size nor on the number of images.
    """
    drawn = [
        core.noise(1, torch_generator(seed, "evaluate", split, draw, index))
        for index in range(start, stop)
    ]
    noise = [one for one in drawn if one is not None]
    return torch.cat(noise) if noise else None


def collect(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    limit: int,
    *,
    seed: int,
    wanted: Collection[str] = ARRAYS,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> dict[str, Array]:
    """The arrays ``wanted`` for the first ``limit`` images of a split (or all, if fewer).

    ``device`` is the objective's. Only the wanted draws are computed; decoder and predictor run
    only for their own arrays. Where images of a shifted split may have more objects than training
    images, the core gets as many more slots, if it can (``Core.any_slots``).

    Arrays that the model lacks are left out: later draws of a core without noise, masks and images
    of a missing decoder or predictor.

    :class:`SlotbenchError` where slots or masks are not finite; :class:`UserError` where the split
    is missing, has no images or cannot be read.
    """
    total = dataset.first(split, limit)
    core, objects = objective.core, dataset.layout_of(split).objects
    by_draw = {draw: {name for name in wanted if draw_of(name) == draw} for draw in DRAWS}

    def blocks() -> Iterator[dict[str, Array]]:
        for start in range(0, total, batch_size):
            stop = min(start + batch_size, total)
            batch = dataset.read(split, start, stop, ("image", "mask"))
            images = images_on(batch, torch.device(device))
            truth = torch.from_numpy(batch["mask"])
            for draw, names in by_draw.items():
                noise = initial_noise(core, split, start, stop, seed=seed, draw=draw)
                if not names or (noise is None and draw != DRAWS[0]):
                    continue
                output = core(images, noise)
                check = partial(check_finite, core, split, start)
                check(output._asdict())
                made = _arrays(objective, output, images, truth, objects, names, check)
                yield {name: values.cpu().numpy() for name, values in made.items()}
            progress(stop, total)

    with frozen(objective), raised(core, objects - dataset.layout.objects):
        return joined(blocks())


def joined(blocks: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays (n, ...) by name, from those of successive images."""
    parts: dict[str, list[Array]] = defaultdict(list)
    for block in blocks:
        for name, values in block.items():
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def draw_of(name: str) -> str:
    """The draw of the initial noise that an array belongs to."""
    return name.rpartition("/")[2] if name.startswith("labels/") else DRAWS[0]


def check_finite(core: Core, split: str, start: int, tensors: Mapping[str, Tensor]) -> None:
    """:class:`SlotbenchError` names the first image of tensors (B, ...) that are not finite.

    ``start`` is the position of their first image in the split.
    """
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor).flatten(1).all(dim=1)
        if not finite.all():
            first = start + int(finite.logical_not().nonzero()[0])
            raise SlotbenchError(
                f"Core {type(core).__name__}: the {name} of {split} image {first} hold NaN or "
                "infinite values.",
                "Its weights are damaged or its training diverged; train it again.",
            )


def _arrays(
    objective: Objective,
    output: SlotOutput,
    images: Tensor,
    truth: Tensor,
    objects: int,
    names: Collection[str],
    check: Callable[[Mapping[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Those of ``names``, all of one draw, that the model gives for a batch."""
    sources = {name.split("/")[1]: name for name in names if name.startswith("labels/")}
    decoder = {"decoder"} if "recon_mse" in names else set()
    masks, decoded = masks_of(objective, output, images, decoder | sources.keys())
    check({f"{source} masks": soft for source, soft in masks.items()})
    attention, size = masks["attention"], (truth.shape[1], truth.shape[2])
    gives: dict[str, Callable[[], Tensor]] = {
        "slots": output.slots.float,
        "features": lambda: output.features.float().mean(dim=1),
        "overlap": lambda: mask_overlap(
            resize(attention, size), truth.to(attention.device), objects
        ),
        "centroids": lambda: centroids(attention),
        "labelled": lambda: (truth != NOT_LABELLED).flatten(1).any(dim=1),
        "entropy": lambda: attention_entropy(attention),
    }
    if decoded is not None and decoded.image is not None:
        image = decoded.image
        gives["recon_mse"] = lambda: reconstruction_error(image, images).double()
    made = {name: gives[name]() for name in names if name in gives}
    for source in sources.keys() & masks.keys():
        dtype = torch.uint8 if masks[source].shape[1] <= 256 else torch.int16
        made[sources[source]] = labels_from_masks(masks[source], size).to(dtype)
    return made
