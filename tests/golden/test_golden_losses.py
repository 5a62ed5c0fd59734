"""Losses of 20 training steps of every objective, alignment, core, encoder and decoder.

Rounding differs by CPU and grows: the first five losses are held tightly, later ones loosely.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from slotbench import registry
from slotbench.config.resolve import Choice, dataset_info, resolve
from tests.golden.store import load
from tests.objectives import tiny

STEPS, TIGHT = 20, 5
SAME = ("train.learning_rate=1e-3", "train.precision=float32")
SMALL = ("core.width=8", "core.mlp_width=8", "core.slots=3", "train.batch_size=4")
OTHERS = {
    "encoder cnn": ("encoder.name=cnn", "encoder.channels=4", "encoder.depth=1"),
    "encoder resnet18": ("encoder.name=resnet18", "encoder.base=8", "encoder.channels=8"),
    "decoder broadcast": ("decoder.name=broadcast", "decoder.channels=4"),
    "decoder patch-mlp": ("decoder.name=patch-mlp", "decoder.hidden=8"),
    "decoder transformer": ("decoder.name=transformer", "decoder.width=8"),
}


def cases():
    """What :func:`tiny.config` is asked for, by a name."""
    named = {name: {"objective": name} for name in registry.names("objectives")}
    named |= {
        f"simclr by {name}": {"objective": "simclr", "alignment": name}
        for name in registry.names("alignments")
    }
    named |= {f"core {name}": {"core": name} for name in registry.names("cores")}
    named |= {name: {"overrides": (*SMALL, *texts)} for name, texts in OTHERS.items()}
    return {**named, "combination": {"objective": "reconstruction+simclr:0.1"}}


def configured(dataset, typed):
    """A small run; one with other encoders and decoders says all that is small itself."""
    options = {"objective": "reconstruction", **typed}
    if "overrides" in options:
        overrides = (*SAME, *options["overrides"])
        choice = Choice(preset="quick", steps=STEPS, overrides=overrides)
        return resolve(choice, dataset_info(dataset))
    name = options.pop("objective")
    return tiny.config(dataset, name, *SAME, steps=STEPS, **options)


def trained(data, folder, typed):
    """The sum of absolute weights before training, and the loss of each step."""
    kind = registry.entries("objectives").get(typed.get("objective", ""))
    dataset = data[kind is not None and kind.load().temporal]
    shutil.rmtree(folder, ignore_errors=True)
    going = tiny.trainer(folder, dataset, configured(dataset, typed))
    weights = [weight.detach().double().abs().sum() for weight in going.objective.parameters()]
    loader, losses = going.begin(), []
    while not going.at_end():
        losses.append(float(going.advance(loader)["loss"]))
    return {"weights": float(sum(weights)), "losses": losses}


def found():
    """Case -> weights and losses."""
    with tempfile.TemporaryDirectory() as folder:
        data = tiny.write_data(Path(folder))
        return {name: trained(data, Path(folder) / "run", typed) for name, typed in cases().items()}


STORED = load("losses")


def test_every_case_is_stored():
    assert set(cases()) == set(STORED)


@pytest.mark.parametrize("name", list(cases()))
def test_losses_stay(data, tmp_path, name):
    got, wanted = trained(data, tmp_path / "run", cases()[name]), STORED[name]
    assert got["weights"] == pytest.approx(wanted["weights"], rel=1e-5)
    assert len(got["losses"]) == len(wanted["losses"])
    np.testing.assert_allclose(got["losses"][:TIGHT], wanted["losses"][:TIGHT], rtol=1e-3)
    np.testing.assert_allclose(got["losses"][TIGHT:], wanted["losses"][TIGHT:], rtol=2e-2)
