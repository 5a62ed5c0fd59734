import math

import numpy as np
import pytest

from slotbench.datasets.render.sprites import COUNTS, MIN_VISIBLE, template
from slotbench.datasets.sets.multi_dsprites import MultiDSprites


@pytest.mark.parametrize("variant", MultiDSprites.variants)
def test_masks_and_properties_agree_with_the_image(variant):
    batch = MultiDSprites(variant, 64, seed=0).render("train", 0, 200)
    low, high = COUNTS[variant]
    counts = batch["visible"].sum(axis=1)
    assert set(counts) == set(range(low, high + 1))
    for row in range(200):
        image, mask = batch["image"][row], batch["mask"][row]
        assert len(np.unique(image[mask == 0], axis=0)) == 1
        for slot in range(counts[row]):
            pixels = image[mask == slot + 1]
            assert len(pixels) > 0
            assert (pixels == pixels[0]).all()
            if variant != "binarized":
                color = batch["property/color"][row, slot]
                np.testing.assert_allclose(pixels[0], color * 255, atol=0.51)
    ground = batch["image"][:, 0, 0]
    if variant == "colored_on_grayscale":
        assert (ground == ground[:, :1]).all()
    if variant == "binarized":
        assert set(np.unique(batch["image"])) == {0, 255}


def test_a_later_sprite_covers_an_earlier_one():
    # Drawn alone, each sprite covers some area; what is missing of it lies under later ones.
    batch = MultiDSprites("colored_on_grayscale", 64, seed=0).render("train", 0, 300)
    missing = np.zeros(5)
    for row in range(300):
        for slot in range(batch["visible"][row].sum()):
            sprite = template(
                int(batch["property/shape"][row, slot]),
                round((batch["property/scale"][row, slot] - 0.5) * 10),
                round(batch["property/orientation"][row, slot] / (2 * math.pi) * 40),
                64,
            )
            share = (batch["mask"][row] == slot + 1).sum() / sprite.sum()
            assert share >= MIN_VISIBLE
            if slot == batch["visible"][row].sum() - 1:
                assert share == 1
            else:
                missing[slot] += 1 - share
    assert missing[0] > 1


@pytest.mark.parametrize("shape", range(3))
def test_sprites_grow_with_scale_and_keep_their_area_when_turned(shape):
    areas = [template(shape, scale, 0, 256).sum() for scale in range(6)]
    assert areas == sorted(areas)
    assert areas[5] == pytest.approx(4 * areas[0], rel=0.05)
    turned = [template(shape, 5, turn, 256).sum() for turn in range(0, 40, 7)]
    assert max(turned) / min(turned) < 1.03
