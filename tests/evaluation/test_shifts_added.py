"""Runs judged on a prepared file's shifted test sets, also where these join it later."""

from dataclasses import replace

import numpy as np

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.shifts.kinds import SHIFTS, split_of
from slotbench.evaluation.frozen_pass import collect
from slotbench.evaluation.pass_cache import Cache
from slotbench.results import judge as judging
from slotbench.results.models import trained
from tests.evaluation.test_evaluate import judge
from tests.small import CPU, started


def request(folder, *shifts):
    sizes = {"train": 8, "val": 4, "test": 4}
    return Request(
        "multi-dsprites", image_size=32, sizes=sizes, workers=1, data_dir=folder, shifts=shifts
    )


def trained_on(path, folder):
    return started(folder, folder / "results", steps=1, dataset=str(path))


def test_a_run_is_judged_again_by_shifts_alone(tmp_path, monkeypatch):
    run = trained_on(prepare(request(tmp_path)), tmp_path)
    judged = []
    whole = judging.judge

    def few_steps(*arguments, **options):
        judged.append(options["groups"])
        return whole(*arguments, **options, probe_steps=2)

    monkeypatch.setattr(judging, "judge", few_steps)

    def found():
        return judging.evaluate(run, CPU, tmp_path, split="test", metrics="segmentation,shifts")

    assert "no shifted test sets" in found()["skipped"]["shifts"]
    found()
    assert judged == [("segmentation", "shifts")]
    prepare(request(tmp_path, "crop"))
    first = found()
    assert judged[1:] == [("shifts",)]
    assert "shifts/crop/all/fg_ari/attention" in first["metrics"]
    assert "fg_ari/attention" in first["metrics"]
    assert set(first["shifted"]) == {"test-crop"}
    assert found() == first
    prepare(request(tmp_path, "occlusion"))
    assert set(found()["shifted"]) == {"test-crop", "test-occlusion"}
    assert judged[2:] == [("shifts",)]


def test_what_a_core_made_of_other_images_is_not_read(tmp_path):
    told = []

    def cache(**digests):
        named = {f"test-{shift}": digest for shift, digest in digests.items()}
        return Cache(tmp_path / "cache", {"model": "m"}, told.append, named)

    made = {"slots": np.zeros((3, 2, 4), np.float32)}
    for split in ("test", "test-crop"):
        cache(crop="a").write(split, made)
    for other in (cache(crop="b"), cache()):
        assert other.read("test", 3, ("slots",))
        assert not other.read("test-crop", 3, ("slots",))
    assert len(told) == 2
    assert cache(crop="a", occlusion="c").read("test-crop", 3, ("slots",))


def test_a_prepared_file_is_judged_under_every_shift(tmp_path):
    path = prepare(replace(request(tmp_path, "all"), variant="binarized"))
    run = trained_on(path, tmp_path)
    with DatasetFile(path) as dataset:
        objective = trained(run, run.config())
        # As many slots more as images may have objects more, and only there.
        for split, slots in (("test", 4), ("test-crop", 4), ("test-num_objects", 6)):
            seen = collect(objective, dataset, split, 3, seed=0, wanted=("overlap",))
            assert seen["overlap"].shape[:2] == (3, slots)
        document = judge(dataset, objective, groups=("shifts",), probe_steps=20)
        assert document["skipped"] == {}
        for shift in SHIFTS:
            found = {key: cell for key, cell in document["metrics"].items() if f"/{shift}/" in key}
            subsets = {key.split("/")[2] for key in found}
            single = shift.startswith("object_")
            assert subsets == ({"all", "changed", "unchanged"} if single else {"all"})
            counted = found[f"shifts/{shift}/all/properties/linear/loss/mean"]["n"]
            visible = int(dataset.read(split_of(shift))["visible"].sum())
            assert counted == visible
            if single:
                key = f"shifts/{shift}/changed/properties/linear/loss"
                assert found[f"{key}/mean"]["n"] == 4
                assert (f"{key}/shape" in found) == (shift != "object_shape")
