"""The interface of a dataset: how it is rendered, and how its original files are read."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NoReturn

from slotbench.datasets.format.schema import Batch, Layout
from slotbench.datasets.originals.importing import Importer
from slotbench.errors import UserError


@dataclass(frozen=True)
class Download:
    """A published file. Authors publish few checksums; its length is checked in any case."""

    url: str
    sha256: str | None = None
    """Hexadecimal; None where it is not published."""
    md5: str | None = None
    """Hexadecimal; used where there is no sha256."""
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
    """Default number of images (of video: clips) of each split."""
    shifted: ClassVar[tuple[str, ...]] = ()
    """Further test sets ``test-<what>``, each with as many images as ``test``."""
    drawn_shifts: ClassVar[tuple[str, ...]] = ()
    """Shifts (see :mod:`slotbench.datasets.shifts.kinds`) whose images ``render`` makes.

    Image i of split ``test-<shift>`` is image i of ``test`` with that one thing changed. A shift
    of single objects adds one array to the batch, ``shift/changed`` bool (n, [T,] O).
    """
    without: ClassVar[dict[str, str]] = {}
    """Shifts that have no meaning for these images, with the reason."""
    more: tuple[int, int] = (0, 0)
    """Fewest and most objects of the shift ``num_objects``, where ``render`` makes it."""
    occluder: ClassVar[int] = 128
    """Grey of the square that the shift ``occlusion`` draws over the scene, 0 to 255."""
    image_size: int = 64
    """Pixels a side; the class attribute is the default."""
    obtain: ClassVar[str] = ""
    """Where the original files are and what to type, for datasets without ``downloads``."""
    published: ClassVar[tuple[str, ...]] = ()
    """Addresses of the original files; ``{variant}`` stands for the variant."""
    unpacks: ClassVar[bool] = False
    """The importer reads a folder: archives are unpacked first."""

    def __init__(self, variant: str, image_size: int, seed: int) -> None:
        from slotbench.registry import unknown

        if variant not in self.variants:
            raise unknown(f"variant of {self.name}", variant, self.variants)
        if not 16 <= image_size <= 1024:
            raise UserError(f"--image-size {image_size}: expected 16 to 1024 pixels.")
        self.variant, self.image_size, self.seed = variant, image_size, seed

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The layout of the images that ``render`` makes."""

    @property
    @abstractmethod
    def generator(self) -> str:
        """The renderer and its version; stored in the file."""

    @property
    def made_by(self) -> str:
        """``generator``, of a plugin with a digest of its file: an edited one makes other data."""
        from slotbench.registry import get

        digest = get("datasets", self.name).foreign_digest()
        return f"{self.generator}, {digest[:8]}" if digest else self.generator

    @abstractmethod
    def render(self, split: str, start: int, stop: int) -> Batch:
        """Images (of video: clips) ``start`` to ``stop`` of a split.

        Each depends on (seed, split, index) alone.
        """

    def why_not(self, shift: str, origin: str) -> str:  # noqa: ARG002
        """Why a shift has no meaning for images of this origin; empty where it has one."""
        return self.without.get(shift, "")

    def shifted_layout(self, shift: str) -> Layout:
        """The layout of a drawn shift: with more objects where ``num_objects`` needs them."""
        most = max(self.layout.objects, self.more[1]) if shift == "num_objects" else 0
        return replace(self.layout, objects=most) if most else self.layout

    def provenance(self, source: Path) -> dict[str, str]:  # noqa: ARG002
        """Attributes that tell different sources apart; empty where all users have the same."""
        return {}

    def downloads(self) -> tuple[Download, ...]:
        """The published files of this variant; empty: ``obtain`` says where they are."""
        return tuple(Download(url.format(variant=self.variant)) for url in self.published)

    def importer(self, path: Path) -> Importer:
        """A reader of the original file at ``path``."""
        raise UserError(
            f"--from {path}: {self.name} has no importer.", f"Type: slotbench prepare {self.name}"
        )


class OriginalOnly(Dataset):
    """A dataset that exists as original files alone."""

    sizes: ClassVar[dict[str, int]] = {}

    @property
    def layout(self) -> NoReturn:
        self.render("train", 0, 0)

    @property
    def generator(self) -> NoReturn:
        self.render("train", 0, 0)

    def render(self, split: str, start: int, stop: int) -> NoReturn:  # noqa: ARG002
        raise UserError(f"{self.name} is not made here; it needs its files.", self.obtain)
