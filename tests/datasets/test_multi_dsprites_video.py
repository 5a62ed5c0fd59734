"""How sprites move; what a frame shows is tested with the images."""

import math

import numpy as np
import pytest

from slotbench.datasets.render.sprites import extent
from slotbench.datasets.sets.multi_dsprites_video import SPEED, MultiDSpritesVideo, bounce

SIZE = 64


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
