"""Tuning: equal budgets, seeds of its own, and settings that a preset reads."""

import os
import sqlite3
import sys
from functools import partial
from multiprocessing import get_context
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sqlalchemy.exc import OperationalError

from slotbench import api, registry
from slotbench.config import tuned
from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import TrainConfig, with_field
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, SPLITS
from slotbench.datasets.prepare.parts import join
from slotbench.errors import RunLocked, SlotbenchError, TrainingError, UserError
from slotbench.fields import Span
from slotbench.results.run import Run
from slotbench.suites import tune
from slotbench.suites.speedrun import val_scores
from slotbench.training.build import build
from tests.commands import limited
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch
from tests.small import SMALL, choice

FACTS = {"steps": 4, "trials": 2, "seeds": (1000,), "date": "2026-01-01", "score": 0.5}


def contest(blocks, results, trials=2, objective="simclr", **options):
    """What tuning finds for an objective in four steps a trial."""
    given = {"set": SMALL, "device": "cpu", "data_dir": blocks, "results_dir": results, **options}
    return api.tune([objective], trials=trials, steps=4, **given)[objective]


def runs(results):
    return [Run(file.parent) for file in sorted(results.glob("tuning/**/status.json"))]


def done(results, seed):
    mine = (run for run in runs(results) if run.config().seed == seed)
    return [run for run in mine if run.status()["state"] == "done"]


def test_tuned_settings_are_found_kept_and_read(blocks, tmp_path, tuned_folder, info, monkeypatch):
    monkeypatch.setattr(tuned, "FOLDER", tuned_folder.relative_to(tmp_path))
    first = contest(blocks, tmp_path)
    (file,) = tuned_folder.iterdir()
    trained = {run.path: run.status()["state"] for run in runs(tmp_path)}
    # Finalists are trained on a second seed; no seed is one that is reported on.
    assert set(trained.values()) <= {"done", "failed"}  # failed: ended by successive halving
    assert {run.config().seed for run in runs(tmp_path)} == {1000, 1001}
    # Typed again, nothing is trained again.
    assert contest(blocks, tmp_path) == first
    assert {run.path: run.status()["state"] for run in runs(tmp_path)} == trained
    (settings,) = (entry.tuned for entry in tuned.read("clevr", "clevr6", tmp_path).values())
    assert settings.settings == first["settings"]
    (told,) = api.tune(["simclr"], steps=4, set=SMALL, dry_run=True, data_dir=blocks).values()
    assert settings.space == told["space"] != {}
    config = resolve(Choice(objective="simclr", preset="tuned", results_dir=str(tmp_path)), info)
    plain = resolve(choice(objective="simclr", steps=4), info)
    for field, value in settings.settings.items():
        section, name = field.split(".")
        set_by_hand = with_field(section, plain.sections[section], name, value)
        assert getattr(config.sections[section], name) == getattr(set_by_hand, name)
    assert config.overrides == {}
    assert config.to_dict()["tuning"] == {"trials": 2, "steps": 4}
    assert '"trials" = 2' in file.read_text()
    # Whoever names no preset gets them.
    options = {"steps": 1, "evaluate": False, "device": "cpu", "data_dir": blocks}
    for objective, preset in (("simclr", "tuned"), ("byol", "quick")):
        extra = {} if preset == "tuned" else {"set": dict(text.split("=") for text in SMALL)}
        run = api.train(objective=objective, results_dir=tmp_path, **options, **extra)
        assert run.config().preset == preset
    with pytest.raises(UserError, match="was not tuned on"):
        api.train(objective="simclr", preset="tuned", results_dir=tmp_path / "new", **options)


@pytest.mark.usefixtures("tuned_folder")
def test_the_first_trial_is_the_preset_and_what_was_typed_is_kept(blocks, tmp_path, info):
    tuned_of = contest(blocks, tmp_path, trials=1)
    plain = resolve(choice(objective="simclr", steps=4), info)
    again = resolve(Choice(objective="simclr", preset="tuned", steps=4), info)
    assert {text.split("=")[0] for text in SMALL} <= set(tuned_of["settings"])
    for section in ("core", "encoder", "train"):
        assert again.sections[section] == plain.sections[section]
    assert again.sections["views"].resolved() == plain.sections["views"].resolved()


