"""Importer of ClevrTex's folders: an image, its labels and its scene as JSON each.

Karazija et al. 2021, arXiv 2111.10265. ``CLEVRTEX_<variant>_%06d.png``, ``..._flat.png`` (a palette
whose index is the object) and ``....json``, a thousand a folder. Crop and split are those of the
authors' loader: the middle 0.8 of the shorter side; by index, the first tenth is test, the second
val, the rest train.
"""

import json
import re
import tomllib
from pathlib import Path

from slotbench.datasets.format.schema import Array, Batch, Layout
from slotbench.datasets.originals.images import read_image, read_labels
from slotbench.datasets.originals.importing import TreeImporter, listing, shown
from slotbench.datasets.originals.scenes import MOST_OBJECTS, properties_of, read_objects, store
from slotbench.datasets.render.clevr_scene import COLORS
from slotbench.errors import UserError

CROP = 0.8
MOST_TEXT = 1 << 20
"""Bytes of a scene; the published ones have a few thousand."""
EXPECTED = "a folder that holds files such as CLEVRTEX_full_000000.png, or its archive"
ADVICE = "Is this ClevrTex, whole and unchanged?"
FILE = re.compile(r"CLEVRTEX_([a-z]+)_(\d{6})\.png", re.IGNORECASE)
SIZES = ("large", "medium", "small")
SHAPES = ("cube", "sphere", "cylinder", "monkey")
SHAPES_OUTD = ("cone", "icosahedron", "torus", "teapot")
MATERIALS_VBG = ("mymetal", "rubber")


_STORED = tomllib.loads(Path(__file__).with_name("poliigon.toml").read_text())
_NAMED = {key: tuple(f"poliigon{name}" for name in text.split()) for key, text in _STORED.items()}
MATERIALS, MATERIALS_OUTD = (*_NAMED["usual"], "whitemarble"), _NAMED["outd"]


class ClevrTexImporter(TreeImporter):
    """Streams the images of one variant by their index."""

    rule = "by index: the first 10 % test, the next 10 % val, the rest train"

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.classes = _classes(variant)
        properties = properties_of(self.classes, "[0, 360), drawn as radians by the original")
        layout = Layout(image_size, image_size, MOST_OBJECTS, properties)
        super().__init__(root, layout, _records(root, variant))

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        test, val = records // 10, records // 5
        return {"train": (val, records), "val": (test, val), "test": (0, test)}

    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array, Batch]:
        picture, flat, name = map(self.name_of, self.records[record])
        if len(contents[2]) > MOST_TEXT:
            raise UserError(f"{name}: {len(contents[2]):,} bytes are too many for a scene.", ADVICE)
        try:
            scene = json.loads(contents[2])
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name}: this is no JSON.", ADVICE) from error
        objects = read_objects(scene, self.classes, name, ADVICE, first=1)
        labels = read_labels(contents[1], flat, len(objects["shape"]))
        image, mask = self.fitted(flat, read_image(contents[0], picture), labels, CROP)
        more = self.layout.empty(1)
        store(objects, more)
        return image, mask, {prop.key: more[prop.key] for prop in self.layout.properties}


def _classes(variant: str) -> dict[str, tuple[str, ...]]:
    """Property -> its classes."""
    shapes, materials = SHAPES, MATERIALS
    if variant == "outd":
        shapes, materials = SHAPES_OUTD, MATERIALS_OUTD
    if variant == "vbg":
        materials = MATERIALS_VBG
    found = {"shape": shapes, "material": materials, "size": SIZES}
    # Other variants store a colour too, but their materials do not show it.
    return found | ({"color": tuple(COLORS)} if variant == "vbg" else {})


def _records(root: Path, variant: str) -> list[tuple[str, ...]]:
    """The files of each image, in the order of their indices, which are 0, 1, 2, ..."""
    found: dict[int, str] = {}
    others: set[str] = set()
    for path in listing(root, FILE):
        match = FILE.fullmatch(path.name)
        assert match is not None
        if match[1].lower() != variant:
            others.add(match[1].lower())
            continue
        index = int(match[2])
        if index in found:
            raise UserError(f"{shown(root / path)}: {shown(found[index])}.png has this index too.")
        found[index] = str(path)[: -len(".png")]
    if not found:
        have = f" It holds those of {', '.join(sorted(others))}." if others else ""
        raise UserError(
            f"--from {shown(root)}: there is no image of the variant {variant} "
            f"(CLEVRTEX_{variant}_000000.png).{have}",
            f"Type --variant {min(others)}." if others else f"Expected {EXPECTED}.",
        )
    missing = next((index for index in range(len(found)) if index not in found), None)
    if missing is not None:
        raise UserError(
            f"--from {shown(root)}: CLEVRTEX_{variant}_{missing:06d}.png is missing, and there is "
            f"one of index {max(found)}.",
            "The splits are by index: fetch every part of the archive.",
        )
    return [
        (f"{found[index]}.png", f"{found[index]}_flat.png", f"{found[index]}.json")
        for index in range(len(found))
    ]
