import math

import numpy as np
import pytest

from slotbench.datasets.render.sprites import COUNTS, MIN_VISIBLE, extent, template
from slotbench.datasets.sets.multi_dsprites_video import FRAMES, SPEED, MultiDSpritesVideo, bounce

SIZE = 64


@pytest.fixture(scope="module")
def clips():
    return MultiDSpritesVideo("colored_on_grayscale", SIZE, seed=0).render("train", 0, 150)


def present(batch):
    """Which objects there are at all, bool (n, O); hidden ones count."""
    return batch["property/shape"][:, 0] >= 0


def alone(batch, clip, frame, slot):
    """Offsets (pixels, 2) in y and x of a sprite from its centre, as drawn without others."""
    sprite = template(
        int(batch["property/shape"][clip, frame, slot]),
        round((batch["property/scale"][clip, frame, slot] - 0.5) * 10),
        round(batch["property/orientation"][clip, frame, slot] / (2 * math.pi) * 40),
        SIZE,
    )
    return np.argwhere(sprite) - len(sprite) // 2


@pytest.mark.parametrize("variant", MultiDSpritesVideo.variants)
def test_masks_agree_with_images_and_visibility(variant):
    batch = MultiDSpritesVideo(variant, SIZE, seed=0).render("test", 0, 30)
    low, high = COUNTS[variant]
    assert set(present(batch).sum(axis=1)) == set(range(low, high + 1))
    for clip, frame in np.ndindex(30, FRAMES):
        image, mask = batch["image"][clip, frame], batch["mask"][clip, frame]
        assert len(np.unique(image[mask == 0], axis=0)) == 1
        for slot in range(high):
            pixels = image[mask == slot + 1]
            assert (len(pixels) > 0) == batch["visible"][clip, frame, slot]
            if len(pixels):
                assert (pixels == pixels[0]).all()
                if variant != "binarized":
                    color = batch["property/color"][clip, frame, slot]
                    np.testing.assert_allclose(pixels[0], color * 255, atol=0.51)


def test_later_sprites_cover_earlier_ones_and_all_of_each_is_inside_the_frame(clips):
    hidden = 0
    for clip, frame in np.ndindex(len(clips["mask"]), FRAMES):
        count = present(clips)[clip].sum()
        expected = np.zeros((SIZE, SIZE), np.uint8)
        for slot in range(count):
            x, y = np.rint(clips["property/position"][clip, frame, slot] * (SIZE - 1))
            pixels = alone(clips, clip, frame, slot) + np.array([y, x])
            assert pixels.min() >= 0
            assert pixels.max() < SIZE
            expected[tuple(pixels.astype(int).T)] = slot + 1
        np.testing.assert_array_equal(clips["mask"][clip, frame], expected)
        shown = np.bincount(expected.ravel(), minlength=count + 1)[1:]
        whole = [len(alone(clips, clip, frame, slot)) for slot in range(count)]
        if frame == 0:
            assert (shown >= MIN_VISIBLE * np.array(whole)).all()
        hidden += (shown == 0).sum()
    assert hidden > 0  # some are covered for a while, and `visible` says so


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


def test_a_bouncing_point_is_where_a_simulation_puts_it():
    generator = np.random.default_rng(0)
    for _ in range(50):
        room, start, speed = generator.uniform(0.2, 1), generator.random(), generator.uniform(-1, 1)
        place, velocity = start * room, speed * room
        for step in range(10):
            expected = bounce(np.array(start * room + step * speed * room), np.array(room))
            assert expected == pytest.approx(place, abs=1e-9)
            place += velocity
            if not 0 <= place <= room:
                place = -place if place < 0 else 2 * room - place
                velocity = -velocity