def test_what_was_not_tuned_is_named(info, tuned_folder, blocks, tmp_path):
    with pytest.raises(UserError, match="was not tuned on clevr:clevr6") as error:
        resolve(Choice(objective="simclr", preset="tuned"), info)
    assert "slotbench tune" in error.value.advice
    tuned_folder.mkdir()
    key = tuned.key_of("slot-attention", "simclr", registry.names("alignments")[0])
    tuned.write("clevr", "clevr6", key, tuned.Tuned(preset="quick", settings={}, **FACTS))
    with (tuned_folder / "clevr-clevr6.toml").open("a") as file:
        file.write("\n['slot-attention/reconstruction']\npreset = 3")
    # A bad table stops its own contestant, and tuning, which would write the file anew.
    assert resolve(Choice(objective="simclr", preset="tuned"), info).preset == "tuned"
    message = r"clevr-clevr6\.toml: slot-attention/reconstruction: preset"
    with pytest.raises(UserError, match=message):
        resolve(Choice(preset="tuned"), info)
    with pytest.raises(UserError, match=message):
        contest(blocks, tmp_path)


def test_a_mistake_that_every_trial_would_meet_ends_tuning(blocks, tmp_path):
    with limited(120), pytest.raises(UserError, match="has only 48 images in 'train'"):
        contest(blocks, tmp_path, set=("train.batch_size=64",))


@pytest.mark.parametrize("of", ["tune", "speedrun"])
def test_without_masks_there_is_nothing_to_tune_or_race_for(tmp_path, of, monkeypatch):
    monkeypatch.setattr(tune, "carry_out", None)  # no step is taken
    batches = {split: blocks_batch(8, 0) for split in SPLITS}
    for batch in batches.values():
        batch["mask"][:] = NOT_LABELLED
    join(tmp_path / "clevr.h5", LAYOUT, {key: [of] for key, of in batches.items()}, ATTRIBUTES)
    begin = {
        "tune": lambda: contest(tmp_path, tmp_path, trials=1),
        "speedrun": lambda: api.speedrun(seeds=1, device="cpu", data_dir=tmp_path),
    }
    with limited(120), pytest.raises(UserError, match="show no labelled object"):
        begin[of]()


