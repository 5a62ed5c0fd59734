"""ClevrTex: CLEVR's scenes with textures, rendered with Mitsuba or read from the archive.

Karazija et al. 2021, arXiv 2111.10265. Rendered scenes follow the published generator in counts,
placement, sizes and variants. Materials and two of the shapes are our own: the licences of the
originals do not allow copies.

The archive holds ``CLEVRTEX_<variant>_%06d.png``, ``..._flat.png`` (a palette whose index is the
object) and ``....json``, a thousand in each folder. Crop and split follow the authors' loader: the
middle 0.8 of the shorter side; by index, the first tenth is test, the second val, the rest train.
"""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Download
from slotbench.datasets.format.schema import Batch, Layout, categorical
from slotbench.datasets.originals.images import read_image, read_labels
from slotbench.datasets.originals.importing import TreeImporter, folder_at, listing
from slotbench.datasets.originals.scenes import MOST_OBJECTS, properties_of, read_objects, store
from slotbench.datasets.render.clevr_scene import COLORS, Scene, numbers_of, values
from slotbench.datasets.render.clevrtex_scene import COUNTS, KINDS, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.placement import Thing
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.errors import UserError
from slotbench.files import parse_json
from slotbench.registry import register

ADDRESS = "https://thor.robots.ox.ac.uk/datasets/clevrtex"
CROP = 0.8
EXPECTED = "a folder that holds files such as CLEVRTEX_full_000000.png, or its archive"
ADVICE = "Is this ClevrTex, whole and unchanged?"
FILE = re.compile(r"CLEVRTEX_([a-z]+)_(\d{6})\.png", re.IGNORECASE)
_STORED = tomllib.loads(Path(__file__).with_name("poliigon.toml").read_text())
_NAMED = {key: tuple(f"poliigon{name}" for name in text.split()) for key, text in _STORED.items()}
MATERIALS = {"outd": _NAMED["outd"], "vbg": ("mymetal", "rubber")}
"""Materials of the original files, by variant."""
USUAL_MATERIALS = (*_NAMED["usual"], "whitemarble")


@register("datasets")
class ClevrTex(RenderedDataset):
    """Three to ten textured objects on a textured ground; six variants."""

    summary = "3 to 10 textured objects on a textured ground, rendered or imported"
    source = "Karazija et al. 2021, arXiv 2111.10265"
    name = "clevrtex"
    variants = tuple(KINDS)
    licence = "rendered scenes: CC0; original files: see the project's page, textures of Poliigon"
    unpacks = True
    drawn_shifts = ("crop", "object_shape", "object_style")
    renderer = "slotbench.datasets.render.clevr_render:ClevrTexRenderer"
    tries = 10_000
    obtain: ClassVar[str] = (
        "Fetch the variant's archive from the project's page, "
        "www.robots.ox.ac.uk/~vgg/data/clevrtex, and type: "
        "slotbench prepare clevrtex:VARIANT --from ARCHIVE"
    )

    @property
    def layout(self) -> Layout:
        kind = KINDS[self.variant]
        classes = {"shape": kind.shapes, "material": kind.materials, "size": dict(kind.sizes)}
        properties = (
            *categorical(classes | ({"color": COLORS} if kind.colored else {})),
            *numbers_of("degrees about the vertical, [0, 360)"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[1], properties)

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        return {"num_objects": "its training scenes have up to ten objects already"}

    def counts(self, split: str) -> tuple[int, int]:  # noqa: ARG002
        return COUNTS

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Scene:  # noqa: ARG002
        return sample_scene(KINDS[self.variant], count, generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        kind = KINDS[self.variant]
        if shift == "object_style":
            return replace(thing, material=str(generator.choice(kind.new_materials)), color="")
        # Its middle stays, and it still rests on the ground: so it becomes no wider.
        shape = str(generator.choice(kind.new_shapes))
        return replace(thing, shape=shape, radius=thing.position[2] / mesh(shape).rest)

    def values(self, scene: Scene, thing: Thing) -> dict[str, Any]:
        return values(scene, thing, self.image_size, 0.0)

    def downloads(self) -> tuple[Download, ...]:
        if self.variant == "grassbg":  # its archive has several names in public code
            return ()
        full = self.variant == "full"
        parts = [f"full_part{part}" for part in range(1, 6)] if full else [self.variant]
        return tuple(Download(f"{ADDRESS}/clevrtex_{part}.tar.gz") for part in parts)

    def importer(self, path: Path) -> TreeImporter:
        return ClevrTexImporter(folder_at(path, EXPECTED), self.variant, self.image_size)


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

    def fill(self, batch: Batch, record: int, contents: list[bytes]) -> None:
        picture, flat, name = (str(self.root / name) for name in self.records[record])
        scene = parse_json(contents[2], name)
        objects = read_objects(scene, self.classes, name, ADVICE, first=1)
        labels = read_labels(contents[1], flat, len(objects["shape"]))
        self.store(batch, flat, read_image(contents[0], picture), labels, CROP)
        store(objects, batch)


def _classes(variant: str) -> dict[str, tuple[str, ...]]:
    """Property -> its classes in the original files, which have a monkey where we have a head."""
    kind = KINDS[variant]
    shapes = tuple("monkey" if shape == "head" else shape for shape in kind.shapes)
    materials = MATERIALS.get(variant, USUAL_MATERIALS)
    found = {"shape": shapes, "material": materials, "size": tuple(dict(kind.sizes))}
    # Other variants store a colour too, but their materials do not show it.
    return found | ({"color": tuple(COLORS)} if kind.colored else {})


def _records(root: Path, variant: str) -> list[tuple[str, ...]]:
    """The files of each image, in the order of their indices, which are 0, 1, 2, ..."""
    found: dict[str, dict[int, str]] = {}
    for path in listing(root, FILE):
        match = FILE.fullmatch(path.name)
        assert match is not None
        images, index = found.setdefault(match[1].lower(), {}), int(match[2])
        if index in images:
            raise UserError(f"{root / path}: {images[index]}.png has this index too.")
        images[index] = str(path.with_suffix(""))
    images = found.pop(variant, {})
    if not images:
        have = f" It holds those of {', '.join(sorted(found))}." if found else ""
        raise UserError(
            f"--from {root}: there is no image of the variant {variant} "
            f"(CLEVRTEX_{variant}_000000.png).{have}",
            f"Type --variant {min(found)}." if found else f"Expected {EXPECTED}.",
        )
    for index in range(len(images)):
        if index not in images:
            raise UserError(
                f"--from {root}: CLEVRTEX_{variant}_{index:06d}.png is missing, and there is "
                f"one of index {max(images)}.",
                "The splits are by index: fetch every part of the archive.",
            )
    endings = (".png", "_flat.png", ".json")
    return [tuple(images[index] + end for end in endings) for index in range(len(images))]
