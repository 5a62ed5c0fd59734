"""Sprites: what images and clips say of them, drawn again by the tests; how they move."""

import math

import numpy as np
import pytest

from slotbench.datasets.render.sprites import COUNTS, MIN_VISIBLE, template
from slotbench.datasets.sets.multi_dsprites import BORDER, MultiDSprites
from slotbench.datasets.sets.multi_dsprites_video import MultiDSpritesVideo

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
