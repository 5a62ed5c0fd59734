"""The smallest runs that train: what the tests of whole runs share."""

import torch

from slotbench import api
from slotbench.config.resolve import Choice
from slotbench.results import work
from slotbench.results.run import read_model
from slotbench.rng import torch_generator

SMALL = ("encoder.channels=8", "core.width=8", "core.mlp_width=8", "train.batch_size=8")
SMALL += ("train.log_every=1", "train.picture_every=0")
DECODER = ("decoder.channels=8", "decoder.grid=8", "decoder.size=16")
"""For objectives that decode."""
CPU = api.host("cpu", checkpoint_every=0.0)


def images(size=32):
    """Two images float32 (2, 3, size, size) in [0, 1]."""
    return torch.rand(2, 3, size, size, generator=torch_generator(0, "images"))


def choice(*overrides, objective="reconstruction", steps=3, **fields):
    """A run of a few steps, of small parts."""
    decoder = DECODER if objective == "reconstruction" else ()
    overrides = (*SMALL, *decoder, *overrides)
    return Choice(objective=objective, preset="quick", steps=steps, overrides=overrides, **fields)


def started(data, results, *overrides, host=CPU, **fields):
    """Such a run, trained and not judged."""
    return work.start(choice(*overrides, **fields), host, data, results, evaluate=False)


def assert_same_weights(one, two):
    """Two runs have the same trained weights, bit for bit."""
    first, second = read_model(one), read_model(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
