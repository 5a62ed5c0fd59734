"""ClevrTex under shifts: image i of ``test-<shift>`` is image i of ``test``, changed."""

from pathlib import Path

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Batch
from slotbench.datasets.format.splits import SHIFT_FLAGS
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.render.clevrtex_scene import KINDS
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.sets.clevrtex import ClevrTex
from slotbench.datasets.shifts.kinds import ALL, SHIFTS, chosen
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets import originals_clevrtex

IMAGES = 3
VARIANTS = ("full", "vbg", "outd")


@pytest.fixture(scope="module")
def plain() -> dict[str, Batch]:
    return {name: ClevrTex(name, 48, seed=0).render("test", 0, IMAGES) for name in VARIANTS}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shift", ["object_shape", "object_style"])
def test_one_object_is_changed_and_all_else_stays(
    plain: dict[str, Batch], variant: str, shift: str
) -> None:
    dataset, before = ClevrTex(variant, 48, seed=0), plain[variant]
    made = dataset.render(f"test-{shift}", 0, IMAGES)
    flags = made[SHIFT_FLAGS]
    assert (flags.sum(axis=1) == 1).all()
    for prop in dataset.layout.properties:
        old, new = before[prop.key], made[prop.key]
        np.testing.assert_array_equal(new[~flags], old[~flags])
        if prop.name in SHIFTS[shift].new:
            assert (new[flags] == -1).all()
        else:
            np.testing.assert_array_equal(new[flags], old[flags])
    its = made["mask"] == flags.argmax(axis=1)[:, None, None] + 1
    its |= before["mask"] == flags.argmax(axis=1)[:, None, None] + 1
    apart = abs(made["image"].astype(int) - before["image"]).max(axis=-1)
    assert (apart[its] > 20).mean() > 0.2
    assert (apart[~its] > 40).mean() < 0.05
    if shift == "object_style":
        np.testing.assert_array_equal(made["mask"], before["mask"])


def test_crop_shows_the_middle_larger(plain: dict[str, Batch]) -> None:
    made = ClevrTex("full", 48, seed=0).render("test-crop", 0, IMAGES)
    middle = ((0.5 + ((np.arange(48) + 0.5) / 48 - 0.5) / 1.5) * 48).astype(int)
    expected = plain["full"]["mask"][:, middle][:, :, middle]
    assert (expected == made["mask"]).mean() > 0.93


def test_what_is_brought_in_is_in_no_training_image_and_rests_on_the_ground() -> None:
    for kind in KINDS.values():
        assert not set(kind.new_shapes) & set(kind.shapes)
        assert not set(kind.new_materials) & set(kind.materials)
        rests = [mesh(shape).rest for shape in kind.new_shapes]
        assert rests == pytest.approx([1, 1, 1])


def test_what_cannot_be_had_is_left_out(tmp_path: Path) -> None:
    dataset = ClevrTex("full", 48, 0)
    made, left_out = chosen(dataset, (ALL,), "rendered")
    assert set(made) == set(SHIFTS) - {"num_objects"}
    assert "ten objects already" in left_out["num_objects"]
    with pytest.raises(UserError, match="num_objects: clevrtex:full cannot have it"):
        chosen(dataset, ("num_objects",), "original")
    source = originals_clevrtex.write(tmp_path)
    path = prepare(
        Request("clevrtex", source=source, image_size=24, data_dir=tmp_path, shifts=(ALL,))
    )
    assert set(verify.dataset(path)["images"]) == {
        "train",
        "val",
        "test",
        "test-occlusion",
        "test-crop",
        "test-object_color",
    }
    with DatasetFile(path) as file:
        assert file.size("test-crop") == file.size("test") == 2
