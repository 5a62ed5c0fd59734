"""``train --init RUN`` and ``train --resume RUN --steps N``."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import slotbench
from slotbench.errors import UserError
from slotbench.files import read_json, write_json
from slotbench.results.earlier import go_on_from_earlier, starting_weights
from slotbench.results.models import built
from slotbench.results.run import Run
from slotbench.training import checkpoint
from tests.results.results import make_evaluation
from tests.trained.conftest import OPTIONS, SMALL

CONSTANT = {**SMALL, "train.decay": "none", "train.warmup": "2"}


@pytest.fixture
def train(blocks, tmp_path):
    """Trains in a folder of its own, without an evaluation."""

    def call(**choice):
        options = {} if "resume" in choice else OPTIONS
        where = {"data_dir": blocks, "results_dir": tmp_path, "evaluate": False}
        return slotbench.train(**{**options, "device": "cpu", **where, **choice})

    return call


def alike(one, other, prefix=""):
    """Whether two state dicts have the same values under the names with a beginning."""
    names = {name for name in one if name.startswith(prefix)}
    assert names
    assert names == {name for name in other if name.startswith(prefix)}
    return all(bool((one[name] == other[name]).all()) for name in names)


def test_a_finished_run_gets_a_model_that_was_lost_from_its_checkpoint(train):
    run = train()
    model = run.model.read_bytes()
    for damage in (model[:100], None):
        run.model.unlink() if damage is None else run.model.write_bytes(damage)
        with pytest.raises(UserError, match=r"damaged|no trained model") as caught:
            slotbench.load(run)
        assert caught.value.advice.endswith(f"slotbench train --resume {run.path}")
        run.model.unlink(missing_ok=True)
        train(resume=run)
        assert run.model.read_bytes() == model


def contents(run):
    return {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}


def test_the_core_starts_from_the_weights_and_the_objective_where_it_is_the_same(train):
    first = train()
    weights = load_file(first.model)
    other = train(objective="byol", init=first)
    config = other.config()
    assert config.init["run"] == first.id
    assert config.overrides["init"] == "reconstruction on clevr:clevr6"
    assert other.config().id == other.id.partition("-")[2]
    assert "init" in read_json(other.path / "config.json")
    other.checkpoint.unlink()
    state = built(other, config).state_dict()
    assert alike(weights, state, "core.")
    copies = [name for name in state if name.startswith("teacher.core.")]
    assert copies
    for name in copies:
        assert torch.equal(state[name], weights[name.removeprefix("teacher.")])
    same = train(init=str(first.path), seed=1)
    same.checkpoint.unlink()
    assert alike(weights, built(same, same.config()).state_dict())
    assert train(init=first, seed=1).id == same.id
    # The identity is of the weights, not of the run's name.
    assert replace(config, init={**config.init, "run": "elsewhere"}).id == config.id
    assert replace(config, init={**config.init, "model": "0" * 64}).id != config.id


def test_a_start_that_does_not_fit_is_explained(train):
    first = train()
    with pytest.raises(UserError, match="its core is 'slot-attention', this run's is 'bo-qsa'"):
        train(core="bo-qsa", init=first)
    with pytest.raises(UserError, match="the weights do not fit this core: size mismatch"):
        train(init=first, set={**SMALL, "core.width": 8})
    with pytest.raises(UserError, match="No run 'nothing'"):
        train(init="nothing")
    with pytest.raises(UserError, match="--init with --resume"):
        train(resume=first, init=first)
    second, weights = train(init=first, seed=1), load_file(first.model)
    save_file({name: value.bfloat16() for name, value in weights.items()}, first.model)
    with pytest.raises(UserError, match=r"do not fit this core: .* is torch.bfloat16, not"):
        train(init=first, seed=2)
    save_file(weights, first.model, {"other": "file"})
    with pytest.raises(UserError, match="its sha256 differs"):
        starting_weights(second.config(), first.results_dir)
    for part, value in (("core.", float("nan")), ("decoder.", float("inf"))):
        name = next(name for name in weights if name.startswith(part))
        save_file({**weights, name: torch.full_like(weights[name], value)}, first.model)
        before = len(list(first.path.parent.iterdir()))
        with pytest.raises(UserError, match=f"weights are not finite: {name} in .*safetensors"):
            train(init=first, seed=3)
        assert len(list(first.path.parent.iterdir())) == before


def test_an_extended_run_ends_like_one_that_was_as_long_from_the_start(train, monkeypatch):
    # Nothing in this objective depends on the number of steps.
    short = train(set=CONSTANT, objective="simclr")
    before = contents(short)
    monkeypatch.chdir(short.results_dir)
    place = short.path.relative_to(short.results_dir)
    assert not train(resume=place, steps=5).path.is_absolute()
    longer = train(resume=short, steps=5)
    assert longer.path.parent == short.path.parent
    assert longer.id != short.id
    assert contents(short) == before
    whole = train(set=CONSTANT, objective="simclr", steps=5)
    assert whole.id != longer.id
    assert alike(load_file(whole.model), load_file(longer.model))
    # The rate is that of the longer run, too.
    longer_yet, whole = train(resume=train(), steps=4), train(steps=4)
    rates = [run.metrics()[-1]["learning_rate"] for run in (longer_yet, whole)]
    assert rates[0] == rates[1] > 0
    status = longer.status()
    assert (status["state"], status["step"]) == ("done", 5)
    assert status["extended"] == {"run": short.id, "step": 2}
    assert longer.config().extended == status["extended"]
    assert [row["step"] for row in longer.metrics()] == [2, 5]
    assert train(resume=short, steps=5).id == longer.id
    again = train(resume=longer, steps=6)
    assert again.config().extended == {"run": longer.id, "step": 5}


def test_an_extension_that_was_killed_at_its_start_begins_again(train):
    short = train(set=CONSTANT)
    longer = train(resume=short, steps=5)
    expected = load_file(longer.model)
    for path in longer.path.iterdir():
        if path.is_file() and path.name != "config.json":
            path.unlink()
    assert Run(longer.path).status()["state"] == "new"
    again = train(resume=longer)
    assert alike(expected, load_file(again.model))
    assert again.status()["extended"]["step"] == 2
    longer.checkpoint.unlink()
    saved = checkpoint.load(short.checkpoint, short.config())
    replace(saved, step=1).save(short.checkpoint)
    with pytest.raises(UserError, match="is of step 1, expected 2"):
        go_on_from_earlier(longer, longer.config())
    shutil.rmtree(short.path)
    with pytest.raises(UserError, match="No run"):
        go_on_from_earlier(longer, longer.config())


@pytest.mark.parametrize(
    ("choice", "steps", "message"),
    [
        ({}, 2, "the run has 2 already; expected more"),
        ({}, 10**20, "^--steps 100000000000000000000: expected less than or equal"),
        ({"objective": "random"}, 9, "trains nothing"),
        ({"budget": "600:seconds"}, 9, "of the budget 600:seconds"),
    ],
)
def test_a_run_that_cannot_be_extended_is_explained(train, choice, steps, message):
    run = train(**choice)
    with pytest.raises(UserError, match=message):
        train(resume=run, steps=steps)
    assert len(list(run.path.parent.iterdir())) == 1
    run.write_status("interrupted")
    with pytest.raises(UserError, match="is interrupted; only a finished run is extended"):
        train(resume=run, steps=9)


@pytest.mark.slow
def test_seeds_that_follow_runs_of_their_own_are_one_row(train, tmp_path, shown):
    for seed in (0, 1):
        first = train(seed=seed)
        follower = train(seed=seed, objective="simclr", init=first)
        longer = train(resume=follower, steps=4)
        for run in (follower, longer):
            numbers = {"fg_ari/attention": 0.5 + seed / 10}
            write_json(run.evaluation, make_evaluation(run.config().to_dict(), numbers))
    rows = json.loads(shown("leaderboard", "--json", "--results-dir", tmp_path)[1])["rows"]
    found = {row["settings"]: row["seeds"] for row in rows}
    (plain,) = [text for text in found if "extended" not in text]
    (longer,) = [text for text in found if "extended=2" in text]
    assert "init=reconstruction on clevr:clevr6" in plain
    assert found == {plain: 2, longer: 2}
