"""CLEVR and ClevrTex, rendered; imports are tested elsewhere."""

from functools import partial

import numpy as np
import pytest

from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import GAP, MARGIN, ROW_OFFSET, SIZES
from slotbench.datasets.render.clevrtex_scene import KINDS, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.rng import numpy_generator

SCENES = {"clevr10": (clevr_scene.sample_scene, SIZES, 29, ROW_OFFSET)}
SCENES |= {
    name: (partial(sample_scene, kind), dict(kind.sizes), 24, 0) for name, kind in KINDS.items()
}
"""How it is sampled, the radius of each size, the crop's first row of 240, and its offset."""


def projected(point, camera):
    """Where a camera that looks at the origin sees a point, to the right and down, at depth 1."""
    forward = -np.array(camera, float)
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


def test_shifts_bring_in_shapes_and_materials_that_training_does_not_have():
    for kind in KINDS.values():
        assert not set(kind.new_shapes) & set(kind.shapes)
        assert not set(kind.new_materials) & set(kind.materials)
        assert [mesh(shape).rest for shape in kind.new_shapes] == pytest.approx([1, 1, 1])
