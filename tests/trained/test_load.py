"""``slotbench.load`` and ``slotbench.dataset``: a trained core and its data in Python."""

import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import slotbench
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError


@pytest.fixture(scope="module")
def data(blocks):
    return slotbench.dataset("clevr", "test", data_dir=blocks)


def test_a_core_is_frozen_and_an_images_output_depends_on_it_and_the_seed_alone(run, data):
    core = slotbench.load(run)
    images = torch.stack([data[index]["image"] for index in range(4)])
    output = core(images)
    assert output.slots.shape == (4, 4, 16)
    assert not output.slots.requires_grad
    assert not core.train().training
    torch.testing.assert_close(output.attention.sum(dim=1), torch.ones_like(output.attention[:, 0]))
    torch.testing.assert_close(core(images[2:]).slots, output.slots[2:])
    assert torch.equal(core(images.double()).slots, output.slots)
    assert torch.equal(core(images, core.noise(4, 5)).slots, core(images, seed=5).slots)
    assert not torch.allclose(core(images, seed=5).slots, output.slots)
    doubled = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert core(doubled).slots.shape == output.slots.shape
    assert core.labels(doubled).shape == (4, 64, 64)


@pytest.mark.parametrize(
    "change", [lambda x: 255 * x, lambda x: 2 * x - 1, lambda x: x[0], lambda x: x / 0]
)
def test_images_of_another_range_or_shape_are_refused(run, data, change):
    core = slotbench.load(run)
    with pytest.raises(ValueError, match=r"expected .*\[0, 1\]"):
        core(change(data[0]["image"][None]))
    with pytest.raises(ValueError, match=r"expected float \(B, 3, H, W\)"):
        core(data[0]["mask"])
    for images in (data[0]["image"].numpy(), None):
        with pytest.raises(ValueError, match=r"expected a tensor float \(B, 3, H, W\)"):
            core(images)
    with pytest.raises(UserError, match="--source predictor"):
        core.labels(data[0]["image"][None], "predictor")


def test_it_gives_more_slots_where_its_weights_can(run, data, blocks, tmp_path):
    images = torch.stack([data[0]["image"]] * 2)
    assert slotbench.load(run, slots=9)(images).slots.shape[1] == 9
    with pytest.raises(UserError, match="--slots=0: expected greater than or equal to 1"):
        slotbench.load(run, slots=0)
    options = {"core": "bo-qsa", "objective": "random", "preset": "quick", "device": "cpu"}
    fixed = slotbench.train(evaluate=False, data_dir=blocks, results_dir=tmp_path, **options)
    with pytest.raises(UserError, match="the weights of this core hold 4 slots"):
        slotbench.load(fixed, slots=5)
    assert torch.equal(*(slotbench.load(fixed)(images, seed=seed).slots for seed in (0, 1)))


def test_a_split_is_a_torch_dataset_also_for_several_workers(data, blocks):
    with DatasetFile(blocks / "clevr.h5") as file:
        stored = file.read("test")
    for workers in (0, 2):
        batches = list(DataLoader(data, 10, num_workers=workers))
        images = torch.cat([batch["image"] for batch in batches])
        assert np.array_equal((images.permute(0, 2, 3, 1) * 255).round(), stored["image"])
        places = torch.cat([batch["properties"]["position"] for batch in batches])
        assert np.array_equal(places, stored["property/position"])
    assert torch.equal(data[-1]["mask"], data[len(data) - 1]["mask"])
    with pytest.raises(IndexError):
        data[len(data)]
    with pytest.raises(UserError, match="has no split 'tset'"):
        slotbench.dataset(str(blocks / "clevr.h5"), "tset")


def test_a_split_is_a_dataset_of_hugging_face(data, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    datasets.disable_progress_bars()
    made = data.to_hf()
    assert len(made) == len(data)
    found, stored = made[3], data.arrays(3)
    for key in ("image", "mask", "property/position", "property/color"):
        assert np.array_equal(found[key], stored[key])
    assert made.features["property/color"].feature.names == ["red", "green", "blue"]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="pip install"):
        data.to_hf()


def test_a_run_shows_its_pictures_in_a_notebook(run):
    shown = run.show()
    assert [file.name for file in shown.files] == ["val-0000002.png"]
    assert "data:image/png;base64,iVBOR" in run._repr_html_()
    assert slotbench.find(run) is run
    assert slotbench.find(run.id, str(run.results_dir)).path.resolve() == run.path.resolve()
    assert "&lt;b&gt;" in type(shown)("<b>", ())._repr_html_()
