"""Runs that are trained once for all tests of this folder; do not change them."""

import pytest

import slotbench
from slotbench.results.run import Run

SMALL = {"encoder.channels": 8, "train.batch_size": 8, "core.width": 16, "core.iterations": 2}
OPTIONS = {"preset": "quick", "steps": 2, "device": "cpu", "set": SMALL}


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The results folder of the runs."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def run(blocks, results) -> Run:
    """Two steps of reconstruction on blocks of 32 pixels; not evaluated."""
    return slotbench.train(evaluate=False, data_dir=blocks, results_dir=results, **OPTIONS)
