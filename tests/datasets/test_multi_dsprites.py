"""Sprites: what images and clips say of them, drawn again by the tests; how they move."""

import math

import numpy as np
import pytest

from slotbench.datasets.render.sprites import COUNTS, MIN_VISIBLE, extent, template
from slotbench.datasets.sets.multi_dsprites import BORDER, MultiDSprites
from slotbench.datasets.sets.multi_dsprites_video import SPEED, MultiDSpritesVideo

SIZE = 64


def drawn(frame, slot, border):
    """Pixels (count, 2), y and x, of a sprite as it is drawn without others."""
    sprite = template(
        int(frame["property/shape"][slot]),
        round((frame["property/scale"][slot] - 0.5) * 10),
        round(frame["property/orientation"][slot] / (2 * math.pi) * 40),
        SIZE,
    )
    place = border + frame["property/position"][slot] * (1 - 2 * border)
    center = np.rint(place * (SIZE - 1)).astype(int)
    return np.argwhere(sprite) - len(sprite) // 2 + center[::-1]


@pytest.mark.parametrize("variant", COUNTS)
@pytest.mark.parametrize("kind", [MultiDSprites, MultiDSpritesVideo])
def test_masks_and_images_are_what_the_properties_say(kind, variant):
    video, hidden, grounds = kind is MultiDSpritesVideo, 0, []
    batch = kind(variant, SIZE, seed=0).render("test", 0, 60 if video else 300)
    if not video:
        batch = {key: array[:, None] for key, array in batch.items()}
    counts = (batch["property/shape"][:, 0] >= 0).sum(axis=1)  # also of what is hidden
    low, high = COUNTS[variant]
    assert set(counts) == set(range(low, high + 1))
    for clip, index in np.ndindex(batch["mask"].shape[:2]):
        frame = {key: array[clip, index] for key, array in batch.items()}
        expected, areas = np.zeros((SIZE, SIZE), np.uint8), []
        for slot in range(counts[clip]):  # a later sprite covers an earlier one
            pixels = drawn(frame, slot, 0 if video else BORDER)
            assert pixels.min() >= 0
            assert pixels.max() < SIZE
            expected[tuple(pixels.T)] = slot + 1
            areas.append(len(pixels))
        np.testing.assert_array_equal(frame["mask"], expected)
        shown = np.bincount(expected.ravel(), minlength=counts[clip] + 1)[1:]
        if index == 0:
            assert (shown >= MIN_VISIBLE * np.array(areas)).all()
        np.testing.assert_array_equal(frame["visible"][: counts[clip]], shown > 0)
        hidden += (shown == 0).sum()
        colors = frame.get("property/color", np.ones((high, 3)))
        for slot in shown.nonzero()[0]:
            pixels = frame["image"][expected == slot + 1]
            assert (pixels == pixels[0]).all()
            np.testing.assert_allclose(pixels[0], colors[slot] * 255, atol=0.51)
        ground = frame["image"][expected == 0]
        assert (ground == ground[0]).all()
        grounds.append(ground[0])
    # Some are covered for a while, and `visible` says so.
    assert (hidden > 0) == video
    assert (np.ptp(grounds, axis=1).max() > 0) == (variant == "colored_on_colored")
    assert (np.ptp(grounds, axis=0).max() > 0) == (variant != "binarized")


@pytest.mark.parametrize("shape", range(3))
def test_sprites_grow_with_scale_and_keep_their_area_when_turned(shape):
    areas = [template(shape, scale, 0, 256).sum() for scale in range(6)]
    assert areas == sorted(areas)
    assert areas[5] == pytest.approx(4 * areas[0], rel=0.05)
    turned = [template(shape, 5, turn, 256).sum() for turn in range(0, 40, 7)]
    assert max(turned) / min(turned) < 1.03


@pytest.fixture(scope="module")
def clips():
    return MultiDSpritesVideo("colored_on_grayscale", SIZE, seed=0).render("train", 0, 150)


def present(batch):
    """Which objects there are at all, bool (n, O); hidden ones count."""
    return batch["property/shape"][:, 0] >= 0


def test_sprites_move_straight_at_one_speed_until_they_bounce(clips):
    bounced = straight = 0
    for clip, slot in zip(*present(clips).nonzero(), strict=True):
        path = clips["property/position"][clip, :, slot].astype(float)
        shape = int(clips["property/shape"][clip, 0, slot])
        scale = round((clips["property/scale"][clip, 0, slot] - 0.5) * 10)
        margin = extent(shape, scale, SIZE) / (SIZE - 1)
        assert path.min() >= margin - 1e-6
        assert path.max() <= 1 - margin + 1e-6
        steps = np.diff(path, axis=0)
        # A frame in which a sprite turns back covers less than its speed, no other does.
        speed = np.median(abs(steps), axis=0)
        assert (abs(steps) <= speed + 1e-5).all()
        assert SPEED[0] - 1e-5 <= np.hypot(*speed) <= SPEED[1] + 1e-5
        for axis in range(2):
            slower = abs(steps[:, axis]) < speed[axis] - 1e-5
            for turn in slower.nonzero()[0]:
                near = min(path[turn, axis], path[turn + 1, axis])
                far = max(path[turn, axis], path[turn + 1, axis])
                assert near - margin < speed[axis] or 1 - margin - far < speed[axis]
            bounced += (np.diff(np.sign(steps[:, axis])) != 0).sum()
            straight += (~slower).sum()
    assert bounced > 30
    assert straight > 10 * bounced


def test_what_a_sprite_is_stays_and_it_turns_slowly(clips):
    there = present(clips)
    for key in ("shape", "scale", "color", "depth"):
        values = clips[f"property/{key}"]
        assert (values == values[:, :1]).all()
    turns = clips["property/orientation"] / (2 * math.pi) * 40
    steps = np.rint(np.diff(turns, axis=1)).astype(int) % 40
    assert (steps == steps[:, :1]).all()
    assert set(np.unique(steps[:, 0][there])) == {0, 1, 39}
