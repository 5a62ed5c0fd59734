"""``slotbench bench``: every objective that trains has a row, also one that reads labels."""

import json

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from slotbench import registry
from slotbench.cli import app
from slotbench.cli.printing import throughput_table
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


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_a_step_has_the_precision_of_a_training(monkeypatch, precision):
    told = (f"train.precision={precision}",)
    choice = throughput.Choice(objective="cosine", preset="quick", overrides=told)
    config = throughput.resolve(choice, throughput.NOWHERE)
    seen, peaks = [], []

    def made(config):
        objective = build(config)
        loss = objective.loss
        objective.loss = lambda batch: seen.append(torch.is_autocast_enabled("cpu")) or loss(batch)
        return objective

    build = throughput.build
    monkeypatch.setattr(throughput, "build", made)
    monkeypatch.setattr(throughput, "_peak", lambda _, dtype: peaks.append(dtype) or 1.0)
    throughput._times(config, torch.device("cpu"), None, None)
    half = precision == "bfloat16"
    assert seen[:2] == [half, half]
    assert peaks == [torch.bfloat16 if half else torch.float32]


def test_names_stay_whole_in_a_terminal_of_80_columns():
    numbers = ("step_ms", "views_ms", "loading_ms", "waited_ms", "images_per_second")
    row = dict.fromkeys((*numbers, "relative", "gflops_per_second"), 1234.56)
    row |= {"preset": "quick", "batch_size": 16, "device": "cpu", "share_of_peak": 0.5}
    rows = [{"objective": name, **row} for name in registry.entries("objectives")]
    console = Console(width=80, record=True)
    console.print(throughput_table(rows))
    text = console.export_text()
    assert "…" not in text
    assert all(name in text for name in registry.entries("objectives"))


def test_loading_is_timed_from_a_dataset_of_any_size(blocks):
    config = throughput.resolve(
        throughput.Choice(objective="supervised", preset="quick"), throughput.NOWHERE
    )
    times = throughput._times(config, torch.device("cpu"), str(blocks / "clevr.h5"), blocks)
    assert times["waited_ms"] == pytest.approx(times["loading_ms"], abs=0.006)
    assert times["loading_ms"] > 0
