"""Shifted test sets that join a file after a run was judged: what was known of them is stale."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slotbench import workflow
from slotbench.datasets.prepare import Request, prepare
from slotbench.evaluation.cache import Cache, Stored
from slotbench.train import Host
from tests.datasets.whole import TINY


def request(folder: Path, *shifts: str) -> Request:
    sizes = {"train": 8, "val": 4, "test": 4}
    return Request(
        "multi-dsprites", image_size=32, sizes=sizes, workers=1, data_dir=folder, shifts=shifts
    )


def test_a_run_is_judged_again_by_shifts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, host = prepare(request(tmp_path)), Host(torch.device("cpu"))
    choice = workflow.Choice(str(path), preset="quick", steps=1, overrides=TINY)
    run = workflow.start(choice, host, tmp_path, tmp_path / "results", evaluate=False)
    judged: list[tuple[str, ...]] = []
    judge = workflow.judge

    def few_steps(*arguments: object, **options: object) -> object:
        judged.append(options["groups"])  # type: ignore[arg-type]
        return judge(*arguments, **options, probe_steps=2)  # type: ignore[arg-type]

    monkeypatch.setattr(workflow, "judge", few_steps)

    def found() -> dict[str, object]:
        return workflow.evaluate(run, host, tmp_path, split="test", metrics="segmentation,shifts")

    assert "no shifted test sets" in found()["skipped"]["shifts"]  # type: ignore[index]
    found()
    assert judged == [("segmentation", "shifts")]
    prepare(request(tmp_path, "crop"))
    first = found()
    assert judged[1:] == [("shifts",)]
    assert "shifts/crop/all/fg_ari/attention" in first["metrics"]  # type: ignore[operator]
    assert "fg_ari/attention" in first["metrics"]  # type: ignore[operator]
    assert set(first["shifted"]) == {"test-crop"}  # type: ignore[call-overload]
    assert found() == first
    prepare(request(tmp_path, "occlusion"))
    assert set(found()["shifted"]) == {"test-crop", "test-occlusion"}  # type: ignore[call-overload]
    assert judged[2:] == [("shifts",)]


def test_what_a_core_made_of_other_images_is_not_read(tmp_path: Path) -> None:
    told: list[str] = []

    def cache(**digests: str) -> Cache:
        named = {f"test-{shift}": digest for shift, digest in digests.items()}
        return Cache(tmp_path / "cache", {"model": "m"}, told.append, named)

    made = Stored({"slots": np.zeros((3, 2, 4), np.float32)})
    for split in ("test", "test-crop"):
        cache(crop="a").write(split, made)
    for other in (cache(crop="b"), cache()):
        assert other.read("test", 3, ("slots",)).arrays
        assert not other.read("test-crop", 3, ("slots",)).arrays
    assert len(told) == 2
    assert cache(crop="a", occlusion="c").read("test-crop", 3, ("slots",)).arrays
