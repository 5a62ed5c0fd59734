"""What all tests share: one thread, and small datasets that are made once."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from slotbench import plugins, progress, registry
from slotbench.config import tuned
from slotbench.config.resolve import dataset_info
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Layout, Property
from slotbench.datasets.prepare.parts import join
from tests.commands import run_command

# Processes that tests start take it over.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["SLOTBENCH_PUBLISHED"] = ""  # boards hold the tests' own runs alone
torch.set_num_threads(1)

COLOR = Property("color", "categorical", classes=("red", "green", "blue"))
POSITION = Property("position", "numeric", dim=2, unit="pixels")
LAYOUT = Layout(32, 32, 3, (COLOR, POSITION))
ATTRIBUTES = {"name": "clevr", "variant": "clevr6", "origin": "rendered", "sources": "[]"}
ATTRIBUTES |= {"generator": "tests", "seed": 0, "image_size": 32, "licence": "CC0"}


def blocks_batch(n, seed, layout=LAYOUT):
    """n images of one to three coloured squares on grey, drawn without the code under test."""
    generator = np.random.default_rng(seed)
    batch = layout.empty(n)
    batch["image"][:] = 100
    for row in range(n):
        cells = generator.permutation(9)[: generator.integers(1, layout.objects + 1)]
        for slot, cell in enumerate(cells):
            y, x = 10 * (cell // 3) + 1, 10 * (cell % 3) + 1
            color = int(generator.integers(3))
            batch["mask"][row, y : y + 8, x : x + 8] = slot + 1
            batch["image"][row, y : y + 8, x : x + 8] = np.eye(3)[color] * 255
            batch["visible"][row, slot] = True
            batch["property/color"][row, slot] = color
            batch["property/position"][row, slot] = (x, y)
    return batch


def write_blocks(path, train=48, val=24, test=24):
    """A prepared dataset of such images."""
    sizes = {"train": train, "val": val, "test": test}
    splits = {split: [blocks_batch(n, index)] for index, (split, n) in enumerate(sizes.items())}
    join(path, LAYOUT, splits, ATTRIBUTES)
    return path


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """What a test registers or loads is gone after it."""
    before = {kind: registry.entries(kind) for kind in registry.KINDS}
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(progress, "options", [])
    monkeypatch.setenv(plugins.VARIABLE, "")
    yield
    registry.restore(before)


@pytest.fixture(params=[40, pytest.param(300, marks=pytest.mark.slow)])
def count(request):
    """How many inputs are drawn for a test: few in ``make test``, more in ``make test-all``."""
    return request.param


@pytest.fixture
def shown(capsys):
    """A command in this process: its exit code, stdout, and stderr in one line."""

    def call(*words):
        capsys.readouterr()
        code = run_command(*words)
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Small images (False) and video (True) for every objective; do not change them."""
    from tests.objectives import tiny

    return tiny.write_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def blocks(tmp_path_factory):
    """A folder of prepared data with one small dataset, ``clevr.h5``; do not change it."""
    folder = tmp_path_factory.mktemp("data")
    write_blocks(folder / "clevr.h5")
    return folder


@pytest.fixture
def path(blocks, tmp_path):
    """A copy of that dataset, which a test may change."""
    return Path(shutil.copy(blocks / "clevr.h5", tmp_path))


@pytest.fixture
def tuned_folder(tmp_path, monkeypatch):
    """Where tuned settings go in a test, in any results folder; it sees none that are shipped."""
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    monkeypatch.setattr(tuned, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "tuned"


@pytest.fixture
def info(blocks):
    """The facts of the dataset ``blocks`` that configurations need."""
    with DatasetFile(blocks / "clevr.h5") as dataset:
        return dataset_info(dataset)
