"""Budgets: what a run may cost, and that this is what it costs."""

import json

import pytest
import torch
from torch import nn

from slotbench.config.budget import UNITS, Budget
from slotbench.errors import UserError
from slotbench.results import judge
from slotbench.training import loop, signals
from slotbench.training.flops import flops_of_step
from tests.objectives import tiny
from tests.small import CPU, started


def trained(blocks, results, budget, objective="simclr", steps=None, overrides=()):
    more = ("train.warmup=0", *overrides)
    fields = {"objective": objective, "budget": budget, "steps": steps}
    return started(blocks, results, *more, **fields)


class Known(nn.Module):
    """A loss whose FLOPs are known by counting: a linear map, then a convolution."""

    def __init__(self):
        super().__init__()
        self.linear, self.convolution = nn.Linear(5, 7), nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self, images):
        self.seen += 1
        vectors = self.linear(images.new_ones(len(images), 5))
        return {"loss": vectors.sum() + self.convolution(images).square().sum()}


def test_flops_are_those_of_products_and_convolutions_and_counting_changes_nothing():
    """A multiplication and an addition are two. Back, only the weights want a gradient here:
    as many again."""
    objective = Known()
    before = tiny.state(objective)
    linear, convolution = 2 * 6 * 5 * 7, 2 * 6 * 8 * 8 * 4 * 3 * 3 * 3
    assert flops_of_step(objective, torch.rand(6, 3, 8, 8)) == 2 * (linear + convolution)
    assert tiny.differences(before, objective.state_dict()) == []
    assert all(weights.grad is None for weights in objective.parameters())


def test_a_run_says_its_flops_and_does_not_depend_on_counting(blocks, tmp_path, monkeypatch):
    run = trained(blocks, tmp_path / "a", None, steps=3)
    status = run.status()
    assert status["flops"] == 3 * status["flops_per_step"] > 0
    monkeypatch.setattr("slotbench.training.loop.flops_of_step", lambda *_: 0)
    other = trained(blocks, tmp_path / "b", None, steps=3)
    assert run.model.read_bytes() == other.model.read_bytes()


def test_steps_and_images_are_ways_to_say_steps(blocks, tmp_path):
    runs = [trained(blocks, tmp_path, budget) for budget in ("3:steps", "31:images")]
    runs.append(trained(blocks, tmp_path, None, steps=3))
    assert {run.path for run in runs} == {runs[0].path}
    assert runs[0].status()["step"] == 3


def test_flops_pay_for_the_steps_they_pay_for(blocks, tmp_path):
    """The dearer objective takes fewer steps; the schedule spans them; the cost is the same."""
    each = {
        name: trained(blocks, tmp_path / name, None, name, steps=1).status()["flops_per_step"]
        for name in ("simclr", "reconstruction")
    }
    budget = 5.5 * max(each.values())
    for objective, flops in each.items():
        run = trained(blocks, tmp_path / objective, f"{budget:.0f}:flops", objective)
        status = run.status()
        assert status["step"] == status["steps"] == int(budget // flops)
        assert budget - flops < status["flops"] <= budget
        rates = [row["learning_rate"] for row in run.metrics()]
        assert len(rates) == status["step"]
    assert len({*each.values()}) == 2
    with pytest.raises(UserError, match="one step takes"):
        trained(blocks, tmp_path, "10:flops")


def test_seconds_end_a_run_and_resuming_does_not_give_it_more(blocks, tmp_path, monkeypatch):
    """By a clock of 10 seconds a step."""
    now, step = [0.0], loop.Trainer.train_step

    def ten_seconds(self, batch):
        now[0] += 10
        if now[0] == 30 and self.step == 2:
            signals._noted.append("SIGTERM")
        return step(self, batch)

    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop.Trainer, "train_step", ten_seconds)
    with pytest.raises(KeyboardInterrupt):
        trained(blocks, tmp_path, "45:seconds", steps=100)
    now[0] += 10**6  # between the two, no time is paid for
    run = trained(blocks, tmp_path, "45:seconds", steps=100)
    status = run.status()
    assert (status["state"], status["step"], status["seconds"]) == ("done", 5, 50.0)
    assert status["steps"] == 5
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5]


def test_a_budget_is_read_as_it_is_written():
    for unit in UNITS:
        budget = Budget.parse(f"2.5e3:{unit}")
        assert budget == Budget(2500.0, unit) == Budget.parse(str(budget))
    for message, texts in {
        "expected a number": ("5", "x:steps", ""),
        "above 0": ("0:steps", "-1:seconds", "nan:flops", "inf:flops"),
        "Did you mean 'steps'": ("5:stepz",),
    }.items():
        for text in texts:
            with pytest.raises(UserError, match=message):
                Budget.parse(text)


def test_steps_and_a_budget_are_one_too_many(blocks, tmp_path):
    with pytest.raises(UserError, match="which"):
        trained(blocks, tmp_path, "3:steps", steps=4)
    with pytest.raises(UserError, match="--budget 3:steps"):
        trained(blocks, tmp_path, None, overrides=("train.budget=3:steps",))


def test_the_leaderboard_has_a_column_of_cost(blocks, tmp_path, shown):
    run = trained(blocks, tmp_path, "2:steps")
    judge.evaluate(run, CPU, blocks, split="test", metrics="segmentation")
    words = ("leaderboard", "--results-dir", tmp_path)
    (row,) = json.loads(shown(*words, "--json")[1])["rows"]
    assert row["cost"]["flops"] == run.status()["flops"] > 0
    assert row["cost"]["steps"] == 2
    assert "FLOPs" in shown(*words, "--format", "markdown")[1]