def test_an_objective_that_trains_nothing_is_not_tuned(blocks, tmp_path):
    """It is told before another is tuned."""
    with pytest.raises(UserError, match="--objective random: it trains nothing"):
        api.tune(["simclr", "random"], trials=1, data_dir=blocks, results_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tuned_folder")
def test_settings_of_a_trial_that_crashed_are_not_taken_again(blocks, tmp_path, monkeypatch):
    """They would crash again."""
    begun = []

    def crash(run, *_):
        begun.append(run.id)
        raise RuntimeError("out of memory")

    whole = tune.carry_out
    monkeypatch.setattr(tune, "carry_out", crash)
    with pytest.raises(RuntimeError, match="out of memory"):
        contest(blocks, tmp_path, trials=1)
    monkeypatch.setattr(tune, "carry_out", whole)
    contest(blocks, tmp_path, trials=1)
    assert not set(begun) & {run.id for run in runs(tmp_path)}


def test_trials_that_all_diverge_end_tuning(blocks, tmp_path, monkeypatch):
    def diverge(*_):
        raise TrainingError("the loss is not finite at step 1")

    monkeypatch.setattr(tune, "carry_out", diverge)
    with limited(120), pytest.raises(SlotbenchError, match="3 trials failed"):
        contest(blocks, tmp_path, trials=2)


@pytest.mark.usefixtures("tuned_folder")
def test_trials_are_kept_below_the_results_whatever_the_folder_is_called(blocks, tmp_path):
    results = tmp_path / "{a}?b#c%41"
    contest(blocks, results, trials=1)
    assert (results / "tuning" / "clevr-clevr6.db").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tuned", results.name]


@pytest.mark.parametrize("kind", ["text", "pipe", "folder"])
def test_a_damaged_file_of_trials_is_named(blocks, tmp_path, kind):
    file = tmp_path / "tuning" / "clevr-clevr6.db"
    file.parent.mkdir()
    make = {"pipe": os.mkfifo, "folder": os.mkdir}
    make.get(kind, lambda path: path.write_text("no database" * 999))(file)
    with pytest.raises(UserError, match=r"clevr-clevr6\.db (cannot be used|is not a regular file)"):
        contest(blocks, tmp_path, trials=1)


def _begin(folder):
    tune._study(folder, "study")


def test_processes_that_begin_at_once_make_one_file_of_trials(tmp_path):
    with get_context("spawn").Pool(3) as pool:
        pool.starmap(_begin, [(tmp_path / "new",)] * 3)
    assert tune._study(tmp_path / "new", "study").trials == []


@pytest.mark.usefixtures("tuned_folder")
def test_a_disk_that_fills_up_while_trials_are_taken_is_named(blocks, tmp_path, monkeypatch):
    def full(*_):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(tune._Work, "take_trials", full)
    with pytest.raises(UserError, match=r"clevr-clevr6\.db cannot be used: .*disk is full") as told:
        contest(blocks, tmp_path, trials=1)
    assert "free some space" in told.value.advice


def test_a_dry_run_shows_the_space_and_trains_nothing(blocks, tmp_path):
    found = contest(blocks, tmp_path, trials=12, dry_run=True)
    assert found["runs"] == 15
    assert {"train.learning_rate", "views.crop"} <= set(found["space"])
    assert not list(tmp_path.iterdir())


def test_a_field_that_is_set_is_not_tuned(blocks, tmp_path, tuned_folder):
    told = contest(blocks, tmp_path, trials=2, set=[*SMALL, " train.learning_rate = 0.5"])
    assert told["settings"]["train.learning_rate"] == "0.5"
    assert "train.learning_rate" not in told["space"]
    assert {run.config().train.learning_rate for run in runs(tmp_path)} == {0.5}
    assert tuned_folder.is_dir()


def test_the_score_is_the_foreground_ari_of_val(blocks):
    with DatasetFile(blocks / "clevr.h5") as dataset:
        config = resolve(choice(objective="random"), dataset_info(dataset))
        objective = build(config).eval()
        batch = dataset.read("val")
        images = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            masks = objective.core(images).attention
        size = images.shape[2:]
        masks = torch.nn.functional.interpolate(
            masks, size, mode="bilinear", align_corners=False
        ).argmax(dim=1)
        expected = [
            adjusted_rand_score(truth[truth > 0], labels[truth > 0])
            for truth, labels in zip(batch["mask"], masks.numpy(), strict=True)
            if (truth > 0).any()
        ]
        assert val_scores(objective, dataset)["fg_ari"] == pytest.approx(
            np.mean(expected), abs=1e-6
        )


@pytest.mark.usefixtures("tuned_folder")
def test_a_preset_that_no_trial_beats_is_tuned_as_it_is(blocks, tmp_path, monkeypatch, info):
    """Then no setting is written but what was typed, and a tuned run is the run of the preset."""
    told = [text for text in SMALL if not text.startswith("train.")]
    monkeypatch.setattr("slotbench.suites.tune.val_scores", lambda *_: {"fg_ari": 0.5})
    found = contest(blocks, tmp_path, trials=1, objective="barlow-twins", set=told)
    assert found["settings"] == dict(text.split("=") for text in told)
    known = Choice(objective="barlow-twins", preset="quick", overrides=tuple(told))
    again = Choice(objective="barlow-twins", preset="tuned")
    assert resolve(again, info).id == resolve(known, info).id


def _ended(stop, place, blocks, results):
    """A process whose tuning is ended in its first trial."""
    setattr(tune, place, lambda *_: stop())
    contest(blocks, results, trials=1)


@pytest.mark.usefixtures("tuned_folder")
@pytest.mark.parametrize(
    ("stop", "place"),
    [(partial(os._exit, 9), "suggest"), (partial(os._exit, 9), "carry_out"), (sys.exit, "suggest")],
)
def test_a_trial_whose_process_was_ended_is_taken_again(blocks, tmp_path, stop, place):
    """At once, and with its own settings: the first trial is the preset."""
    expected = contest(blocks, tmp_path / "whole", trials=1)["settings"]
    results = tmp_path / "ended"
    process = get_context("spawn").Process(target=_ended, args=(stop, place, blocks, results))
    process.start()
    process.join()
    assert not runs(results)
    # A setting that is the preset's own is not written.
    assert contest(blocks, results, trials=1)["settings"].keys() == expected.keys()
    assert not list(results.rglob(".process-*"))


@pytest.mark.usefixtures("tuned_folder")
def test_a_lock_that_cannot_be_read_ends_tuning(blocks, tmp_path):
    """Also after trials have succeeded, when a failed one is replaced."""
    contest(blocks, tmp_path, trials=1)
    lock = tmp_path / "tuning" / "clevr-clevr6" / ".process-other.lock"
    (tmp_path / "elsewhere").touch()
    lock.symlink_to(tmp_path / "elsewhere")
    with limited(120), pytest.raises(UserError, match=r"process-other\.lock is a link"):
        contest(blocks, tmp_path, trials=2)


@pytest.mark.usefixtures("tuned_folder")
def test_a_process_leaves_a_finalist_that_another_one_trains(blocks, tmp_path, monkeypatch):
    begun = []

    def busy(run, *others):
        begun.append(run.id)
        if len([name for name in begun if name.startswith("1001-")]) == 1:
            raise RunLocked("Another process trains it.")
        carry_out(run, *others)

    carry_out = tune.carry_out
    monkeypatch.setattr(tune, "carry_out", busy)
    monkeypatch.setattr(tune, "val_scores", lambda *_: {"fg_ari": 0.5})  # nothing is pruned
    contest(blocks, tmp_path)
    first, second, *_ = further = [name for name in begun if name.startswith("1001-")]
    assert first != second
    assert set(further) == {first, second} == {run.id for run in done(tmp_path, 1001)}


@pytest.mark.usefixtures("tuned_folder")
def test_two_processes_share_trials_and_finalists(blocks, tmp_path):
    assert contest(blocks, tmp_path, trials=3, workers=2)["trials"] == 3
    assert len(done(tmp_path, 1000)) >= len(done(tmp_path, 1001)) >= 1


@pytest.mark.usefixtures("tuned_folder")
def test_trials_with_other_settings_are_another_study(blocks, tmp_path):
    contest(blocks, tmp_path, trials=1)
    before = len(runs(tmp_path))
    contest(blocks, tmp_path, trials=1, set=[*SMALL, "core.eval_iterations=2"])
    assert len(runs(tmp_path)) > before


@pytest.mark.usefixtures("tuned_folder")
def test_trials_over_another_space_are_another_study(blocks, tmp_path, monkeypatch):
    contest(blocks, tmp_path, trials=1)
    monkeypatch.setattr(TrainConfig, "space", {"learning_rate": Span(0.1, 0.2)})
    told = contest(blocks, tmp_path, trials=2)
    rates = [
        run.config().train.learning_rate for run in runs(tmp_path) if run.config().seed == 1000
    ]
    assert sum(0.1 <= rate <= 0.2 for rate in rates) == 2  # the trial of the first study counts not
    assert told["space"]["train.learning_rate"] == "0.1 to 0.2"


def test_a_trial_that_is_trained_to_its_end_is_not_pruned(blocks, monkeypatch):
    """On the last rung nothing can be saved; a pruned trial could be no finalist."""
    monkeypatch.setattr(tune, "val_scores", lambda *_: {"fg_ari": 0.1})

    class Worst:
        reported: ClassVar[list[tuple[float, int]]] = []

        def report(self, value, rung):
            self.reported.append((value, rung))

        def should_prune(self):
            return True

    with DatasetFile(blocks / "clevr.h5") as dataset:
        config = resolve(choice("train.picture_every=1", steps=4), dataset_info(dataset))
        judge = tune._Judge(Worst(), dataset, config)
        judge.picture(None, dataset, 4)
        with pytest.raises(tune.Pruned):
            judge.picture(None, dataset, 3)
    assert Worst.reported == [(0.1, 4), (0.1, 3)]
