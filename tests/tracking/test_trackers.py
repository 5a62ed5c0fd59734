"""What holds for every tracker: what it is told, and that it can do the training no harm."""

import sys
import threading
import time
from typing import Any, ClassVar

import pytest

from slotbench import api, registry
from slotbench.errors import UserError
from slotbench.registry import Entry
from slotbench.results import judge
from slotbench.results import work as workflow
from slotbench.tracking import tracker as base
from slotbench.tracking.tracker import Tracked, Tracker, Trackers, check, flat, without_secrets
from slotbench.training.loop import Trainer
from tests.small import choice, started


class Notes(Tracker):
    """Notes what it is told."""

    told: ClassVar[list[Any]] = []

    def __init__(self, run):
        Notes.told.append(("begin", run.step, run.known("notes")))
        run.remember("notes", "one")

    def log(self, step, values):
        Notes.told.append({"step": step, **values})

    def close(self, state):
        Notes.told.append(state)


class Fails(Notes):
    """Fails in the middle."""

    def log(self, step, values):
        super().log(step, values)
        if step == 2:
            raise OSError("the [network] is gone")


class Never(Notes):
    """Fails at once."""

    def __init__(self, run):
        del run
        raise SystemExit("[3]")


class Hangs(Notes):
    """Never comes back."""

    def log(self, step, values):
        del step, values
        threading.Event().wait(20)


class Missing(Notes):
    packages = ("slotbench_no_such_package",)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    Notes.told.clear()
    known = dict(registry.entries("trackers"))
    for kind in (Notes, Fails, Never, Hangs, Missing):
        name = kind.__name__.lower()
        known[name] = Entry("trackers", name, "-", "-", f"{__name__}:{kind.__name__}")
    monkeypatch.setitem(registry._ENTRIES, "trackers", known)


@pytest.fixture
def said(capsys):
    """What stderr has had so far, in one line."""
    return lambda: " ".join(capsys.readouterr().err.split())


def trained(blocks, results, *names, steps=4):
    host = api.host("cpu", 0.0, track=names)
    return started(blocks, results, host=host, steps=steps)


def test_a_tracker_is_told_the_lines_of_metrics_jsonl(blocks, tmp_path):
    run = trained(blocks, tmp_path, "notes")
    assert Notes.told == [("begin", 0, None), *run.metrics(), "done"]


def test_a_resumed_run_goes_on_under_the_name_it_had(blocks, tmp_path, monkeypatch):
    step = Trainer.train_step

    def broken(self, batch):
        if self.step == 2:
            raise MemoryError
        return step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", broken)
    with pytest.raises(MemoryError):
        trained(blocks, tmp_path, "notes")
    monkeypatch.setattr(Trainer, "train_step", step)
    assert Notes.told.pop() == "failed"
    Notes.told.clear()
    run = trained(blocks, tmp_path, "notes")
    assert Notes.told == [("begin", 2, "one"), *run.metrics()[2:], "done"]


@pytest.mark.parametrize("name", ["fails", "never"])
def test_one_that_fails_is_named_once_and_stops_nothing(blocks, tmp_path, said, name):
    run = trained(blocks, tmp_path, name, "notes")
    assert run.status()["state"] == "done"
    assert len(run.metrics()) == 4
    assert said().count(f"Warning: {name} has failed and gets no more numbers") == 1
    assert Notes.told[-1] == "done"


def test_one_that_hangs_stops_nothing(blocks, tmp_path, monkeypatch, said):
    monkeypatch.setattr(base, "CLOSE_SECONDS", 0.1)
    begun = time.monotonic()
    assert trained(blocks, tmp_path, "hangs").status()["state"] == "done"
    assert time.monotonic() - begun < 15
    assert "hangs does not answer" in said()


def test_the_evaluation_is_told_at_the_last_step(blocks, tmp_path, monkeypatch):
    metrics = {"fg_ari/attention": {"value": 0.5}, "miou/decoder": {"value": None}}
    found = {"split": "test", "metrics": metrics}
    monkeypatch.setattr(judge, "judge_run", lambda *_: found)
    host = api.host("cpu", track=("notes",))
    workflow.start(choice(steps=2), host, blocks, tmp_path, evaluate=True)
    told = {"step": 2, "test/fg_ari/attention": 0.5}
    assert Notes.told[-3:] == [("begin", 2, "one"), told, "done"]


def test_a_name_given_twice_is_one_tracker(tmp_path):
    trackers = Trackers(("notes", "notes"), Tracked(tmp_path, {}))
    trackers.log(1, {"loss": 2.0})
    trackers.close("done")
    assert Notes.told == [("begin", 0, None), {"step": 1, "loss": 2.0}, "done"]


def test_a_tracker_that_is_missing_is_named_with_its_extra(monkeypatch):
    with pytest.raises(UserError, match=r"pip install 'slotbench\[missing\]'"):
        check(["notes", "missing"])
    with pytest.raises(UserError, match="Did you mean 'tensorboard'"):
        api.host("cpu", track=("tensorbord",))
    for name in ("tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, registry.get("trackers", name).load().packages[0], None)
        with pytest.raises(UserError, match=rf"slotbench\[{name}\]"):
            api.host("cpu", track=(name,))


def test_no_warning_has_a_password(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "hunter3")
    said = without_secrets("http://user:hunter2@host/api failed for key hunter3, wandb://a@b@host")
    assert said == "http://***@host/api failed for key ***, wandb://***@host"


def test_a_damaged_list_of_names_ends_the_tracking_alone(tmp_path, said):
    (tmp_path / "tracking.json").write_text("[" * 10**5)
    Trackers(("notes",), Tracked(tmp_path, {})).close("done")
    assert "tracking.json is not valid JSON" in said()


def test_settings_are_flat():
    nested = {"train": {"steps": 3, "clip": None}, "views": {"crop": (0.5, 1.0)}, "seed": 0}
    flattened = {"train.steps": 3, "train.clip": "None", "views.crop": "(0.5, 1.0)", "seed": 0}
    assert flat(nested) == flattened
