"""Original files that are damaged, hostile or others: each importer names what is wrong."""

import json
import math
import os
import shutil
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import Request
from tests.datasets import originals
from tests.datasets import originals_clevr_zip as zips
from tests.datasets import originals_clevrtex as tex
from tests.datasets import originals_coco as coco
from tests.datasets import originals_movi as movi
from tests.datasets import originals_shapestacks as stacks
from tests.datasets.originals import packed_floats, record, single_bytes, write
from tests.datasets.originals_images import grey, palette, png, rgb
from tests.datasets.sources import SOURCES
from tests.datasets.test_archives import zip_of
from tests.datasets.test_folder import squares
from tests.datasets.whole import refused


def _file(name, data):
    """A change: the file has other content."""

    def change(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return change


def _gone(name):
    return lambda root: (root / name).unlink()


def _piped(name):
    return lambda root: (root / name).unlink() or os.mkfifo(root / name)


def _emptied(root):
    shutil.rmtree(root)
    root.mkdir()


def _binary(root):
    for mask in root.glob("*_mask.png"):
        mask.write_bytes(grey(squares(0)[1] * 255))


def _device(root):
    (root / "04.png").unlink()
    (root / "04.png").symlink_to("/dev/zero")


def _nowhere(root):
    (root / "04.png").unlink()
    (root / "04.png").symlink_to("gone.png")


def _huge(root):
    with (root / "04.png").open("r+b") as stream:
        stream.truncate(300 << 20)  # a hole; the disk holds none of it


def _table(*lines, header="image,object,a"):
    return _file("properties.csv", "\n".join([header, *lines]).encode())


IN_TABLE = r"properties\.csv.*"
LABELS, MANY = grey(squares(4)[1]), grey(np.arange(24 * 32).reshape(24, 32), 16)
TEXTS = [f"{index:02d}.png,{i},t{index}-{i}" for index in range(10) for i in range(1, 255)]
FOLDER = {
    "no such folder": lambda root: root / "x",
    "this is not a folder": lambda root: root / "00.png",
    "holds no image": _emptied,
    r"04\.png: cannot be read": _nowhere,
    IN_TABLE + "the column 'object' is missing": _table("00.png,1", header="image,label"),
    IN_TABLE + "a column cannot be called 'a/b'": _table(header="image,object,a/b"),
    IN_TABLE + r"line 2: there is no image '\.\./00\.png'": _table("../00.png,1,2"),
    IN_TABLE + "line 2: object '255', expected": _table("00.png,255,2"),
    IN_TABLE + "line 3: a second row": _table("00.png,1,2", "00.png,1,2"),
    IN_TABLE + "line 2, column 'a': the cell is empty": _table("00.png,1,"),
    IN_TABLE + "line 2, column 'a': nan is not finite": _table("00.png,1,nan"),
    IN_TABLE + r"no row for image 01\.png, object 1": _table("00.png,1,2"),
    IN_TABLE + "2,540 different texts; expected numbers": _table(*TEXTS),
    "the masks hold 766 different numbers of objects": _file("04_mask.png", MANY),
    r"04_mask\.png: this PNG has colours": _file("04_mask.png", rgb(squares(4)[0])),
    r"44_mask\.png: this mask belongs to no image": _file("44_mask.png", LABELS),
    r"04\.png: it has two masks": _file("masks/04.png", LABELS),
    r"masks/04/1\.png: this mask .* no image.*join masks of single": _file(
        "masks/04/1.png", LABELS
    ),
    "all masks hold only 0 and 255": _binary,
    r"04\.png is not a regular file": _device,
    r"04\.png has 314,572,800 bytes": _huge,
}


def _coco(change):
    def changed(root):
        parts = coco.documents()
        change(parts)
        coco.write(root, parts)

    return changed


def _of(key, place, **fields):
    """One item of ``train2017`` has other fields; ``None`` removes one."""

    def change(parts):
        item = {**parts["train2017"][key][place], **fields}
        parts["train2017"][key][place] = {k: v for k, v in item.items() if v is not None}

    return _coco(change)


_annotation = partial(_of, "annotations", 0)
ITEM = r"train2017.*annotation 50: .*"
ALL = coco.HEIGHT * coco.WIDTH


def _polygon(*points):
    return _annotation(segmentation=[list(points)])


def _runs(counts, size=(coco.HEIGHT, coco.WIDTH)):
    return _annotation(segmentation={"size": size, "counts": counts})


def _crowded(parts):
    parts["train2017"]["annotations"] = [coco.annotation(1 + k, 9, 1) for k in range(255)]


COCO = {
    "Expected a folder that holds train2017, val2017": lambda root: root / "annotations",
    r"instances_val2017\.json: there is no such": _gone("annotations/instances_val2017.json"),
    r"instances_val2017\.json: this is no regular": _piped("annotations/instances_val2017.json"),
    "train2017.*this is not valid JSON .*": _coco(lambda parts: parts.update(train2017="{")),
    "train2017.*this is not valid JSON": _coco(lambda parts: parts.update(train2017="[" * 100_000)),
    "train2017.*image at place 1: id should be a valid integer": _of("images", 1, id="4"),
    "train2017.*image 4: file_name .* leads out": _of("images", 1, file_name="a/../x.jpg"),
    r"train2017/x\.jpg: (there is no|cannot be)": _of("images", 1, file_name="x.jpg"),
    r"train2017.*30\.jpg: 29x20 labelled pixels, but the image has 28x20": _of(
        "images", 2, width=29
    ),
    "train2017.*category 1: name has characters that cannot be printed": _of(
        "categories", 1, name="\x1b[2J"
    ),
    "different categories": _of("categories", 1, name="dog"),
    r"000009\.jpg \(image 9\) has 255 annotations": _coco(_crowded),
    ITEM + "there is no image 77": _annotation(image_id=77),
    ITEM + "negative size": _annotation(bbox=[5, 5, -2, 3]),
    ITEM + "'bbox' lies outside": _annotation(bbox=[500, 5, 2, 3]),
    ITEM + "neither": _annotation(segmentation=None, bbox=None),
    ITEM + "5 numbers, an odd count": _polygon(1, 1, 5, 1, 5),
    ITEM + "outside its image": _polygon(1, 1, 5, 1, 1000, 5),
    ITEM + "pixels long": _polygon(*([0, 0, 20, 20] * 20_000)),
    ITEM + "the size of its run lengths": _runs([ALL], (coco.WIDTH, coco.HEIGHT)),
    ITEM + "do not add up": _runs([ALL - 1]),
    ITEM + "damaged: .*outside the code": _runs("0\x07"),
    ITEM + "damaged: .*(60 bits|cut off)": _runs("o" * 50),
}
FIRST = tex.stem("full", 3)


def _thing(**fields):
    scene = tex.scene("full", 3)
    scene["objects"][1] |= fields
    return _file(f"{FIRST}.json", json.dumps(scene).encode())


CLEVRTEX = {
    "000003_flat.png: cannot be read": _gone(f"{FIRST}_flat.png"),
    "full_000003.png is missing, and there is one of index 9": _gone(f"{FIRST}.png"),
    "flat.png: label 12, expected 0 to": _file(f"{FIRST}_flat.png", palette(tex.labels(3) * 2)),
    "000003_flat.png: this PNG has colours": _file(f"{FIRST}_flat.png", rgb(tex.picture(3))),
    r"objects\.1\.shape is '\\x1b\[2Jcone', not one of cube": _thing(shape="\x1b[2Jcone"),
    r"objects\.1\.rotation should be a valid number": _thing(rotation=True),
    r"objects\.1\.pixel_coords\.2 should be less than or equal to 1000000": _thing(
        pixel_coords=[0, 0, 1e7]
    ),
    r"no image of the variant full \(CLEVRTEX_full_000000": _emptied,
    "9 records: too few for a test split": lambda root: tex.write(root / "few", images=9),
}
TOWER = stacks.TOWERS["train"][0]
MAP, LIST = f"iseg/{TOWER}/{stacks.label_name(1)}", "splits/default/eval.txt"
SHAPESTACKS = {
    r"eval\.txt, line 1: '\.\./\.\./etc' is not the name of a tower": _file(LIST, b"../../etc\n"),
    r"eval\.txt: .* is in train\.txt too": _file(LIST, TOWER.encode()),
    "a tower has 1 to 6 shapes": _file(LIST, stacks.tower(7, 1).encode()),
    "cam_1-mono-0.map: (cannot be read|there is no)": lambda root: shutil.rmtree(root / "iseg"),
    "cam_1.*are not multiples of 32": _file(MAP, grey(np.full((32, 32), 17))),
}
NAME = movi.shard_name("a", "train", 1, 2)


def _clip(**replaced):
    """Record 1 of the second shard, which is clip 4, has other features."""
    return lambda root: movi.write(root, replaced={4: movi.record(4, **replaced)})


def _frames(key, encode, drawn, third):
    """In clip 4 the third image is another."""
    images = [encode(drawn(4, time)) for time in range(movi.FRAMES)]
    return _clip(**{key: movi.entries([*images[:2], third, *images[3:]])})


INFO = "dataset_info.json"
LENGTHS = json.dumps({"splits": [{"name": "train", "shardLengths": ["3", "5"]}]}).encode()
CODES, NANS = movi.ints(np.array([3])), packed_floats(np.full(48, np.nan))
AT = rf"{NAME}: record 1, byte [\d,]+: feature "
MOVI = {
    rf"{NAME} is missing\. Fetch": _gone(NAME),
    f"{NAME}: this is no regular file": _piped(NAME),
    f"{NAME}: .* it holds 4 records, but .* says 5": _file(INFO, LENGTHS),
    r"dataset_info\.json is not valid JSON": _file(INFO, b"[" * 200_000),
    AT + "'video' is missing": _clip(video=b""),
    AT + "'instances/shape_label' has a code outside 0 to 2": _clip(instances__shape_label=CODES),
    AT + "'instances/image_positions' has a number that is not finite": _clip(
        instances__image_positions=NANS
    ),
    AT + "'segmentations', frame 2: label 2, expected 0 to 1": _frames(
        "segmentations", grey, movi.labels, grey(np.full((16, 16), 2))
    ),
    AT + "'video', frame 2: .*larger than": _frames(
        "video", rgb, movi.image, png(b"", 60_000, 60_000, 8, 2)
    ),
}


def _zip(**replaced):
    return lambda path: zips.write_clevr(path, [3, 3], [3, 3], **replaced)


def _val(**fields):
    """Of the second scene of val, object 2 has other fields."""
    second = zips.scene("val", 1, 3)
    second["objects"][2] |= fields
    listed = [zips.scene("val", 0, 3), second]
    return _zip(scenes__CLEVR_val_scenes=zips.scenes("val", listed))


def _train(**fields):
    """The second scene of train has other fields."""
    listed = [zips.scene("train", 0, 3), zips.scene("train", 1, 3, **fields)]
    return _text(zips.scenes("train", listed))


def _text(text):
    return _zip(scenes__CLEVR_train_scenes=text)


def _without(split):
    files = zips.clevr_files([3], [3, 3]).items()
    kept = {name: data for name, data in files if f"{split}_scenes" not in name}
    return lambda path: zip_of(path, kept)


SMALL = rgb(np.zeros((120, 160, 3), np.uint8))
MEMBER = r"CLEVR_v1\.0\.zip, member CLEVR_v1\.0/"
IN_VAL = MEMBER + r"scenes/CLEVR_val_scenes\.json.*"
SCENE = MEMBER + r"scenes/CLEVR_train_scenes\.json, scene 1[:,].* ?"
TEXT = MEMBER + r"scenes/CLEVR_train_scenes\.json.*"
CLEVR_ZIP = {
    "holds 0 files scenes/CLEVR_train": _without("train"),
    "val_scenes.json: there is no such": _without("val"),
    IN_VAL + "objects.2.shape is 'cone', not one of cube, sphere, cylin": _val(shape="cone"),
    IN_VAL + "this is not valid JSON": _val(rotation=math.nan),
    IN_VAL + "scene 1: 'pixel_coords' has no positive depth": _val(pixel_coords=[1, 2, 0]),
    SCENE + "'image_filename' is not a file name": _train(image_filename="../../x"),
    SCENE + "'image_filename' is not a file name.": _train(image_filename=3),
    SCENE + r"there is no image CLEVR_v1\.0/images/": _train(image_filename="9.png"),
    SCENE + "objects list should have at most 10 items": _train(objects=[zips.thing(0, 100)] * 11),
    SCENE + "objects.0 expected keys and values": _train(objects=[3]),
    TEXT + "premature EOF": _text(b""),
    TEXT + "it has no list 'scenes'": _text(b'{"info": {}}'),
    TEXT + "nested too deep": _text(b'{"scenes": [' + b"[" * 100_000),
    TEXT + "scene 0: expected keys and values": _text(b'{"scenes": [3]}'),
    MEMBER + r"images/train/.*01\.png: 160x120 pixels, expected 480x320": _zip(
        CLEVR_train_000001=SMALL
    ),
    MEMBER + r"images/val/CLEVR_val_000001\.png: .*not a PNG": _zip(CLEVR_val_000001=b"PNG"),
}


def _record(form, key, feature):
    """The second record has another feature."""
    return lambda path: write(path, [record(form, 0, 3), record(form, 1, 3, **{key: feature})])


_clevr, _pieces = partial(_record, originals.CLEVR), partial(_record, originals.TETROMINOES)
SECOND, NUMBERS = "record 1, byte [1-9][0-9,]*: feature ", np.ones(11)
BYTES = NUMBERS.astype(np.uint8)
CLEVR = {
    r"this is a folder; expected a file\. Type: --from .*x\.tfrecords": lambda path: path.parent,
    SECOND + "'shape' has a code outside 1 to 3": _clevr("shape", single_bytes(4 * BYTES)),
    SECOND + "'size': not a bytes_list": _clevr("size", packed_floats(NUMBERS)),
    SECOND + "'y' has a number that is not finite": _clevr("y", packed_floats(np.nan * NUMBERS)),
    SECOND + "'visibility' has a number that": _clevr(
        "visibility", packed_floats(np.inf * NUMBERS)
    ),
    SECOND + "'mask' has 11 numbers, expected 11x240x320x1": _clevr("mask", single_bytes(BYTES)),
}
TETROMINOES = {
    SECOND + "'color' has a code outside 1 to 6": _pieces("color", packed_floats(np.zeros((4, 3))))
}
OTHERS = [record(form, 0, 2) for form in originals.SPRITES.values()]
MULTI_DSPRITES = {
    "record 0, byte 0: feature 'mask' has": lambda path: write(path, OTHERS[1:]),
    "record 1, byte [0-9,]+: feature 'image' has": lambda path: write(path, OTHERS[::2]),
}
ROOM = "objects_room_{}.tfrecords"
OBJECTS_ROOM = {
    r"objects_room_train\.tfrecords: there is no such file": _gone(ROOM.format("train")),
    r"objects_room_test_six_objects\.tfrecords: this is no regular file": _piped(
        ROOM.format("test_six_objects")
    ),
    "there is no such file": lambda root: root / "missing.tfrecords",
    "sprites: record 0, byte 0: feature 'mask' has 24576 numbers": lambda root: write(
        root / "sprites", OTHERS
    ),
    r"six_objects\.tfrecords: record 0, byte 0: feature 'mask' has 28672 numbers": lambda root: (
        shutil.copy(root / ROOM.format("train"), root / ROOM.format("test_six_objects")) and root
    ),
}
BAD = {"folder": FOLDER, "coco": COCO, "clevrtex": CLEVRTEX, "shapestacks": SHAPESTACKS}
BAD |= {"movi": MOVI, "clevr-zip": CLEVR_ZIP, "clevr": CLEVR, "tetrominoes": TETROMINOES}
BAD |= {"multi-dsprites": MULTI_DSPRITES, "objects-room": OBJECTS_ROOM}
"""Source -> message -> the change, which may return another path to read."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a source, and the path to read below it; do not change them."""

    @cache
    def made(case):
        folder = tmp_path_factory.mktemp(case) / "source"
        return folder, SOURCES[case]().written(folder, 10).relative_to(folder)

    return made


@pytest.mark.parametrize(
    ("case", "message"), [(case, message) for case in BAD for message in BAD[case]]
)
def test_what_is_wrong_is_named(case, message, whole, tmp_path):
    source, (folder, inside) = SOURCES[case](), whole(case)
    root = shutil.copytree(folder, tmp_path / "home" / "source") / inside
    changed = BAD[case][message](root)
    root = changed if isinstance(changed, Path) else root
    refused(Request(source.name, source.variant, root, 16, data_dir=tmp_path / "data"), message)
