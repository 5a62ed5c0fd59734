"""CLEVR and ClevrTex, rendered; imports are tested elsewhere."""

from functools import partial

import numpy as np
import pytest

from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import GAP, MARGIN, ROW_OFFSET, SIZES
from slotbench.datasets.render.clevrtex_scene import KINDS, PLAIN, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.sets.clevr import Clevr
from slotbench.datasets.sets.clevrtex import ClevrTex
from slotbench.rng import numpy_generator

IMAGES = 4
SCENES = {"clevr10": (clevr_scene.sample_scene, SIZES, 29, ROW_OFFSET)}
SCENES |= {
    name: (partial(sample_scene, kind), dict(kind.sizes), 24, 0) for name, kind in KINDS.items()
}
"""How it is sampled, the radius of each size, the crop's first row of 240, and its offset."""


@pytest.fixture(scope="module")
def rendered():
    kinds = {"clevr10": Clevr, **dict.fromkeys(KINDS, ClevrTex)}
    return {name: kind(name, 64, seed=0).render("train", 0, IMAGES) for name, kind in kinds.items()}


def projected(point, camera, target=(0, 0, 0)):
    """Where a camera sees a point, to the right and down, at depth 1; a look-at written out."""
    forward = np.subtract(target, camera)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    between = np.subtract(point, camera)
    return between @ np.stack([right, np.cross(forward, right)], axis=1) / (between @ forward)


@pytest.mark.parametrize("name", SCENES)
def test_scenes_follow_the_rules_of_the_published_generators(name):
    (sample, sizes, top, offset), generator = SCENES[name], numpy_generator(0, "scenes", name)
    for count in 5 * (3, 6, 10):
        scene = sample(count, generator)
        assert len(scene.objects) == count
        if name != "clevr10":  # the same texture lies differently on each
            assert len({one.coat for one in scene.objects}) == count
        if name == "camo":
            assert {one.material for one in scene.objects} == {scene.ground}
        away = -scene.camera[:2] / np.hypot(*scene.camera[:2])
        for i, one in enumerate(scene.objects):
            assert np.abs(one.position[:2]).max() <= 3
            assert one.position[2] == pytest.approx(mesh(one.shape).rest * sizes[one.size])
            # 35 mm on 32 mm of 320 pixels; the crop has 192 of them.
            seen = (350 * projected(one.position, scene.camera) + (96, 120 - top)) / 192
            assert ((seen >= 0) & (seen <= 1)).all()
            found = clevr_scene.project(np.array([one.position]), scene.camera, offset)[0]
            assert found[:2] == pytest.approx(seen)
            for two in scene.objects[:i]:
                between = np.subtract(one.position, two.position)[:2]
                assert np.hypot(*between) >= sizes[one.size] + sizes[two.size] + GAP
                assert abs(between @ away) >= MARGIN
                assert abs(between @ [away[1], -away[0]]) >= MARGIN


@pytest.mark.parametrize("name", SCENES)
def test_every_object_is_seen_where_it_is_said_to_be(rendered, name):
    batch, beside = rendered[name], 2.5 if name == "clevr10" else 9  # a ring's middle is empty
    for row in range(IMAGES):
        count = int(batch["visible"][row].sum())
        assert 3 <= count <= 10
        assert set(np.unique(batch["mask"][row])) == set(range(count + 1))
        for slot in range(count):
            rows, columns = np.nonzero(batch["mask"][row] == slot + 1)
            assert len(rows) >= Clevr.least * 64 * 64
            x, y, depth = batch["property/pixel_coords"][row, slot]
            assert columns.min() - beside <= x <= columns.max() + beside
            assert rows.min() - beside <= y <= rows.max() + beside
            assert 5 < depth < 20


def ground(batch):
    """The background's pixels of each image."""
    return [image[mask == 0] for image, mask in zip(batch["image"], batch["mask"], strict=True)]


def test_variants_differ_as_the_originals_do(rendered):
    full = ClevrTex("full", 64, 0).layout.properties
    for variant in ("pbg", "grassbg", "camo"):  # so that a probe may go from one to the other
        assert ClevrTex(variant, 64, 0).layout.properties == full
    for pixels in ground(rendered["pbg"]):
        grey = pixels.astype(float)
        # Metal objects throw some of their colour on it.
        tint = np.abs(grey - grey.mean(axis=1, keepdims=True)).max(axis=1)
        assert np.quantile(tint, 0.98) <= 4
    for pixels in ground(rendered["grassbg"]):
        red, green, blue = pixels.mean(axis=0)
        assert green > 1.2 * max(red, blue)
    means = np.stack([pixels.mean(axis=0) for pixels in ground(rendered["full"])])
    assert means.std(axis=0).max() > 15
    shapes = {name: set(ClevrTex(name, 64, 0).layout.properties[0].classes) for name in KINDS}
    assert not shapes["outd"] & shapes["full"]
    assert not set(KINDS["outd"].materials) & set(KINDS["full"].materials)
    assert set(KINDS["vbg"].materials) == set(PLAIN)


def test_shifts_bring_in_shapes_and_materials_that_training_does_not_have():
    for kind in KINDS.values():
        assert not set(kind.new_shapes) & set(kind.shapes)
        assert not set(kind.new_materials) & set(kind.materials)
        assert [mesh(shape).rest for shape in kind.new_shapes] == pytest.approx([1, 1, 1])
