"""``slotbench predict``: a trained core's masks, slots and overlays of pictures.

The folder ``out`` gets ``masks/NAME.png`` (label maps), ``overlays/NAME.png`` and
``predictions.h5``, for n pictures of which the core sees squares of S x S pixels:

- ``masks`` uint8 (uint16 from 255 slots on) (n, S, S): the slot of each pixel, from 0;
- ``attention`` float16 (n, K, h, w), summing to 1 over K; ``slots`` float32 (n, K, D);
- ``names`` (n,): the files that the pictures came from.

For a prepared dataset, ``slotbench evaluate --predictions`` reads ``predictions.h5``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image

from slotbench import __version__
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.hdf5 import writing
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.places import ENDINGS, is_known, locate
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.datasets.originals.images import Damaged, fit, read_image
from slotbench.errors import UserError
from slotbench.evaluation.frozen_pass import initial_noise
from slotbench.evaluation.masks import labels_from_masks
from slotbench.files import read_bytes, replacing_folder, sha256_of
from slotbench.progress import bar, say, warn
from slotbench.registry import names, unknown
from slotbench.report.canvas import grown, slot_colors
from slotbench.trained.frozen import FrozenCore

PICTURES = (".png", ".jpg", ".jpeg")
PREDICTIONS, FOLDERS = "predictions.h5", ("masks", "overlays")
OTHERS = (".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".jp2")
"""Formats that are not read; a warning counts such files in a folder."""
FITS = ("crop", "stretch")
BATCH = 32
MOST_BYTES = 256 * 2**20
"""Largest file of a picture, and largest batch."""
FINEST = 2048
"""Longest side in pixels at which masks are compared; larger pictures repeat its labels."""


@dataclass(frozen=True)
class Request:
    """The options of :func:`slotbench.api.predict`, which describes them."""

    path: str
    out: Path
    split: str = "test"
    images: int | None = None
    source: str = "attention"
    fit: str = "crop"
    seed: int = 0
    force: bool = False
    skip_damaged: bool = False
    data_dir: Path = Path("data")


@dataclass
class Picture:
    """A picture as it was read, and the square that the core sees."""

    name: str
    """Its file name, or its split and index."""
    image: Array
    """uint8 (H, W, 3)."""
    square: Array
    """uint8 (S, S, 3)."""
    place: tuple[slice, slice]
    """Rows and columns of the picture that the square shows."""


@dataclass
class Source:
    """Pictures to predict, one after the other."""

    size: int
    pictures: Iterator[Picture]
    facts: dict[str, str] = field(default_factory=dict)
    """Attributes of ``predictions.h5``: dataset, fingerprint and split of a prepared dataset."""


def predict(model: FrozenCore, request: Request, device: torch.device) -> dict[str, Any]:
    """Write the folder ``request.out``, whole or not at all; returns its facts.

    :class:`UserError` names a picture that cannot be read, unless ``skip_damaged``.
    """
    _check(request)
    with (
        replacing_folder(request.out, (PREDICTIONS, *FOLDERS), force=request.force) as made,
        _opened(model, request) as source,
        bar("Predicting", source.size) as progress,
    ):
        for name in FOLDERS:
            (made / name).mkdir()
        with writing(made / PREDICTIONS) as (file, check):
            done = 0
            for batch in _batches(source.pictures):
                _add(model, batch, request, source, file, made, done, device)
                check()
                done += len(batch)
                progress.set(done)
            if not done:
                raise UserError(f"{request.path}: no picture could be read.")
            facts = {"run": model.run.id, "model": sha256_of(model.run.model)}
            facts |= {"mask_source": request.source, "slotbench": __version__, **source.facts}
            file.attrs.update(facts)
    return {"out": str(request.out), "images": done, "slots": model.core.num_slots, **facts}


def _check(request: Request) -> None:
    path = Path(request.path)
    if not (is_known(request.path) or path.exists()):
        if path.suffix or len(path.parts) > 1:
            raise UserError(f"{path} does not exist.", "Name a PNG or JPEG, or a folder of them.")
        raise unknown("picture, folder or dataset", request.path, names("datasets"))
    if request.fit not in FITS:
        raise unknown("--fit", request.fit, FITS)
    if request.images is not None and request.images < 1:
        raise UserError(f"--images {request.images}: expected 1 or above.")
    if not 0 <= request.seed < 2**63:
        raise UserError(f"--seed {request.seed}: expected 0 to 2^63 - 1.")


@contextmanager
def _opened(model: FrozenCore, request: Request) -> Iterator[Source]:
    """The pictures that ``request.path`` names; :class:`UserError` where it names none."""
    path = Path(request.path)
    limit = request.images
    if path.is_dir():
        inside = sorted(path.iterdir())
        files = [file for file in inside if file.suffix.lower() in PICTURES][:limit]
        if folders := sum(each.is_dir() for each in inside):
            say(f"Passed over: folders in {path} ({folders}). To predict one, name it.")
        if not files:
            raise UserError(f"{path}: the folder holds no picture ({', '.join(PICTURES)}).")
        if others := [file.name for file in inside if file.suffix.lower() in OTHERS]:
            warn(f"Left out: {len(others):,} that are no PNG or JPEG, such as {others[0]}.")
        yield Source(len(files), _from_files(files, model.image_size, request))
    elif path.suffix.lower() in PICTURES:
        yield Source(1, _from_files([path], model.image_size, request))
    elif path.exists() and path.suffix not in ENDINGS:
        raise UserError(f"{path}: expected a PNG or JPEG, a folder of them, or a prepared dataset.")
    else:
        with DatasetFile(locate(request.path, request.data_dir)) as dataset:
            size = dataset.first(request.split, limit or dataset.size(request.split))
            facts = {"dataset": dataset.reference, "fingerprint": dataset.fingerprint}
            pictures = _from_dataset(dataset, request.split, size, model.image_size)
            yield Source(size, pictures, {**facts, "split": request.split})


def _from_files(files: list[Path], side: int, request: Request) -> Iterator[Picture]:
    for file in files:
        try:
            image = read_image(read_bytes(file, MOST_BYTES), str(file), least=1)
        except UserError as error:
            if not request.skip_damaged:
                advice = error.advice if not isinstance(error, Damaged) else ""
                raise UserError(
                    error.message, advice or "To leave such files out, add --skip-damaged."
                ) from error
            warn(f"Left out: {error.message}")
            continue
        name = file.name.encode(errors="replace").decode()  # HDF5 takes no bytes that are no UTF-8
        yield _picture(name, image, side, request.fit)


def _picture(name: str, image: Array, side: int, how: str) -> Picture:
    height, width = image.shape[:2]
    if how == "stretch":
        square = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
        return Picture(name, image, square, (slice(0, height), slice(0, width)))
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    place = (slice(top, top + edge), slice(left, left + edge))
    return Picture(name, image, fit(image, image[..., 0], side)[0], place)


def _from_dataset(dataset: DatasetFile, split: str, size: int, side: int) -> Iterator[Picture]:
    for start in range(0, size, BATCH):
        read = dataset.read(split, start, min(start + BATCH, size), ("image",))["image"]
        for index, image in enumerate(read, start):
            yield _picture(f"{split}-{index:06d}", image, side, "crop")


def _batches(pictures: Iterator[Picture]) -> Iterator[list[Picture]]:
    """At most :data:`BATCH` pictures each, fewer where they are large."""
    batch: list[Picture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == BATCH or sum(each.image.nbytes for each in batch) > MOST_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _add(
    model: FrozenCore,
    batch: list[Picture],
    request: Request,
    source: Source,
    file: h5py.File,
    folder: Path,
    start: int,
    device: torch.device,
) -> None:
    """Predict a batch; ``start`` is the place of its first picture among those predicted."""
    images = images_on({"image": np.stack([picture.square for picture in batch])}, device)
    noise = model.noise(len(batch), request.seed)
    if split := source.facts.get("split"):
        seed, stop = model.config.seed, start + len(batch)
        noise = initial_noise(model.core, split, start, stop, seed=seed)
    with torch.no_grad():
        output = model(images, noise)
        masks = model.masks(images, output, request.source)
    side = (model.image_size, model.image_size)
    values: dict[str, Array] = {
        "masks": _small(labels_from_masks(masks, side), masks.shape[1]),
        "attention": output.attention.cpu().to(torch.float16).numpy(),
        "slots": output.slots.float().cpu().numpy(),
        "names": np.array([picture.name for picture in batch], h5py.string_dtype()),
    }
    for key, rows in values.items():
        shape = rows.shape[1:]
        found = file.require_dataset(key, (start, *shape), rows.dtype, maxshape=(None, *shape))
        found.resize(start + len(rows), axis=0)
        found[start:] = rows
    for number, (picture, soft) in enumerate(zip(batch, masks, strict=True), start):
        _draw(picture, soft, folder, number)


def _draw(picture: Picture, masks: torch.Tensor, folder: Path, number: int) -> None:
    """Write the label map and the overlay at the picture's own size."""
    rows, columns = picture.place
    height, width = rows.stop - rows.start, columns.stop - columns.start
    share = min(1.0, FINEST / max(height, width))
    scaled = (max(1, round(share * height)), max(1, round(share * width)))
    best = _small(labels_from_masks(masks[None], scaled), len(masks))[0]
    found = grown(best, (width, height))
    outside = np.iinfo(found.dtype).max
    labels = np.full(picture.image.shape[:2], outside, found.dtype)
    labels[picture.place] = found
    colors = slot_colors(len(masks), None)
    overlay = picture.image.copy()
    overlay[picture.place] = (picture.image[picture.place] // 2) + colors[found] // 2
    label_map = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        # The value of a pixel is its slot; the palette only colours it.
        label_map = label_map.convert("P")
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(colors)] = colors
        palette[NOT_LABELLED] = 255
        label_map.putpalette(palette.tobytes())
    # Letters that every file system allows.
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(picture.name).stem)[:60]
    name = f"{number:06d}-{stem}.png"
    label_map.save(folder / "masks" / name)
    Image.fromarray(overlay).save(folder / "overlays" / name)


def _small(labels: torch.Tensor, slots: int) -> Array:
    """Label maps as uint8; as uint16 where slot 255 would read as not labelled."""
    dtype = np.uint8 if slots <= NOT_LABELLED else np.uint16
    return labels.cpu().numpy().astype(dtype)
