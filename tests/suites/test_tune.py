"""Tuning: equal budgets, seeds of its own, and settings that a preset reads."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from slotbench import api
from slotbench.config import tuned
from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.results.run import Run
from slotbench.suites.speedrun import val_scores
from slotbench.training.build import build
from tests.small import SMALL, choice


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where tuned settings go in a test."""
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    return tmp_path / "tuned"


def contest(blocks, results, trials=2, **options):
    found = api.tune(
        ["simclr"],
        trials=trials,
        steps=4,
        set=SMALL,
        device="cpu",
        data_dir=blocks,
        results_dir=results,
        **options,
    )
    return found["simclr"]


def runs(results):
    return [Run(file.parent) for file in sorted(results.glob("tuning/**/status.json"))]


def test_tuned_settings_are_found_kept_and_read(blocks, tmp_path, folder):
    first = contest(blocks, tmp_path)
    (file,) = folder.iterdir()
    trained = {run.path: run.status()["state"] for run in runs(tmp_path)}
    # Finalists are trained on a second seed; no seed is one that is reported on.
    assert set(trained.values()) <= {"done", "failed"}  # failed: ended by successive halving
    assert {run.config().seed for run in runs(tmp_path)} == {1000, 1001}
    # Typed again, nothing is trained again.
    assert contest(blocks, tmp_path) == first
    assert {run.path: run.status()["state"] for run in runs(tmp_path)} == trained
    (settings,) = tuned.read("clevr", "clevr6").values()
    assert settings.settings == first["settings"]
    with DatasetFile(blocks / "clevr.h5") as dataset:
        info = dataset_info(dataset)
    config = resolve(Choice(objective="simclr", preset="tuned"), info)
    rate = float(settings.settings["train.learning_rate"])
    assert config.train.learning_rate == rate
    assert config.overrides == {}
    assert config.to_dict()["tuning"] == {"trials": 2, "steps": 4}
    assert '"trials" = 2' in file.read_text()
    # Whoever names no preset gets them.
    options = {"steps": 1, "evaluate": False, "device": "cpu", "data_dir": blocks}
    for objective, preset in (("simclr", "tuned"), ("byol", "quick")):
        extra = {} if preset == "tuned" else {"set": dict(text.split("=") for text in SMALL)}
        run = api.train(objective=objective, results_dir=tmp_path / "new", **options, **extra)
        assert run.config().preset == preset


@pytest.mark.usefixtures("folder")
def test_the_first_trial_is_the_preset_and_what_was_typed_is_kept(blocks, tmp_path):
    tuned_of = contest(blocks, tmp_path, trials=1)
    with DatasetFile(blocks / "clevr.h5") as dataset:
        plain = resolve(choice(objective="simclr", steps=4), dataset_info(dataset))
        again = resolve(Choice(objective="simclr", preset="tuned", steps=4), dataset_info(dataset))
    assert {text.split("=")[0] for text in SMALL} <= set(tuned_of["settings"])
    for section in ("core", "encoder", "train"):
        assert again.sections[section] == plain.sections[section]
    assert again.sections["views"].resolved() == plain.sections["views"].resolved()


def test_what_was_not_tuned_is_named(blocks, folder):
    with DatasetFile(blocks / "clevr.h5") as dataset:
        info = dataset_info(dataset)
    with pytest.raises(UserError, match="was not tuned on clevr:clevr6") as error:
        resolve(Choice(objective="simclr", preset="tuned"), info)
    assert "slotbench tune" in error.value.advice
    folder.mkdir()
    (folder / "clevr-clevr6.toml").write_text("['a']\npreset = 3")
    with pytest.raises(UserError, match=r"clevr-clevr6\.toml: a: preset"):
        tuned.read("clevr", "clevr6")


def test_a_dry_run_shows_the_space_and_trains_nothing(blocks, tmp_path):
    found = contest(blocks, tmp_path, trials=12, dry_run=True)
    assert found["runs"] == 15
    assert {"train.learning_rate", "views.crop"} <= set(found["space"])
    assert not list(tmp_path.iterdir())


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
