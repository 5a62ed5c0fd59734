"""The interface of a dataset: how to render it, and how to read its original files."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NoReturn

import numpy as np

from slotbench import registry
from slotbench.datasets.format.schema import Batch, Layout
from slotbench.datasets.originals.importing import Importer
from slotbench.errors import UserError
from slotbench.rng import numpy_generator


@dataclass(frozen=True)
class Download:
    """A published file. Checksums are hexadecimal, and None where none is published."""

    url: str
    sha256: str | None = None
    md5: str | None = None
    """Used where there is no sha256."""
    size: int | None = None
    """Bytes; None where they are not published."""

    @property
    def name(self) -> str:
        """The file name at the end of the address."""
        return re.split("[?#]", self.url)[0].rsplit("/", 1)[-1]


class Dataset(ABC):
    """A dataset of one variant, image size and seed.

    Raises :class:`UserError` where the variant is unknown or the image size is not usable.
    """

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    sizes: ClassVar[dict[str, int]]
    """Default number of images or clips of each split."""
    shifted: ClassVar[tuple[str, ...]] = ()
    """Further test sets ``test-<name>``, each of the size of ``test``."""
    drawn_shifts: ClassVar[tuple[str, ...]] = ()
    """Shifts (see :mod:`slotbench.datasets.shifts.kinds`) that ``render`` draws.

    Image i of split ``test-<shift>`` is image i of ``test`` with one change. Shifts of single
    objects add the array ``shift/changed`` bool (n, [T,] O) to the batch.
    """
    more: tuple[int, int] = (0, 0)
    """Fewest and most objects of the drawn shift ``num_objects``."""
    occluder: ClassVar[int] = 128
    """Grey of the square of the shift ``occlusion``, 0 to 255."""
    image_size: int = 64
    """Pixels a side; the class attribute is the default."""
    obtain: ClassVar[str] = ""
    """How to get the original files and what to type, where there are no ``downloads``."""
    published: ClassVar[tuple[str, ...]] = ()
    """Addresses of the original files; ``{variant}`` stands for the variant."""
    unpacks: ClassVar[bool] = False
    """Whether archives are unpacked for the importer, which reads a folder."""

    def __init__(self, variant: str, image_size: int, seed: int) -> None:
        if variant not in self.variants:
            raise registry.unknown(f"variant of {self.name}", variant, self.variants)
        if not 16 <= image_size <= 1024:
            raise UserError(f"--image-size {image_size}: expected 16 to 1024 pixels.")
        self.variant, self.image_size, self.seed = variant, image_size, seed

    @property
    def settings(self) -> tuple[str, str, int, int]:
        """Name, variant, image size and seed, from which a rendering process makes it again."""
        return self.name, self.variant, self.image_size, self.seed

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The layout of the images that ``render`` makes."""

    @property
    @abstractmethod
    def generator(self) -> str:
        """The renderer and its version, as the file stores them."""

    @property
    def made_by(self) -> str:
        """``generator``, with a digest of the file where a plugin defines this dataset."""
        digest = registry.get("datasets", self.name).foreign_digest()
        return f"{self.generator}, {digest[:8]}" if digest else self.generator

    @abstractmethod
    def render(self, split: str, start: int, stop: int) -> Batch:
        """Images or clips ``start`` to ``stop``; each depends on (seed, split, index) alone."""

    def stream(self, split: str, index: int) -> np.random.Generator:
        """The random numbers of one image or clip."""
        variant = (self.variant,) if len(self.variants) > 1 else ()
        return numpy_generator(self.seed, self.name, *variant, split, index)

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        """Shifts that have no meaning for images of this origin -> the reason."""
        return {}

    def shifted_layout(self, shift: str) -> Layout:
        """The layout of a drawn shift; ``num_objects`` may need more objects."""
        if shift != "num_objects":
            return self.layout
        return replace(self.layout, objects=max(self.layout.objects, self.more[1]))

    def provenance(self, source: Path) -> dict[str, str]:  # noqa: ARG002
        """Attributes that identify the source, where users have different ones."""
        return {}

    def downloads(self) -> tuple[Download, ...]:
        """The published files of this variant; none where ``obtain`` says what to do."""
        return tuple(Download(url.format(variant=self.variant)) for url in self.published)

    def importer(self, path: Path) -> Importer:
        """A reader of the original file at ``path``."""
        raise UserError(
            f"--from {path}: {self.name} has no importer.", f"Type: slotbench prepare {self.name}"
        )


class OriginalOnly(Dataset):
    """A dataset that exists only as original files."""

    sizes: ClassVar[dict[str, int]] = {}

    @property
    def layout(self) -> NoReturn:
        self.render("train", 0, 0)

    @property
    def generator(self) -> NoReturn:
        self.render("train", 0, 0)

    def render(self, split: str, start: int, stop: int) -> NoReturn:  # noqa: ARG002
        raise UserError(f"{self.name} is not made here; it needs its files.", self.obtain)
