import numpy as np
import pytest

from slotbench.datasets.render import clevr_scene as scenes
from slotbench.datasets.render.clevr_scene import CAMERA, GAP, MARGIN, SIZES, project
from slotbench.datasets.sets.clevr import COUNTS, Clevr
from slotbench.rng import numpy_generator


@pytest.fixture(scope="module")
def batch():
    return Clevr("clevr10", 64, seed=0).render("train", 0, 12)


@pytest.mark.parametrize("count", [3, 6, 10])
def test_scenes_keep_the_rules_of_the_recipe(count):
    generator = numpy_generator(0, "scenes", count)
    for _ in range(20):
        scene = scenes.sample_scene(count, generator)
        assert len(scene.objects) == count
        places = np.array([thing.position for thing in scene.objects])
        assert (abs(places[:, :2]) <= 3).all()
        seen = project(places, scene.camera)
        assert ((seen[:, :2] >= 0) & (seen[:, :2] <= 1)).all()
        axes = scenes.camera_frame(scene.camera)[[0, 2], :2]
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        for i, one in enumerate(scene.objects):
            half = SIZES[one.size] / (2**0.5 if one.shape == "cube" else 1)
            assert one.position[2] == pytest.approx(half)
            for j, two in enumerate(scene.objects[:i]):
                apart = places[i, :2] - places[j, :2]
                assert np.hypot(*apart) - SIZES[one.size] - SIZES[two.size] >= GAP
                assert (abs(axes @ apart) >= MARGIN).all()


def test_the_middle_of_the_scene_is_where_the_crop_puts_it():
    x, y, depth = project(np.zeros((1, 3)), np.array(CAMERA))[0]
    # Row 120 of 240 is the middle of the image; the crop begins at row 29 and has 192.
    assert (x, y) == pytest.approx((0.5, (120 - 29) / 192))
    assert depth == pytest.approx(np.linalg.norm(CAMERA))


def test_every_object_is_visible_where_it_is_said_to_be(batch):
    low, high = COUNTS["clevr10"]
    for row in range(len(batch["image"])):
        count = batch["visible"][row].sum()
        assert low <= count <= high
        assert set(np.unique(batch["mask"][row])) == set(range(count + 1))
        for slot in range(count):
            rows, columns = np.nonzero(batch["mask"][row] == slot + 1)
            assert len(rows) >= Clevr.least * 64 * 64
            x, y, _ = batch["property/pixel_coords"][row, slot]
            # The projected centre lies inside the object's bounding box, give or take a pixel.
            assert columns.min() - 1.5 <= x <= columns.max() + 2.5
            assert rows.min() - 1.5 <= y <= rows.max() + 2.5
