"""Each command, killed by SIGKILL at ten random moments, ends as one that nobody killed."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.rng import numpy_generator
from tests.commands import sets
from tests.datasets import sources
from tests.small import SMALL

KILLS = 10
SET = sets(*SMALL, "train.val_every=4")
TRAIN = ["train", "--preset", "quick", "--device", "cpu", "--objective", "simclr", *SET]
SUITE = """name = "mine"
question = "Which?"
metrics = "segmentation"
[axes]
seed = [0, 1]
[fixed]
objective = "random"
preset = "quick"
"core.width" = 8
"""


def weights(folder):
    """Weights and logged numbers of every run, to the last bit."""
    return {
        file.parent.name: (
            {name: tensor.tolist() for name, tensor in load_file(file).items()},
            (file.parent / "metrics.jsonl").read_text(),
        )
        for file in sorted(folder.glob("results/runs/*/*/*/model.safetensors"))
    }


def evaluations(folder):
    """Every number of every evaluation."""
    return {
        file.parent.name: json.loads(file.read_text())["metrics"]
        for file in sorted(folder.glob("results/runs/*/*/*/evaluation.json"))
    }


def pages(folder):
    """Every page and picture of the site, by its name."""
    files = sorted((folder / "results" / "report").rglob("*"))
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.suffix in (".html", ".png")
    }


def manifest(folder):
    """The hashes of what a bundle holds."""
    return json.loads((folder / "bundle" / "manifest.json").read_text())["files"]


def dataset(folder):
    """The fingerprint of every prepared file, and the digest of each split."""
    found = {}
    for path in sorted((folder / "data").glob("*.h5")):
        with DatasetFile(path) as file:
            found[path.name] = file.fingerprint, file.manifest
    return found


RUN = ([*TRAIN, "--steps", "4", "--no-evaluate"],)
JUDGED = (*RUN, ["evaluate", "0-", "--metrics", "segmentation"])
SIZES = ["--image-size", "32", "--train", "400", "--val", "50", "--test", "50", "--workers", "1"]
PREPARE = ["prepare", "multi-dsprites", *SIZES]
CASES = {
    "prepare": (PREPARE, dataset, ()),
    "import": (["prepare", "folder", "--from", "pictures", "--image-size", "32"], dataset, ()),
    "shifts": ([*PREPARE, "--shifts", "all"], dataset, (PREPARE,)),
    "train": ([*TRAIN, "--steps", "300", "--no-evaluate", "--checkpoint-every", "0"], weights, ()),
    "evaluate": (
        ["evaluate", "0-", "--metrics", "segmentation,health,linear-probe"],
        evaluations,
        RUN,
    ),
    "report": (["report", "--device", "cpu"], pages, JUDGED),
    "publish": (["publish", "0-", "--out", "bundle", "--force"], manifest, JUDGED),
    "suite": (["suite", "run", "mine.toml", "--device", "cpu"], evaluations, ()),
}
"""A command, what must be equal in the end, and the commands that make what it starts from."""


def start(words, folder):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-m", "slotbench", *words], cwd=folder, **quiet)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_command_that_is_killed_ten_times(name, blocks, tmp_path):
    (command, found, first), folders = CASES[name], (tmp_path / "whole", tmp_path / "killed")
    folders[0].mkdir()
    (folders[0] / "mine.toml").write_text(SUITE)
    shutil.copytree(blocks, folders[0] / "data")
    if name == "import":
        (folders[0] / "pictures").mkdir()
        sources.write_folder(folders[0] / "pictures", 2000)
    for words in first:
        assert start(words, folders[0]).wait() == 0
    shutil.copytree(folders[0], folders[1])
    began = time.monotonic()
    assert start(command, folders[0]).wait() == 0
    seconds, draw, killed = time.monotonic() - began, numpy_generator(0, "kill", name), 0
    for _ in range(KILLS):
        process = start(command, folders[1])
        try:
            process.wait(seconds * draw.uniform(0.1, 1.0))
        except subprocess.TimeoutExpired:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert killed > 0
    assert start(command, folders[1]).wait() == 0
    assert found(folders[1]) == found(folders[0])
    left = [path for path in folders[1].rglob(".*") if path.suffix in (".tmp", ".parts")]
    assert left == []
