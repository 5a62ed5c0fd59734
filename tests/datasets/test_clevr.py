"""CLEVR and ClevrTex, rendered; imports are tested elsewhere."""

from functools import partial

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import CAMERA, GAP, MARGIN, SIZES, project
from slotbench.datasets.render.clevrtex_scene import KINDS, OUTD, PLAIN, USUAL, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.sets.clevr import Clevr
from slotbench.datasets.sets.clevrtex import ClevrTex
from slotbench.errors import UserError
from slotbench.rng import numpy_generator

IMAGES = 4
SCENES = {"clevr10": (clevr_scene.sample_scene, SIZES, 29)}
SCENES |= {
    name: (partial(sample_scene, kind), dict(kind.sizes), 24) for name, kind in KINDS.items()
}
"""How a scene is sampled, the radius of each size, and the first row of the crop of 320x240."""


@pytest.fixture(scope="module")
def rendered():
    kinds = {"clevr10": Clevr, **dict.fromkeys(KINDS, ClevrTex)}
    return {name: kind(name, 64, seed=0).render("train", 0, IMAGES) for name, kind in kinds.items()}


def projected(camera, point, top):
    """Where a point appears in the frame, [0, 1]; a look-at of 35 mm on 32 mm, written out."""
    forward = -camera / np.linalg.norm(camera)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    between = np.array(point) - camera
    x, y = between @ right, between @ np.cross(right, forward)
    columns, rows = 160 + 350 * x / (between @ forward), 120 - 350 * y / (between @ forward)
    return np.array([columns - 64, rows - top]) / 192


@pytest.mark.parametrize("name", SCENES)
def test_scenes_follow_the_rules_of_the_published_generators(name):
    (sample, sizes, top), generator = SCENES[name], numpy_generator(0, "scenes", name)
    for count in 5 * (3, 6, 10):
        scene = sample(count, generator)
        assert len(scene.objects) == count
        away = -scene.camera[:2] / np.hypot(*scene.camera[:2])
        for i, one in enumerate(scene.objects):
            assert np.abs(one.position[:2]).max() <= 3
            assert one.position[2] == pytest.approx(mesh(one.shape).rest * sizes[one.size])
            seen = projected(scene.camera, one.position, top)
            assert ((seen >= 0) & (seen <= 1)).all()
            for two in scene.objects[:i]:
                between = np.subtract(one.position, two.position)[:2]
                assert np.hypot(*between) >= sizes[one.size] + sizes[two.size] + GAP
                assert abs(between @ away) >= MARGIN
                assert abs(between @ [away[1], -away[0]]) >= MARGIN


def test_the_middle_of_the_scene_is_where_the_crop_puts_it():
    x, y, depth = project(np.zeros((1, 3)), np.array(CAMERA))[0]
    # Row 120 of 240 is the middle of the image; the crop begins at row 29 and has 192.
    assert (x, y) == pytest.approx((0.5, (120 - 29) / 192))
    assert depth == pytest.approx(np.linalg.norm(CAMERA))


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
    for row in range(IMAGES):
        batch = rendered["camo"]
        assert len(set(batch["property/material"][row][batch["visible"][row]])) == 1
    shapes = {name: set(ClevrTex(name, 64, 0).layout.properties[0].classes) for name in KINDS}
    assert not shapes["outd"] & shapes["full"]
    assert not set(KINDS["outd"].materials) & set(KINDS["full"].materials)
    assert set(KINDS["vbg"].materials) == set(PLAIN)


def test_shifts_bring_in_shapes_and_materials_that_training_does_not_have():
    for kind in KINDS.values():
        assert not set(kind.new_shapes) & set(kind.shapes)
        assert not set(kind.new_materials) & set(kind.materials)
        assert [mesh(shape).rest for shape in kind.new_shapes] == pytest.approx([1, 1, 1])


def test_camouflage_is_of_the_grounds_material():
    generator = numpy_generator(0, "camouflage")
    scenes = [sample_scene(KINDS["camo"], 5, generator) for _ in range(10)]
    assert all({thing.material for thing in scene.objects} == {scene.ground} for scene in scenes)
    assert len({scene.ground for scene in scenes}) > 3
    # The same texture lies differently on each.
    assert len({thing.coat for scene in scenes for thing in scene.objects}) == 50


def test_textures_show_on_objects_and_ground(rendered):
    """In a textured scene neighbouring pixels of one label differ more than in a plain one."""

    def rough(variant, background):
        batch, found = rendered[variant], []
        for image, mask in zip(batch["image"].astype(float), batch["mask"], strict=True):
            same = (mask[:, 1:] == mask[:, :-1]) & ((mask[:, 1:] == 0) == background)
            found.append(abs(np.diff(image, axis=1)).sum(axis=-1)[same].mean())
        return float(np.mean(found))

    assert rough("grassbg", True) > 2 * rough("pbg", True)
    assert rough("pbg", False) > 1.2 * rough("vbg", False)


def test_what_cannot_be_had_is_said(tmp_path):
    with pytest.raises(UserError, match="variant of clevrtex"):
        prepare(Request("clevrtex", "grass", data_dir=tmp_path))
    with pytest.raises(UserError, match="no address is known") as error:
        prepare(Request("clevrtex", "grassbg", download=True, data_dir=tmp_path))
    assert "--from ARCHIVE" in error.value.advice
    assert {len(USUAL), len(OUTD)} == {36, 14}
