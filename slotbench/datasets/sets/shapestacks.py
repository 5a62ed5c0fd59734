"""ShapeStacks: towers of blocks, cylinders and spheres, from the published folders.

Groth et al. 2018, arXiv 1804.08018. ``recordings/<env>/rgb-*-cam_<n>-mono-0.png`` are views of a
tower, ``iseg-*-cam_<n>-mono-0.map`` their labels, beside them or in ``iseg/<env>``, and
``splits/<name>/*.txt`` lists of towers. A ``.map`` is a PNG whose first channel is 32 times the
label. The crop is that of GENESIS (Engelcke et al. 2020, arXiv 1907.13052): 196 of 224 pixels.
"""

import hashlib
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import OriginalOnly
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout, Property
from slotbench.datasets.originals.images import read_image
from slotbench.datasets.originals.importing import Importer, TreeImporter, folder_at, listing
from slotbench.errors import UserError
from slotbench.files import read_bytes
from slotbench.registry import register

LISTS = {"train": "train.txt", "val": "eval.txt", "test": "test.txt"}
SHAPES = 6
"""Most shapes of a tower; of the eight labels, 0 is background and 7 is unused."""
CROP = 196 / 224
STEP = 32
LABELS = (np.arange(256) + STEP // 2) // STEP
NO_LABEL = np.flatnonzero(np.abs(np.arange(256) - STEP * LABELS) > 1)
"""Values of the first channel that are no label, apart from matplotlib's rounding."""
VIOLATIONS = ("none", "center-of-mass", "planar-surface")
EXPECTED = "a folder that holds recordings and splits"
TOWER = re.compile(r"env_[a-z]+-[a-z]+-h=(\d)-vcom=(\d)-vpsf=(\d)-v=\d+")
"""The name of a tower: its number of shapes, the shape (from the lowest, 1) whose load is not
centred above it, and the shape that does not rest on a planar surface; 0: none."""
VIEW = re.compile(r"rgb-.*-cam_(\d+)-mono-0\.png")


@register("datasets")
class ShapeStacks(OriginalOnly):
    """All views of the towers in a published split."""

    summary = "rendered towers of 2 to 6 shapes, some unstable, imported"
    source = "Groth et al. 2018, arXiv 1804.08018"
    name = "shapestacks"
    variants = ("default", "ccs_all", "blocks_all")
    licence = "see ShapeStacks-Manual.md at the source"
    unpacks = True
    obtain: ClassVar[str] = (
        "Fetch shapestacks-rgb, shapestacks-iseg and shapestacks-meta (.tar.gz) from "
        "ogroth.github.io/shapestacks, put them into one folder DIR, and type: "
        "slotbench prepare shapestacks --from DIR"
    )

    def importer(self, path: Path) -> Importer:
        return ShapeStacksImporter(folder_at(path, EXPECTED), self.variant, self.image_size)


class ShapeStacksImporter(TreeImporter):
    """Streams train, then val, then test; towers as listed, their views sorted by name."""

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.rule = f"splits/{variant}: train.txt, eval.txt (val) and test.txt, all views"
        self.towers: list[re.Match[str]] = []  # of each record
        records: list[tuple[str, ...]] = []
        splits, sources, seen = [], [], dict[str, str]()
        for split, file in LISTS.items():
            path = root / "splits" / variant / file
            data = read_bytes(path)
            sources.append({"file": file, "sha256": hashlib.sha256(data).hexdigest()})
            before = len(records)
            for tower in _towers(data, path):
                if tower[0] in seen:
                    raise UserError(f"{path}: {tower[0]} is in {seen[tower[0]]} too.")
                seen[tower[0]] = file
                views = _views(root, tower[0])
                records += views
                self.towers += [tower] * len(views)
            splits.append((split, len(records) - before))
        properties = (
            Property("level", "numeric", unit="place in the tower, 1 the lowest"),
            Property("violation", "categorical", classes=VIOLATIONS),
        )
        layout = Layout(image_size, image_size, SHAPES, properties)
        super().__init__(root, layout, records, splits, sources)

    def fill(self, batch: Batch, record: int, contents: list[bytes]) -> None:
        height, *wrong = map(int, self.towers[record].groups())
        view, map_ = (str(self.root / name) for name in self.records[record])
        labels = _labels(contents[1], map_, height)
        self.store(batch, map_, read_image(contents[0], view), labels, CROP)
        batch["property/level"][0, :height] = np.arange(1, height + 1)
        batch["property/violation"][0, :height] = 0
        for code, shape in enumerate(wrong, start=1):
            if shape:
                batch["property/violation"][0, shape - 1] = code


def _labels(data: bytes, name: str, height: int) -> Array:
    """uint8 (H, W) of a ``.map``: 0, the shape from 1, or 255.

    The source blends colours at borders. Labels above the tower's height are not labelled.
    """
    stored = read_image(data, name)[..., 0]
    if np.isin(np.flatnonzero(np.bincount(stored.ravel())), NO_LABEL).any():
        raise UserError(
            f"{name}: its values are not multiples of {STEP}; this is not a label image of "
            "ShapeStacks."
        )
    return np.where(height < LABELS, NOT_LABELLED, LABELS).astype(np.uint8)[stored]


def _towers(data: bytes, name: Path) -> list[re.Match[str]]:
    """The towers of a list, one a line."""
    towers = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        text = line.strip()
        if not text:
            continue
        match = TOWER.fullmatch(text)
        if match is None:
            raise UserError(
                f"{name}, line {number}: {text[:60]!r} is not the name of a tower.",
                "Expected names such as env_ccs-hard-h=4-vcom=2-vpsf=0-v=60.",
            )
        height, *wrong = map(int, match.groups())
        if not max(1, *wrong) <= height <= SHAPES:
            raise UserError(
                f"{name}, line {number}: {text}: a tower has 1 to {SHAPES} shapes, and no "
                "violation above them."
            )
        towers.append(match)
    return towers


def _views(root: Path, tower: str) -> list[tuple[str, ...]]:
    """The views of a tower and their labels, sorted by name."""
    folder = folder_at(root / "recordings" / tower, EXPECTED)
    apart = "iseg" if (root / "iseg").is_dir() else "recordings"
    views: list[tuple[str, ...]] = []
    for file in listing(folder):
        match = VIEW.fullmatch(str(file))
        if match:
            labels = f"iseg-w=0-f=0-l=0-c=original-cam_{match[1]}-mono-0.map"
            views.append((f"recordings/{tower}/{file}", f"{apart}/{tower}/{labels}"))
    if not views:
        raise UserError(f"{folder}: it holds no view, rgb-*-cam_*-mono-0.png.")
    return views
