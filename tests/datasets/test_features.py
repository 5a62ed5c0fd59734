"""Frozen features: written whole or not at all, read like any array, and checked."""

import sys
from dataclasses import dataclass, field
from types import ModuleType

import h5py
import numpy as np
import pytest
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader
from slotbench.datasets.format.schema import Feature
from slotbench.datasets.prepare import stored_features as module
from slotbench.datasets.prepare.stored_features import add_features
from slotbench.errors import SlotbenchError, UserError
from slotbench.results import verify
from tests.conftest import write_blocks
from tests.datasets.test_video import FRAMES, write_clips


@dataclass
class Means:
    """A teacher whose features are the mean colours of the 16 patches of an image."""

    name: str = "means"
    description: str = "mean colours"
    factor: float = 1.0
    seen: list[int] = field(default_factory=list)
    limit: int = 1 << 30

    def __call__(self, images):
        if sum(self.seen) >= self.limit:
            raise KeyboardInterrupt
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        self.seen.append(len(images))
        pooled = torch.nn.functional.avg_pool2d(images, 8)
        return self.factor * pooled.flatten(2).mT


def expected(path, split):
    """The same by numpy, float64 (n, 16, 3)."""
    with DatasetFile(path) as dataset:
        images = dataset.read(split)["image"] / 255
    return images.reshape(-1, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(-1, 16, 3)


def means(path, split="train"):
    """What the file holds of that teacher."""
    with DatasetFile(path) as dataset:
        return dataset.read(split, keys=("feature/means",))["feature/means"]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 10)
    monkeypatch.setattr(module, "BATCH", 4)


def test_features_are_the_teachers_and_all_else_stays(path, blocks):
    teacher = Means()
    assert add_features(path, teacher) == Feature("means", 16, 3)
    with DatasetFile(path) as dataset, DatasetFile(blocks / "clevr.h5") as before:
        assert dataset.layout.features == (Feature("means", 16, 3),)
        assert dataset.teacher("means") == "mean colours"
        assert dataset.fingerprint == before.fingerprint
        for split in dataset.splits:
            assert set(dataset.read(split)) == set(before.read(split))
            for key, array in before.read(split).items():
                np.testing.assert_array_equal(dataset.read(split)[key], array)
            assert means(path, split).dtype == np.float16
            np.testing.assert_allclose(means(path, split), expected(path, split), atol=1e-3)
    assert sum(teacher.seen) == 96
    assert [file.name for file in path.parent.iterdir()] == ["clevr.h5"]
    assert verify.dataset(path)["features"] == {"means": "mean colours"}


def test_features_of_video_are_those_of_its_frames(tmp_path):
    path = write_clips(tmp_path / "v.h5", train=7)
    add_features(path, Means())
    with DatasetFile(path) as dataset:
        clips = dataset.read_rows("train", keys=("feature/means",))["feature/means"]
        images = dataset.read("train", 3, 9, ("feature/means",))["feature/means"]
        assert clips.shape == (7, FRAMES, 16, 3)
        np.testing.assert_array_equal(images, clips.reshape(-1, 16, 3)[3:9])
        np.testing.assert_allclose(clips.reshape(-1, 16, 3), expected(path, "train"), atol=1e-3)
        batch = Loader(dataset, "train", 3, 0, keys=("image", "feature/means"), frames=2).batch(0)
        mean = (batch["image"] / 255).reshape(3, 2, 4, 8, 4, 8, 3).mean(axis=(3, 5))
        np.testing.assert_allclose(batch["feature/means"], mean.reshape(3, 2, 16, 3), atol=1e-3)
    verify.dataset(path)


