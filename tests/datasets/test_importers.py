"""What importers make of odd originals; what they refuse is in ``test_damaged``."""

import json
import shutil

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import prepare
from slotbench.datasets.sets.clevr import ClevrZipImporter
from slotbench.datasets.sets.multi_dsprites import MultiDSprites
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets import originals_clevr_zip as zips
from tests.datasets import originals_clevrtex as tex
from tests.datasets import originals_movi as movi
from tests.datasets import originals_shapestacks as stacks
from tests.datasets.originals import CLEVR, SPRITES, packed_floats, record, write
from tests.datasets.originals_images import grey, rgb
from tests.datasets.sources import SOURCES
from tests.datasets.whole import fingerprint, read_all, refused, requests_of

# At these sizes nothing is resized.
of_clevr, of_clevrtex = requests_of("clevr", 16, "clevr6"), requests_of("clevrtex", 24, "full")
of_stacks, of_movi = requests_of("shapestacks", 28), requests_of("movi", movi.SIDE, "a")
of_rooms = requests_of("objects-room", 64)
FIRST = stacks.TOWERS["train"][0]
MAP = f"iseg/{FIRST}/{stacks.label_name(1)}"


@pytest.fixture
def textures(tmp_path):
    return tex.write(tmp_path)


@pytest.fixture
def towers(tmp_path):
    return stacks.write(tmp_path / "shapestacks")


@pytest.fixture
def clips(tmp_path):
    return movi.write(tmp_path / "a")


@pytest.mark.parametrize("prefix", ["Poliigon", ""])
def test_the_name_that_the_errata_give_is_the_same_material(prefix, textures):
    scene = tex.scene("full", 3)
    scene["objects"][1]["material"] = f"{prefix}FabricUpholsteryMidCenturyPebbles001"
    (textures / f"{tex.stem('full', 3)}.json").write_text(json.dumps(scene))
    with DatasetFile(prepare(of_clevrtex(textures))) as dataset:
        # Of 20 images the first two are test, the next two val.
        code = dataset.read("val")["property/material"][1, 1]
        (known,) = [p.classes for p in dataset.layout.properties if p.name == "material"]
    assert known[code] == "poliigonfabricupholsterybrightanglepattern001"


def test_other_variants_beside_it_are_left_alone(textures):
    expected = fingerprint(prepare(of_clevrtex(textures)))
    tex.write(textures.parent / "both", "camo", 3)
    tex.write(textures.parent / "both")
    found = prepare(of_clevrtex(textures.parent / "both", data_dir=textures.parent / "again"))
    assert fingerprint(found) == expected


def test_another_variant_is_named_with_those_that_are_there(textures):
    message = "no image of the variant camo.*It holds those of full"
    refused(of_clevrtex(textures, "camo"), message)


def test_variants_are_the_published_splits(towers):
    stacks.write(towers, "ccs_all")
    lists = towers / "splits" / "ccs_all"
    (lists / "train.txt").write_text(FIRST)  # no line feed at the end
    path = prepare(of_stacks(towers, "ccs_all"))
    assert path.name == "shapestacks-ccs_all.h5"
    assert verify.dataset(path)["images"] == {"train": 3, "val": 3, "test": 6}
    with pytest.raises(UserError, match=r"splits/blocks_all/train\.txt does not exist"):
        prepare(of_stacks(towers, "blocks_all"))


def test_labels_may_lie_beside_the_views(towers, tmp_path):
    expected = fingerprint(prepare(of_stacks(towers)))
    beside = stacks.write(tmp_path / "other" / "shapestacks", labels_in="recordings")
    assert not (beside / "iseg").exists()
    assert fingerprint(prepare(of_stacks(beside))) == expected


def test_labels_of_shapes_that_are_not_there_are_not_labelled(towers):
    values = stacks.labels(2, 1)
    values[20, 9:11], values[21, 9] = (4, 7), 6
    (towers / MAP).write_bytes(stacks.label_image(values))
    row = sorted(stacks.CAMERAS, key=stacks.view_name).index(1)
    mask = read_all(prepare(of_stacks(towers)))["train/mask"][row]
    expected = np.where(values > 2, 255, values)[2:30, 2:30]
    np.testing.assert_array_equal(mask, expected)
    assert (mask == 255).sum() == 3


def test_matplotlibs_rounding_is_allowed_for(towers):
    expected = fingerprint(prepare(of_stacks(towers)))
    values = stacks.labels(2, 1) * 32
    (towers / MAP).write_bytes(grey(np.maximum(values - 1, 0)))
    assert fingerprint(prepare(of_stacks(towers, force=True))) == expected


def test_a_view_fewer_is_no_mistake(towers):
    (towers / "recordings" / FIRST / stacks.view_name(1)).unlink()
    assert verify.dataset(prepare(of_stacks(towers)))["images"]["train"] == 8


def test_numbers_of_clips_are_those_asked_for(clips):
    path = prepare(of_movi(clips, sizes={"train": 2, "test": 1}))
    with DatasetFile(path) as dataset:
        counts = {split: dataset.rows(split) for split in dataset.splits}
    assert counts == {"train": 2, "val": 1, "test": 1}
    assert prepare(of_movi(clips, sizes={"train": 2})) == path


