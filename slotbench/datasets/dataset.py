"""The interface of a dataset: how it is rendered, and how its original files are read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from slotbench.datasets.format.schema import Batch, Layout
from slotbench.datasets.originals.addresses import Download
from slotbench.errors import UserError


class Importer(ABC):
    """A streaming reader of a dataset's original files.

    ``batches`` yields batches in the order of the source, each with one more array,
    ``record`` int64 (n,): the position of each image in the source, without the records that the
    variant leaves out. Memory use does not grow with the source.
    """

    layout: Layout
    rule: str = ""
    """How the splits are made, in words; stored with their bounds."""
    skip_damaged: bool = False
    """Whether damaged images are left out and listed in ``attributes``."""
    damaged: Mapping[int, str] = MappingProxyType({})
    """Records that were left out, and the damaged file of each."""

    @abstractmethod
    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        """(records read so far, batch) for every ``size`` records after the first ``skip``."""

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """(bytes of the source read, bytes in all)."""

    @abstractmethod
    def sources(self) -> list[dict[str, str]]:
        """File name and sha256 of every file read; complete when ``batches`` has ended."""

    def attributes(self) -> dict[str, str]:
        """Further attributes of the file; complete when ``batches`` has ended."""
        return {}

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Fingerprint used to check that a resumed import reads the same source."""

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        """First record of each split and the one past its last; called when all are read.

        The default: first 70 %, next 15 %, last 15 %. For the 100,000 scenes of CLEVR these are
        the usual splits: 70,000 for training, the last 15,000 for testing. A source with its own
        splits yields them one after the other; further test sets are called ``test-<what>``.
        """
        train, val = records * 70 // 100, records * 85 // 100
        return {"train": (0, train), "val": (train, val), "test": (val, records)}


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
    more: tuple[int, int] = (0, 0)
    """Fewest and most objects of the shift ``num_objects``, where ``render`` makes it."""
    occluder: ClassVar[int] = 128
    """Grey of the square that the shift ``occlusion`` draws over the scene, 0 to 255."""
    image_size: int = 64
    """Pixels a side; the class attribute is the default."""
    obtain: ClassVar[str] = ""
    """Where the original files are and what to type, for datasets without ``downloads``."""
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

    @abstractmethod
    def render(self, split: str, start: int, stop: int) -> Batch:
        """Images (of video: clips) ``start`` to ``stop`` of a split.

        Each depends on (seed, split, index) alone.
        """

    def why_not(self, shift: str, origin: str) -> str:  # noqa: ARG002
        """Why a shift has no meaning for images of this origin; empty where it has one."""
        return ""

    def shifted_layout(self, shift: str) -> Layout:
        """The layout of a drawn shift: with more objects where ``num_objects`` needs them."""
        most = max(self.layout.objects, self.more[1]) if shift == "num_objects" else 0
        return replace(self.layout, objects=most) if most else self.layout

    def provenance(self, source: Path) -> dict[str, str]:  # noqa: ARG002
        """Attributes that tell different sources apart; empty where all users have the same."""
        return {}

    def downloads(self) -> tuple[Download, ...]:
        """The published files of this variant; empty: ``obtain`` says where they are."""
        return ()

    def importer(self, path: Path) -> Importer:
        """A reader of the original file at ``path``."""
        raise UserError(
            f"--from {path}: {self.name} has no importer.", f"Type: slotbench prepare {self.name}"
        )