@pytest.mark.parametrize("budget", [None, 0])
def test_the_loader_serves_features_with_their_images(path, budget):
    add_features(path, Means())
    with DatasetFile(path) as dataset:
        keys = ("image", "feature/means")
        loader = Loader(dataset, "train", 16, seed=0, keys=keys, memory_budget=budget)
        assert loader.in_memory == (budget is None)
        batch = loader.batch(1)
        mean = (batch["image"] / 255).reshape(16, 4, 8, 4, 8, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(batch["feature/means"], mean.reshape(16, 16, 3), atol=1e-3)
        with pytest.raises(UserError, match="no features 'dino'; it has: means") as caught:
            Loader(dataset, "train", 16, seed=0, keys=("feature/dino",))
        assert "slotbench prepare clevr:clevr6 --features" in caught.value.advice


@pytest.mark.parametrize("limit", [0, 50, 92])
def test_a_call_that_was_interrupted_goes_on(path, limit):
    before = path.read_bytes()
    first = Means(limit=limit)
    with pytest.raises(KeyboardInterrupt):
        add_features(path, first)
    assert path.read_bytes() == before
    second = Means()
    add_features(path, second)
    assert sum(second.seen) <= 96 - (sum(first.seen) - 14)  # at most one part is made twice
    assert [file.name for file in path.parent.iterdir()] == ["clevr.h5"]
    verify.dataset(path)
    np.testing.assert_allclose(means(path), expected(path, "train"), atol=1e-3)


def test_features_and_parts_of_another_teacher_are_not_taken_up(path):
    with pytest.raises(KeyboardInterrupt):
        add_features(path, Means(limit=50))
    tripled = Means(description="three times", factor=3.0)
    add_features(path, tripled)
    np.testing.assert_allclose(means(path), 3 * expected(path, "train"), atol=3e-3)
    before, tripled.seen = path.read_bytes(), []
    add_features(path, tripled)
    assert tripled.seen == []
    with pytest.raises(UserError, match="another teacher: three times; asked for: mean colours"):
        add_features(path, Means())
    assert path.read_bytes() == before


DAMAGES = {
    "number": lambda stored: stored.__setitem__((3, 5, 1), 0.123),
    "sha256": lambda stored: stored.attrs.modify("sha256", "0" * 64),
    "another split": lambda stored: stored.write_direct(stored.file["test/feature/means"][:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_features_are_named_and_made_again(path, damage):
    add_features(path, Means())
    with h5py.File(path, "r+") as file:
        DAMAGES[damage](file["val/feature/means"])
    with pytest.raises(UserError, match="val/feature/means does not match"):
        verify.dataset(path)
    add_features(path, Means())
    verify.dataset(path)
    with DatasetFile(path) as dataset:
        assert dataset.layout.features == (Feature("means", 16, 3),)


ANSWERS = [
    (lambda found, _: found.unflatten(1, (4, 4)), r"\(4, 4, 4, 3\), expected \(B, N, F\)"),
    (lambda found, _: found[1:], "expected"),
    (lambda found, _: found + 1e5, "do not fit float16"),
    (lambda found, _: found * torch.nan, "do not fit float16"),
    (lambda found, calls: found[:, : 16 - calls], "features"),
]


@pytest.mark.parametrize(("answer", "message"), ANSWERS)
def test_a_teacher_that_breaks_its_contract_leaves_the_file(path, answer, message):
    class Bad(Means):
        def __call__(self, images):
            return answer(super().__call__(images), len(self.seen))

    before = path.read_bytes()
    with pytest.raises(SlotbenchError, match=message):
        add_features(path, Bad())
    assert path.read_bytes() == before
    with DatasetFile(path) as dataset:
        assert dataset.layout.features == ()


def test_the_command_loads_the_teacher_and_writes_its_features(tmp_path, monkeypatch, shown):
    asked, fake = [], ModuleType("slotbench.results.models")
    fake.load_teacher = lambda *named, **_: asked.append(named) or Means()
    monkeypatch.setitem(sys.modules, "slotbench.results.models", fake)
    few = "--train 3 --val 2 --test 2 --image-size 32 --workers 1 --data-dir"
    words = ["prepare", "multi-dsprites-video", *few.split(), tmp_path]
    more = ["--features", "timm:vit", "--features-weights", tmp_path / "weights.pt"]
    path = tmp_path / "multi-dsprites-video.h5"
    for arguments in (words, [*words, *more]):
        code, out, _ = shown(*arguments)
        assert (code, out.splitlines()[-1]) == (0, str(path))
    assert asked == [("timm:vit", tmp_path / "weights.pt")]
    assert verify.dataset(path)["features"] == {"means": "mean colours"}
    assert "goes with --features" in shown(*words, *more[2:])[2]


def test_an_empty_split_has_empty_features(tmp_path):
    path = write_blocks(tmp_path / "n.h5", val=0)
    add_features(path, Means())
    assert means(path, "val").shape == (0, 16, 3)
    verify.dataset(path)