def test_the_same_command_again_finds_a_file_of_fewer_than_asked_for(clips):
    request = of_movi(clips, sizes={"train": 1000})
    made = prepare(request)
    assert prepare(request) == made
    with pytest.raises(UserError, match="clips in train"):
        prepare(of_movi(clips, sizes={"train": 999}))


def test_the_wrong_folder_is_refused_with_the_right_one(clips):
    refused(of_movi(clips, "c"), "it holds shards of movi_a, not of movi_c")
    asked = of_movi(clips.parent, data_dir=clips / "data")
    error = refused(asked, f"--from {clips.parent}: it holds no shard of movi_a")
    assert error.advice == f"Type: --from {clips}"


@pytest.mark.parametrize(
    ("index", "axis", "side"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
)  # index: large, small
def test_objects_beside_the_crop_are_not_visible(index, axis, side, tmp_path):
    """35 mm on 32 mm of 320 pixels: radius r at depth d covers 350 r / d pixels."""
    depth = 12.0
    radius = zips.SIZES[("large", "small")[index]] * 350 / depth
    edge = ((64, 256), (29, 221))[axis][side]
    objects = []
    for gap in (-1.0, 1.0):  # inside by a pixel, outside by one
        place = [160.0, 120.0]
        place[axis] = edge + (1 if side else -1) * (radius + gap)
        objects.append(zips.thing(index, *place, depth))
    listed = zips.scenes("train", [zips.scene("train", 0, 2, objects=objects)])
    path = zips.write_clevr(tmp_path / "a.zip", [2], [2, 2], scenes__CLEVR_train_scenes=listed)
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 16).batches(0, 10)
    assert batch["visible"][0].tolist() == [True, False, False, False, False, False]
    assert (batch["property/shape"][0, :2] >= 0).all()


def test_the_two_originals_are_told_apart(tmp_path):
    packed = zips.write_clevr(tmp_path / "CLEVR_v1.0.zip", [3] * 7, [4] * 4)
    records = write(tmp_path / "clevr.tfrecords", [record(CLEVR, i, 3) for i in range(10)])
    asked = of_clevr(packed, data_dir=tmp_path)
    assert prepare(asked) == prepare(asked)
    with pytest.raises(UserError, match=r"with original 'CLEVR_v1\.0, without masks' instead of"):
        prepare(of_clevr(records, data_dir=tmp_path))


def test_pictures_of_the_published_size_have_the_same_frame(tmp_path):
    """480x320 with alpha; pixel coordinates are stored in pixels of 320x240."""
    alpha = np.full((320, 480, 1), 255, np.uint8)
    large = np.concatenate([zips.image(0, 320), alpha], axis=2)
    listed = zips.scenes(
        "train", [zips.scene("train", 0, 1, objects=[zips.thing(0, 240, 160, 10)])]
    )
    replaced = {"CLEVR_train_000000": rgb(large, alpha=True), "scenes__CLEVR_train_scenes": listed}
    path = zips.write_clevr(tmp_path / "a.zip", [1], [2, 2], **replaced)
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 256).batches(0, 10)
    np.testing.assert_array_equal(batch["image"][0], large[39:295, 85:341, :3])
    np.testing.assert_allclose(batch["property/pixel_coords"][0, 0], [180, 120, 10])
    assert batch["visible"][0, 0]


def test_objects_in_scattered_columns_move_to_the_first_ones(tmp_path):
    # Entities 1 and 2 are drawn; the record says that 1 is not there, and pads with NaN.
    numbers = np.arange(6.0)
    numbers[3:] = np.nan
    visibility = np.array([1, 0, 1, 0, 0, 0])
    changed = {"x": packed_floats(numbers), "visibility": packed_floats(visibility)}
    stored = record(SPRITES["colored_on_grayscale"], 0, 2, **changed)
    source = write(tmp_path / "x.tfrecords", [stored])
    importer = MultiDSprites("colored_on_grayscale", 64, 0).importer(source)
    ((_, batch),) = importer.batches(0, 10)
    red, mask = batch["image"][0, ..., 0], batch["mask"][0]
    assert (mask[red == 40] == 1).all()
    assert (mask[red == 20] == 255).all()
    assert batch["visible"].tolist() == [[True, False, False, False, False]]
    assert batch["property/position"][0, :, 0].tolist() == [2, 0, 0, 0, 0]


def test_the_training_file_of_rooms_alone_is_enough(tmp_path):
    folder = SOURCES["objects-room"]().written(tmp_path / "rooms", 12)
    expected = fingerprint(prepare(of_rooms(folder)))
    alone = tmp_path / "alone" / "objects_room_train.tfrecords"
    alone.parent.mkdir()
    shutil.copy(folder / alone.name, alone)
    facts = verify.dataset(prepare(of_rooms(alone, data_dir=tmp_path / "other")))
    assert set(facts["images"]) == {"train", "val", "test"}
    # Shifted sets are no part of the fingerprint: it is that of the usual splits.
    assert facts["fingerprint"] == expected
