"""One pass of a frozen core over a split, for all metrics; and its cache."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED

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
    reconstruction_error,
    resize,
)
from slotbench.evaluation.result import Progress
from slotbench.files import replacing
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
CACHE_VERSION = 1
"""Raised when the same model would give other arrays."""
LIMIT = 5 << 30
"""Bytes that the caches of all runs of one results folder may take together."""


@dataclass
class Representations:
    """A model's arrays of n images of a split, and the truth about these images."""

    dataset: DatasetFile
    split: str
    n: int
    arrays: Mapping[str, Array]
    """By name, as :data:`ARRAYS`; without those that the model cannot give."""
    first: int = 0
    """Position of the first image in the split."""

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

    def sources(self, draw: str = DRAWS[0]) -> tuple[str, ...]:
        """The mask sources that have label maps."""
        return tuple(each for each in SOURCES if f"labels/{each}/{draw}" in self.arrays)

    def tensor(self, name: str) -> Tensor | None:
        """An array as a tensor."""
        return torch.from_numpy(self.arrays[name]) if name in self.arrays else None

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
    """A core with ``more`` additional slots, if the same weights can give them."""
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
    objective: Objective,
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

    ``device`` is where the objective is. Only the draws that are wanted are made, and decoder and
    predictor run only for their own arrays. Where images of a shifted split may have more objects
    than training images, the core gets as many more slots, if it can (``Core.any_slots``).

    Arrays that the model cannot give are left out: later draws of a core without noise, masks and
    images of a missing decoder or predictor.

    :class:`SlotbenchError` where slots or masks are not finite; :class:`UserError` where there is
    no such split, or it has no images or cannot be read.
    """
    total = dataset.first(split, limit)
    core, objects = objective.core, dataset.layout_of(split).objects
    by_draw = {draw: {name for name in wanted if draw_of(name) == draw} for draw in DRAWS}
    kept: dict[str, list[Array]] = {}
    with frozen(objective), raised(core, objects - dataset.layout.objects):
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
                check = partial(_check, core, split, start)
                check(output._asdict())
                made = _arrays(objective, output, images, truth, objects, names, check)
                for name, values in made.items():
                    kept.setdefault(name, []).append(values.cpu().numpy())
            if progress is not None:
                progress(stop, total)
    return {name: np.concatenate(kept[name]) for name in wanted if name in kept}


def draw_of(name: str) -> str:
    """The draw of the initial noise that an array belongs to."""
    return name.rpartition("/")[2] if name.startswith("labels/") else DRAWS[0]


def _check(core: Core, split: str, start: int, tensors: Mapping[str, Tensor]) -> None:
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
    attention, size = output.attention.float(), (truth.shape[1], truth.shape[2])
    wanted = {name.split("/")[1] for name in names if name.startswith("labels/")}
    masks: dict[str, Tensor | None] = {"attention": attention}
    decoded = None
    if "decoder" in wanted or "recon_mse" in names:
        decoded = objective.decode(output, images)
        masks["decoder"] = None if decoded is None else decoded.masks.float()
    if "predictor" in wanted:
        masks["predictor"] = objective.predictor_masks(images, output)
    known = {source: soft.float() for source, soft in masks.items() if soft is not None}
    check({f"{source} masks": soft for source, soft in known.items()})
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
    for name in names - made.keys():
        source = name.split("/")[1] if name.startswith("labels/") else ""
        if source in known:
            dtype = torch.uint8 if known[source].shape[1] <= 256 else torch.int16
            made[name] = labels_from_masks(known[source], size).to(dtype)
    return made


Stored = dict[str, Array | None]
"""Arrays of the first n images of a split, by name; None for one that the model cannot give."""


class Cache:
    """The arrays of one model by split, in ``<folder>/<split>.npz``; ``key`` identifies the model.

    Arrays are stored as they were computed. Half precision would change reported digits (probes
    of an untrained core by 1e-4 to 9e-3). A run with 10,000 training, 1,024 validation and 2,000
    test images takes about 30 MB at K = 7, D = 48. Deleting a cache is always safe.

    ``digests`` holds the digests of shifted test sets, which the dataset's fingerprint leaves out.

    A file that is damaged or has another key counts as empty and is replaced. ``note`` is called
    with one line then, and when a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, str | int],
        note: Callable[[str], None],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.note, self.digests = folder, note, digests or {}
        self.model = {**key, "cache": CACHE_VERSION}

    def key(self, split: str) -> str:
        """All that a split's arrays depend on, as text."""
        own = {"digest": self.digests[split]} if split in self.digests else {}
        return json.dumps({**self.model, **own}, sort_keys=True)

    def path(self, split: str) -> Path:
        """The file of a split."""
        return self.folder / f"{split}.npz"

    def clear(self) -> None:
        """Forget all splits."""
        for path in self.folder.glob("*.npz"):
            path.unlink(missing_ok=True)

    def read(self, split: str, n: int, wanted: Collection[str]) -> Stored:
        """The wanted arrays that are stored for n images or more, cut to n."""
        found = self._open(split, wanted, self.note)
        return {
            name: None if array is None else array[:n]
            for name, array in found.items()
            if array is None or len(array) >= n
        }

    def write(self, split: str, made: Mapping[str, Array | None]) -> None:
        """Add arrays of the same images; arrays of the same names are replaced."""
        stored = {**self._open(split, ARRAYS, lambda _: None), **made}
        absent = sorted(name for name, array in stored.items() if array is None)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(split)) as temporary, zipfile.ZipFile(temporary, "w") as file:
                file.writestr("facts.json", json.dumps({"key": self.key(split), "absent": absent}))
                for name, array in stored.items():
                    if array is not None:
                        content = io.BytesIO()
                        np.save(content, array, allow_pickle=False)
                        # Floats would take long to compress and stay as large.
                        packed = ZIP_DEFLATED if name.startswith("labels/") else ZIP_STORED
                        file.writestr(name, content.getbuffer(), packed, compresslevel=1)
        except OSError as error:  # a cache that cannot be written is no error
            self.note(f"{self.path(split)} is not kept: {error.strerror or error}.")

    def _open(self, split: str, wanted: Collection[str], note: Callable[[str], None]) -> Stored:
        """The wanted arrays of the same model, as they were written."""
        path = self.path(split)
        if not path.is_file():
            return {}
        try:
            with zipfile.ZipFile(path) as file:
                facts = json.loads(file.read("facts.json"))
                if facts["key"] != self.key(split):
                    note(f"{path} is of another model or version: computed anew.")
                    return {}
                found: Stored = {name: None for name in wanted if name in facts["absent"]}
                for name in (name for name in wanted if name in file.namelist()):
                    # A member is read as a whole, which checks its CRC.
                    found[name] = np.load(io.BytesIO(file.read(name)), allow_pickle=False)
            os.utime(path)  # the least recently used goes first, see `prune`
        except Exception:  # a damaged byte makes zipfile and NumPy raise anything
            note(f"{path} is damaged: computed anew.")
            return {}
        return found


def prune(results_dir: Path, limit: int = LIMIT) -> int:
    """Delete the least recently used caches of all runs until they take ``limit`` bytes at most.

    Returns the number of bytes that were freed. A cache that another process has open stays
    readable for it.
    """
    found = []
    for path in results_dir.glob("runs/*/*/*/cache/*.npz"):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        if path.parent.is_symlink():
            continue  # whose files those are is not known
        found.append((facts.st_mtime, facts.st_size, path))
    total, freed = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed
