"""Several starts: the one with the least loss on val goes on, as if it had been the only one."""

import os
import signal

import pytest
import torch

from slotbench.config.run_config import TrainConfig
from slotbench.files import read_json
from slotbench.results import work
from slotbench.results.documents import TrainFacts
from slotbench.results.finding import find
from slotbench.results.models import built
from slotbench.results.run import Run
from slotbench.training.loop import Trainer, train
from tests.small import CPU, assert_same_weights, started

THREE = ("train.starts=3", "train.start_steps=4")


def test_the_best_start_is_trained_as_if_it_were_the_only_one(blocks, tmp_path):
    found = started(blocks, tmp_path / "a", *THREE, steps=6)
    losses = [each["val_loss"] for each in read_json(found.path / "starts.json")["tried"]]
    assert len(set(losses)) == 3
    alone = started(blocks, tmp_path / "b", steps=6)
    best = losses.index(min(losses))
    other = Run(tmp_path / "c" / "runs" / "x" / "y" / alone.id)
    config = alone.config()
    with work.open_dataset(config, blocks) as dataset:
        train(other, built(other, config, best), config, dataset, CPU)
    assert_same_weights(found, other)
    status = found.status()
    assert status["flops"] == (6 + 3 * 4) * status["flops_per_step"]
    assert status["step"] == 6
    assert found.id != alone.id


def test_an_interrupted_run_tries_no_start_twice(blocks, tmp_path, monkeypatch):
    whole = started(blocks, tmp_path / "a", *THREE, steps=6)
    advance, taken = Trainer.advance, []

    def stop_in_the_second(self, loader):
        taken.append(self.step)
        if len(taken) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, loader)

    monkeypatch.setattr(Trainer, "advance", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        started(blocks, tmp_path / "b", *THREE, steps=6)
    broken = find(whole.id, tmp_path / "b")
    assert broken.status()["state"] == "interrupted"
    assert len(read_json(broken.path / "starts.json")["tried"]) == 1
    taken.clear()
    monkeypatch.setattr(Trainer, "advance", lambda *args: (taken.append(0), advance(*args))[1])
    resumed = work.resume(whole.id, CPU, blocks, tmp_path / "b", evaluate=False)
    assert len(taken) == 2 * 4 + 6
    assert_same_weights(whole, resumed)


def test_a_start_that_does_not_stay_finite_is_passed_over(blocks, tmp_path, monkeypatch):
    def spoiled(run, config, number=0):
        made = built(run, config, number)
        if number != 1:
            with torch.no_grad():
                next(made.parameters()).fill_(torch.nan)
        return made

    monkeypatch.setattr("slotbench.results.starts.built", spoiled)
    monkeypatch.setattr("slotbench.training.loop.check_core", lambda *_: None)
    done = started(blocks, tmp_path, *THREE, steps=6)
    tried = read_json(done.path / "starts.json")["tried"]
    assert [each["val_loss"] is None for each in tried] == [True, False, True]
    assert done.status()["state"] == "done"


def test_an_untrained_core_has_nothing_to_choose(blocks, tmp_path):
    plain = started(blocks, tmp_path / "a", objective="random")
    assert_same_weights(plain, started(blocks, tmp_path / "b", *THREE, objective="random", steps=6))


def test_starts_fit_the_steps_and_no_budget():
    with pytest.raises(ValueError, match=r"starts=2: expected 1 with budget=60:seconds"):
        TrainConfig(starts=2, budget="60:seconds")
    with pytest.raises(ValueError, match=r"starts=2: expected start_steps=900 <= steps=500"):
        TrainConfig(starts=2, start_steps=900, steps=500)


def test_the_images_of_all_starts_count_as_budget():
    assert TrainFacts(steps=6, batch_size=2, starts=3, start_steps=4).images == "36 images"
    assert TrainFacts(steps=6, batch_size=2, starts=1, start_steps=4).images == "12 images"
