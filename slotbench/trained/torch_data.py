"""A split of a prepared dataset for PyTorch, and for Hugging Face ``datasets``."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Array, Property
from slotbench.registry import optional

Item = dict[str, Any]


class ImageData(Dataset[Item]):
    """The images of a split with their masks and properties; of video, its frames.

    An item holds ``image`` float32 (3, H, W) in [0, 1], ``mask`` uint8 (H, W): 0 background, 1..O
    objects, 255 not labelled; ``visible`` bool (O,); ``properties``: name -> float32 (O[, d]) or
    int16 (O,), the code of a class, where objects that are not visible hold 0 or -1.

    Each process opens the file anew, so that ``DataLoader`` may have workers.
    """

    def __init__(self, path: Path, split: str = "train") -> None:
        self.path, self.split = path, split
        self._opened: tuple[int, DatasetFile] | None = None
        self.layout, self.reference = self.file.layout, self.file.reference
        self.fingerprint = self.file.fingerprint
        self._size = self.file.size(split)

    @property
    def file(self) -> DatasetFile:
        """The prepared file, open in this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), DatasetFile(self.path))
        return self._opened[1]

    @property
    def properties(self) -> tuple[Property, ...]:
        """The properties of objects: kind, dimensions, classes and unit of each."""
        return self.layout.properties

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"ImageData({self.reference!r}, {self.split!r}, {len(self):,} images)"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def arrays(self, index: int) -> dict[str, Array]:
        """The arrays of an image as they are stored; IndexError past the end."""
        place = range(len(self))[index]
        read = self.file.read(self.split, place, place + 1)
        return {key: values[0] for key, values in read.items()}

    def __getitem__(self, index: int) -> Item:
        found = self.arrays(index)
        image: Tensor = torch.from_numpy(found["image"]).permute(2, 0, 1).float() / 255
        return {
            "image": image,
            "mask": torch.from_numpy(found["mask"]),
            "visible": torch.from_numpy(found["visible"]),
            "properties": {each.name: torch.as_tensor(found[each.key]) for each in self.properties},
        }

    def to_hf(self) -> Any:
        """The split as ``datasets.Dataset``: images and masks as PNG, classes by their names.

        :class:`UserError` where the package ``datasets`` is not installed.
        """
        datasets = optional("datasets", "to_hf()", "hf")
        known: dict[str, Any] = {"image": datasets.Image(), "mask": datasets.Image()}
        known["visible"] = datasets.Sequence(datasets.Value("bool"))
        for each in self.properties:
            value = datasets.Value("float32")
            if each.kind == "categorical":
                value = datasets.ClassLabel(names=list(each.classes))
            elif each.dim > 1:
                value = datasets.Sequence(value)
            known[each.key] = datasets.Sequence(value)
        return datasets.Dataset.from_generator(
            _rows, datasets.Features(known), gen_kwargs={"data": self, "of": self.fingerprint}
        )


def _rows(data: ImageData, of: str) -> Iterator[Item]:
    """Every image in the form of Hugging Face, whose cache depends on the fingerprint ``of``."""
    del of
    for index in range(len(data)):
        found = data.arrays(index)
        pictures = {key: {"bytes": _png(found[key]), "path": None} for key in ("image", "mask")}
        rest = ("visible", *(each.key for each in data.properties))
        yield pictures | {key: found[key].tolist() for key in rest}


def _png(array: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()
