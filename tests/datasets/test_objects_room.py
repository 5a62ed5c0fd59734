"""Objects Room, rendered, and from files that the tests write."""

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.render import objects_room_scene as rooms
from slotbench.datasets.render.objects_room_scene import COLORS, FOV, GAP, HALF, SIZES, footprint
from slotbench.datasets.sets.objects_room import ObjectsRoom, fourth_is_object
from slotbench.rng import numpy_generator
from tests.datasets.originals import room_arrays
from tests.datasets.test_clevr import projected
from tests.datasets.whole import evaluated

GROUPS = {"train": (1, 3), "test-empty_room": (0, 0)}
GROUPS |= {"test-six_objects": (6, 6), "test-identical_color": (4, 6)}


@pytest.fixture(scope="module")
def rendered():
    dataset = ObjectsRoom("default", 64, seed=0)
    return {group: dataset.render(group, 0, 8) for group in GROUPS}


@pytest.mark.parametrize("count", [1, 3, 6])
def test_objects_stand_apart_inside_the_room_and_the_frame(count):
    generator = numpy_generator(0, "rooms", count)
    for _ in range(30):
        room = rooms.sample_room(count, False, generator)
        assert len(room.objects) == count
        assert room.floor != room.walls
        for i, one in enumerate(room.objects):
            reach = footprint(one.shape, one.size)
            assert np.hypot(*one.position[:2]) + reach < HALF
            assert one.position[2] == one.size
            assert SIZES[0] <= one.size <= SIZES[1]
            for two in room.objects[:i]:
                apart = np.hypot(*np.subtract(one.position, two.position)[:2])
                assert apart >= reach + footprint(two.shape, two.size) + GAP
        assert np.hypot(*room.camera[:2]) < HALF


@pytest.mark.parametrize("group", ["train", "test-six_objects"])
def test_every_object_is_seen_where_it_is_said_to_be(rendered, group):
    batch = rendered[group]
    for row in range(8):
        for slot in range(int(batch["visible"][row].sum())):
            rows, columns = np.nonzero(batch["mask"][row] == slot + 1)
            assert len(rows) >= ObjectsRoom.least * 64 * 64
    # The scenes of the stream, made again; those before the last were refused.
    dataset = ObjectsRoom("default", 64, seed=0)
    for index in range(4):
        drawn = dataset._one(group, index)
        room, mask = drawn.scene, drawn.mask
        for slot, thing in enumerate(room.objects):
            np.testing.assert_allclose(batch["property/position"][index, slot], thing.position)
            rows, columns = np.nonzero(mask == slot + 1)
            seen = projected(thing.position, room.camera, room.target)
            x, y = 32 * (seen / np.tan(np.radians(FOV / 2)) + 1)
            assert columns.min() - 8 <= x <= columns.max() + 8
            assert rows.min() - 8 <= y <= rows.max() + 8


@pytest.mark.parametrize(("group", "counts"), GROUPS.items())
def test_groups_have_their_numbers_of_objects(rendered, group, counts):
    batch = rendered[group]
    found = batch["visible"].sum(axis=1)
    assert counts[0] <= found.min() <= found.max() <= counts[1]
    pairs = zip(batch["property/color"], batch["visible"], strict=True)
    colors = [set(row[shown]) for row, shown in pairs]
    if group == "test-identical_color":
        assert {len(one) for one in colors} == {1}
        assert len(set.union(*colors)) > 1
    if group == "test-six_objects":
        assert max(len(one) for one in colors) > 2


def test_objects_have_their_colour_and_masks_end_where_they_do(rendered):
    known = np.array(list(COLORS.values()), float)
    known /= known.sum(axis=1, keepdims=True)
    right, edges = [], []
    for group in ("train", "test-six_objects"):
        batch = rendered[group]
        for row in range(8):
            image, mask = batch["image"][row].astype(float), batch["mask"][row]
            for slot in range(int(batch["visible"][row].sum())):
                pixels = image[mask == slot + 1].mean(axis=0)
                chroma = pixels / pixels.sum()
                nearest = np.linalg.norm(chroma - known, axis=1).argmin()
                right.append(nearest == batch["property/color"][row, slot])
            change = abs(np.diff(image, axis=1)).sum(axis=-1)
            border = np.diff(mask.astype(int), axis=1) != 0
            edges.append(change[border].mean() / change[~border].mean())
    assert np.mean(right) > 0.9
    # Colours change where labels do, ten times as much as elsewhere.
    assert np.median(edges) > 10


def test_from_rendering_to_an_evaluation_on_a_shifted_set(tmp_path):
    sizes = {"train": 6, "val": 6, "test": 6}
    path = prepare(
        Request("objects-room", image_size=32, sizes=sizes, workers=1, data_dir=tmp_path)
    )
    for split in ("test-six_objects", "test-empty_room"):
        found = evaluated(path, tmp_path / "results", "segmentation", split)
        assert found["split"] == split
        scored = found["metrics"]["fg_ari/decoder"]["value"]
        # Where there are no objects there is nothing to score: null, never 0 or NaN.
        assert (scored is None) == (split == "test-empty_room")


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ((slice(28, 40), slice(20, 30)), True),  # at the foot of the wall
        ((slice(40, 50), slice(20, 30)), True),  # on the floor
        ((slice(15, 22), slice(20, 30)), True),  # before the wall and the sky
        ((slice(40, 50), slice(0, 10)), False),  # cut off by the border: cannot be told apart
        ((slice(28, 40), slice(0, 10)), True),  # the same, but the wall is above it
    ],
    ids=["foot", "floor", "sky", "border", "corner"],
)
def test_the_fourth_entity_is_told_by_where_it_lies(place, found):
    labels = room_arrays(0, 0, walls=1)[1]
    labels[place] = 3
    assert fourth_is_object(labels) == found


def test_halves_of_the_wall_are_no_objects():
    one, two = (room_arrays(0, 0, walls)[1] for walls in (1, 2))
    hidden, leaning = two.copy(), two.copy()
    hidden[25:40, 40:50] = 4  # an object before it
    leaning[26:32, 30] = 2  # the corner of the room leans by a pixel
    for labels in (one, two, two[:, ::-1], hidden, leaning):
        assert not fourth_is_object(labels)
