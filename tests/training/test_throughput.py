"""``slotbench bench``: every objective that trains has a row, also one that reads labels."""

import json

import pytest
import torch
from typer.testing import CliRunner

from slotbench import registry
from slotbench.cli import app
from slotbench.training import bench as throughput


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(throughput, "WARM", 1)
    monkeypatch.setattr(throughput, "COUNTED", 1)


def test_every_objective_that_trains_is_timed():
    done = CliRunner().invoke(app, ["bench", "--device", "cpu", "--json"], catch_exceptions=False)
    rows = json.loads(done.stdout)["rows"]
    trained = {
        name for name, entry in registry.entries("objectives").items() if entry.load().trains
    }
    assert {row["objective"] for row in rows} == trained
    assert (rows[0]["objective"], rows[0]["relative"]) == ("reconstruction", 1)
    for row in rows:
        assert row["relative"] == pytest.approx(row["step_ms"] / rows[0]["step_ms"], abs=0.006)
        assert row["views_ms"] <= row["step_ms"]
        assert row["loading_ms"] is None
        assert row["waited_ms"] == 0  # a CPU that loads nothing
        assert row["gflops_per_second"] > 0
        assert 0 < row["share_of_peak"] < 2


def test_loading_is_timed_from_a_dataset_of_any_size(blocks):
    config = throughput.resolve(
        throughput.Choice(objective="supervised", preset="quick"), throughput.NOWHERE
    )
    times = throughput._times(config, torch.device("cpu"), str(blocks / "clevr.h5"), blocks)
    assert times["waited_ms"] == pytest.approx(times["loading_ms"], abs=0.006)
    assert times["loading_ms"] > 0
