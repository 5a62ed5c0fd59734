"""The cache of a run's representations: the same numbers with it and without it."""

import errno
import os
import zipfile

import numpy as np
import pytest

from slotbench.evaluation.evaluate import LIMITS, evaluate
from slotbench.evaluation.pass_cache import Cache, prune
from tests.evaluation.test_evaluate import ByShade, Plain, WithDecoder

GROUPS = ("segmentation", "draws", "health", "linear-probe")
KEY = {"model": "abc", "seed": 0}


def counted(kind=WithDecoder, **fields):
    """An objective, and a list that has an entry for each batch of images that passed its core.

    A split's first image alone passes to check what is stored.
    """
    core, batches = ByShade(**fields), []
    core.register_forward_hook(lambda _, given, __: batches.extend([1] * (len(given[0]) > 1)))
    return kind(core), batches


def judge(dataset, objective, cache=None, groups=GROUPS, seed=0, test=90):
    options = {"groups": groups, "cache": cache, "limits": {**LIMITS, "test": test}}
    return evaluate(objective, dataset, seed=seed, **options)


@pytest.fixture
def said():
    return []


@pytest.fixture
def cache(tmp_path, said):
    return Cache(tmp_path / "cache", KEY, said.append)


def test_a_second_evaluation_makes_no_pass_and_says_the_same(dataset, cache, said):
    objective, batches = counted()
    plain = judge(dataset, Plain(ByShade()), groups=("linear-probe",))
    first = judge(dataset, objective, cache)
    made = len(batches)
    again = judge(dataset, objective, cache)
    assert len(batches) == made
    assert first == again == judge(dataset, WithDecoder(ByShade()))
    assert first["metrics"].items() >= plain["metrics"].items()
    assert said == []
    other = judge(dataset, WithDecoder(ByShade()), seed=1)
    assert other["metrics"]["ari/decoder"]["low"] != first["metrics"]["ari/decoder"]["low"]


def test_only_what_is_missing_is_made_and_fewer_images_are_read(dataset, cache):
    objective, batches = counted()
    for groups, test, made in (
        (("segmentation",), 50, 1),
        (("segmentation",), 30, 0),
        (("segmentation",), 90, 2),
        # The test split once more for features, train in four batches, val in one.
        (("segmentation", "linear-probe"), 90, 2 + 4 + 1),
        (("draws", "segmentation"), 90, 4),
    ):
        batches.clear()
        found = judge(dataset, objective, cache, groups, test=test)
        assert len(batches) == made
        assert found == judge(dataset, WithDecoder(ByShade()), None, groups, test=test)


def test_what_a_model_cannot_give_is_not_asked_for_again(dataset, cache):
    objective, batches = counted(Plain, quiet=True)
    for _ in range(2):
        document = judge(dataset, objective, cache, ("segmentation", "draws"))
        assert document["skipped"] == {"draws": "the core draws no initial noise"}
        assert len(batches) == 2


def test_another_model_seed_or_version_is_computed_anew(dataset, cache, said):
    judge(dataset, WithDecoder(ByShade()), cache, ("segmentation",))
    for change in ({"model": "abd"}, {"seed": 1}, {"core": 2}):
        other = Cache(cache.folder, {**KEY, **change}, said.append)
        objective, batches = counted()
        for _ in range(2):
            judge(dataset, objective, other, ("segmentation",))
            assert len(batches) == 2
        assert "another model or version" in said.pop()
        assert said == []


def test_damage_is_mended(dataset, cache, said):
    document = judge(dataset, WithDecoder(ByShade()), cache, ("segmentation",))
    path = cache.path("test")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert judge(dataset, WithDecoder(ByShade()), cache, ("segmentation",)) == document
    assert "damaged" in said[-1]
    assert len(path.read_bytes()) == len(whole)


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("slots", lambda array: array[..., :1]),
        ("slots", lambda array: array.astype(np.float64)),
        ("slots", lambda array: np.full_like(array, np.nan)),
        ("overlap", lambda array: array[..., :0]),
        ("features", lambda array: array[0, 0]),
        ("labelled", lambda array: array.astype("S1")),
        ("labels/decoder/first", lambda array: array + np.uint8(200)),
        ("labels/attention/first", lambda array: array[:, :-1]),
        ("slots", lambda _: None),
        ("recon_mse", lambda _: None),
    ],
)
def test_arrays_that_cannot_be_the_models_are_computed_anew(dataset, cache, said, name, forged):
    objective, _ = counted()
    expected = judge(dataset, objective, cache, GROUPS)
    whole = cache.read("test", 90, [name])[name]
    cache.write("test", {name: forged(whole)})
    assert judge(dataset, objective, cache, GROUPS) == expected
    assert [str(cache.path("test")) in line for line in said] == [True]
    np.testing.assert_array_equal(cache.read("test", 90, [name])[name], whole)


def test_a_changed_byte_is_seen_wherever_it_is(cache):
    generator = np.random.default_rng(0)
    arrays = {
        "slots": generator.normal(size=(40, 3, 4)).astype(np.float32),
        "labels/attention/first": generator.integers(0, 7, (40, 16, 16)).astype(np.uint8),
    }
    cache.write("test", arrays)
    path = cache.path("test")
    whole = path.read_bytes()
    found = 0
    for place in generator.integers(0, len(whole), 300):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        for name, array in cache.read("test", 40, list(arrays)).items():
            np.testing.assert_array_equal(array, arrays[name])
            found += 1
    # Not every byte of a file means something, and what is whole may be read.
    assert 0 < found < 600


def test_a_cache_that_cannot_be_written_is_no_error(cache, monkeypatch, said):
    cache.write("test", {"slots": np.ones((4, 2, 3), np.float32)})
    before = cache.path("test").read_bytes()

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    cache.write("test", {"features": np.ones((4, 2), np.float32)})
    assert said == [f"{cache.path('test')} is not kept: No space left on device."]
    assert cache.path("test").read_bytes() == before
    assert [path.name for path in cache.folder.iterdir()] == ["test.npz"]


def test_all_caches_together_stay_below_a_limit(tmp_path):
    paths = []
    for index in range(4):
        path = tmp_path / f"runs/data/names/{index}/cache/test.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1000))
        paths.append(path)
    for age, path in enumerate(paths):
        os.utime(path, (100 - age, 100 - age))
    assert prune(tmp_path, 2500) == 2000
    assert [path.exists() for path in paths] == [True, True, False, False]
    assert prune(tmp_path, 2500) == 0
    assert prune(tmp_path / "nothing", 0) == 0
