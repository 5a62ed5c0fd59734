"""Every metric of fixed predictions, of a baseline, and of an untrained core with shifts.

Metrics that count are held to 1e-6, those of probes that are trained to 1e-4.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from slotbench.config.resolve import Choice
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request as PrepareRequest
from slotbench.datasets.prepare.preparation import prepare
from slotbench.results.judge import evaluate
from slotbench.results.judge_external import Request as JudgeRequest
from slotbench.results.judge_external import evaluate_baseline, evaluate_predictions
from slotbench.results.work import Host, start
from tests.conftest import write_blocks
from tests.golden.store import load

SLOTS, WIDTH = 4, 6
COUNTING = ("ari/", "fg_ari/", "miou/", "mbo/", "sc/", "msc/", "health/empty_slots")
GROUPS = "segmentation,draws,health,linear-probe,dci,shifts"
"""Of the run; predictions are judged by all groups."""


def predictions(data):
    """True masks and properties, each under noise; masks sum to 1."""
    generator, made = np.random.default_rng(2024), {}
    with DatasetFile(data / "clevr.h5") as dataset:
        for split, prefix in (("test", ""), ("train", "train_"), ("val", "val_")):
            batch = dataset.read(split)
            truth = batch["mask"][:, None] == np.arange(SLOTS)[:, None, None]
            slots = 0.3 * generator.normal(size=(len(truth), SLOTS, WIDTH))
            slots[:, 1:, :3] += np.eye(4)[batch["property/color"]][..., :3]
            slots[:, 1:, 3:5] += batch["property/position"] / 32
            slots[:, 1:, 5] += batch["visible"]
            made[f"{prefix}slots"] = slots.astype(np.float32)
            for kind, noise in (("attention", 1.2), ("decoder", 1.5)):
                masks = truth + noise * generator.random(truth.shape)
                masks /= masks.sum(axis=1, keepdims=True)
                made[f"{prefix}{kind}_masks"] = masks.astype(np.float32)
    return made


def of_predictions(folder):
    write_blocks(folder / "clevr.h5")
    np.savez(folder / "predictions.npz", **predictions(folder))
    request = JudgeRequest("clevr", "all", 0, folder, folder / "results")
    return evaluate_predictions(folder / "predictions.npz", "golden", request)[1]


def of_baseline(folder):
    write_blocks(folder / "clevr.h5")
    request = JudgeRequest("clevr", "segmentation", 0, folder, folder / "results")
    return evaluate_baseline("voronoi", request)[1]


def of_run(folder):
    """The untrained core on sprites and their shifted test sets, from ``prepare`` on."""
    sizes = {"train": 48, "val": 16, "test": 16}
    shifts = ("occlusion", "object_color")
    prepare(
        PrepareRequest("multi-dsprites", "binarized", None, 32, sizes, 0, 1, folder, shifts=shifts)
    )
    small = ("core.width=8", "core.mlp_width=8", "encoder.channels=8")
    choice = Choice("multi-dsprites:binarized", objective="random", preset="quick", overrides=small)
    host = Host(torch.device("cpu"))
    run = start(choice, host, folder, folder / "results", evaluate=False)
    return evaluate(run, host, folder, split="test", metrics=GROUPS)


KINDS = {"predictions": of_predictions, "baseline": of_baseline, "run": of_run}


def judged(kind):
    """Numbers by key, how many images are behind each, what is skipped, versions of groups."""
    with tempfile.TemporaryDirectory() as folder:
        document = KINDS[kind](Path(folder))
    return {
        "values": {key: got["value"] for key, got in document["metrics"].items()},
        "counts": {key: got["n"] for key, got in document["metrics"].items()},
        "skipped": document["skipped"],
        "groups": document["groups"],
    }


def found():
    """Kind -> what came of it."""
    return {kind: judged(kind) for kind in KINDS}


STORED = load("metrics")


SLOW = pytest.param("run", marks=pytest.mark.slow)


@pytest.mark.parametrize("kind", ["predictions", "baseline", SLOW])
def test_metrics_stay(kind):
    got, wanted = judged(kind), STORED[kind]
    for part in ("skipped", "groups", "counts"):
        assert got[part] == wanted[part]
    assert list(got["values"]) == list(wanted["values"])
    for key, value in wanted["values"].items():
        close = 1e-6 if kind == "predictions" and key.startswith(COUNTING) else 1e-4
        same = value if value is None else pytest.approx(value, rel=close, abs=1e-6)
        assert got["values"][key] == same, key
