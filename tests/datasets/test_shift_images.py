"""Shifts made on finished images: what changes, and that nothing else does."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from slotbench.datasets.format.schema import SHIFT_FLAGS, Layout, Property
from slotbench.datasets.shifts.shift_images import OCCLUSION, TINT, TURN, change

SIDE, OBJECTS = 50, 4
COLOR = Property("color", "categorical", classes=("a", "b"))
LAYOUT = Layout(SIDE, SIDE, OBJECTS, (COLOR, Property("place", "numeric", dim=2)))


def scenes(n, seed=0, gray=False):
    """Squares of one colour each on noise; object 4 is never there, pixels of a row unlabelled."""
    generator = np.random.default_rng(seed)
    batch = LAYOUT.empty(n)
    batch["image"][:] = generator.integers(90, 110, batch["image"].shape)
    for row in range(n):
        for slot in range(3):
            x, y = generator.integers(0, SIDE - 12, 2)
            where = (row, slice(y, y + 12), slice(x, x + 12))
            batch["mask"][where] = slot + 1
            hue = colorsys.hsv_to_rgb(generator.random(), 0.0 if gray else 0.9, 0.8)
            batch["image"][where] = np.rint(255 * np.array(hue))
            batch["property/place"][row, slot] = x, y
        batch["mask"][row, -1] = 255
        batch["visible"][row] = [(batch["mask"][row] == slot + 1).any() for slot in range(OBJECTS)]
    batch["property/color"][batch["visible"]] = 1
    return batch


def rows(batch, where):
    return {key: array[where] for key, array in batch.items()}


@pytest.mark.parametrize("shift", ["occlusion", "crop", "object_color"])
def test_each_row_is_a_function_of_itself_and_its_index(shift):
    batch = scenes(12)
    before = {key: array.copy() for key, array in batch.items()}
    made = change(batch, LAYOUT, shift, 128, 0, 0)
    for key in before:
        np.testing.assert_array_equal(batch[key], before[key])
    parts = [change(rows(batch, slice(at, at + 4)), LAYOUT, shift, 128, 0, at) for at in (0, 4, 8)]
    for key, array in made.items():
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), array)
    # What is visible is what the masks show, and no other property is lost.
    shown = [(made["mask"] == slot + 1).any(axis=(1, 2)) for slot in range(OBJECTS)]
    np.testing.assert_array_equal(made["visible"], np.stack(shown, axis=1))
    np.testing.assert_array_equal(made["property/place"], batch["property/place"])


def test_occlusion_is_a_square_where_it_hides_little():
    batch = scenes(40)
    made = change(batch, LAYOUT, "occlusion", 51, 0, 0)
    side, hidden, anywhere = int(OCCLUSION * SIDE), [], []
    for row in range(40):
        moved = (made["image"][row] != batch["image"][row]).any(axis=-1)
        ys, xs = np.nonzero(moved)
        assert max(np.ptp(ys), np.ptp(xs)) < side
        square = np.zeros_like(moved)
        square[ys.min() : ys.min() + side, xs.min() : xs.min() + side] = True
        assert moved.sum() == side**2
        assert (made["image"][row][square] == 51).all()
        assert not made["mask"][row][square].any()
        np.testing.assert_array_equal(made["mask"][row][~square], batch["mask"][row][~square])
        things = np.isin(batch["mask"][row], (1, 2, 3))
        hidden.append(things[square].sum())
        anywhere.append(things.mean() * side**2)
    assert np.mean(hidden) < 0.5 * np.mean(anywhere)
    places = [tuple(np.argwhere((image == 51).all(axis=-1))[0]) for image in made["image"]]
    assert len(set(places)) > 20


def test_crop_is_that_of_torchvision():
    batch = scenes(6)
    made = change(batch, LAYOUT, "crop", 128, 0, 0)
    side = int(SIDE // 1.5)
    assert 1.4 < SIDE / side < 1.6
    images, masks = (
        v2.functional.center_crop(torch.from_numpy(array), [side, side])
        for array in (batch["image"].transpose(0, 3, 1, 2), batch["mask"])
    )
    resize = v2.functional.resize
    near = resize(masks, [SIDE, SIDE], v2.InterpolationMode.NEAREST_EXACT)
    assert (near.numpy() == made["mask"]).mean() > 0.999
    smooth = resize(images, [SIDE, SIDE], v2.InterpolationMode.BILINEAR, antialias=True)
    apart = smooth.numpy().transpose(0, 2, 3, 1).astype(int) - made["image"]
    assert abs(apart).max() <= 1


@pytest.mark.parametrize("gray", [False, True])
def test_one_object_gets_another_hue_and_nothing_else_changes(gray):
    batch = scenes(30, gray=gray)
    made = change(batch, LAYOUT, "object_color", 128, 0, 0)
    flags = made[SHIFT_FLAGS]
    assert (flags.sum(axis=1) == 1).all()
    assert flags.sum(axis=0).min(initial=99, where=np.arange(OBJECTS) < 3) > 3
    np.testing.assert_array_equal(made["mask"], batch["mask"])
    np.testing.assert_array_equal(
        made["property/color"], np.where(flags, -1, batch["property/color"])
    )
    for row, slot in np.argwhere(flags):
        pixels = batch["mask"][row] == slot + 1
        np.testing.assert_array_equal(made["image"][row][~pixels], batch["image"][row][~pixels])
        old, new = (
            colorsys.rgb_to_hsv(*(array["image"][row][pixels][0] / 255)) for array in (batch, made)
        )
        turn = (new[0] - old[0]) % 1
        assert new[2] == pytest.approx(old[2], abs=0.01)
        if gray:
            assert new[1] == pytest.approx(TINT, abs=0.02)
        else:
            assert TURN[0] - 0.01 < turn < TURN[1] + 0.01


def test_where_there_is_no_object_nothing_is_changed():
    batch = scenes(2)
    batch["mask"][0], batch["visible"][0] = 0, False
    made = change(batch, LAYOUT, "object_color", 128, 0, 0)
    np.testing.assert_array_equal(made["image"][0], batch["image"][0])
    assert made[SHIFT_FLAGS].sum(axis=1).tolist() == [0, 1]
    with pytest.raises(ValueError, match="object_style"):
        change(batch, LAYOUT, "object_style", 128, 0, 0)


def test_all_frames_of_a_clip_are_changed_alike():
    layout = Layout(SIDE, SIDE, OBJECTS, LAYOUT.properties, frames=3)
    one = scenes(4)
    clips = {key: np.repeat(array[:, None], 3, axis=1) for key, array in one.items()}
    clips["visible"][0, 1, 0] = False
    clips["mask"][0, 1][clips["mask"][0, 1] == 1] = 0
    for shift in ("occlusion", "crop", "object_color"):
        made = change(clips, layout, shift, 128, 0, 0)
        for key in ("image", "mask"):
            np.testing.assert_array_equal(made[key][1:, 0], made[key][1:, 2])
        if shift == "object_color":
            # An object that a frame hides is not flagged there.
            assert not (made[SHIFT_FLAGS] & ~made["visible"]).any()
            assert (made[SHIFT_FLAGS].any(axis=1).sum(axis=1) == 1).all()
