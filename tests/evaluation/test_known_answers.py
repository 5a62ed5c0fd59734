"""The property probe on slots whose scores are known beforehand."""

import numpy as np
import pytest

from slotbench.datasets.format.schema import Layout, Property
from slotbench.evaluation.properties import SlotData, predict_properties

SHAPE = Property("shape", "categorical", classes=("cube", "ball", "cone"))
PLACE = Property("place", "numeric", dim=2)
LAYOUT = Layout(8, 8, 3, (SHAPE, PLACE))
FREQUENT = 0.7
"""Share of the most frequent shape."""


def scenes(n, seed, slots, shift=0):
    """n scenes of 3 objects in 4 slots. ``slots``: what a slot holds of its object.

    With a ``shift`` it holds that of the object so many places on, while its mask stays.
    """
    generator = np.random.default_rng(seed)
    shape = generator.choice(3, (n, 3), p=(FREQUENT, 0.2, 0.1)).astype(np.int16)
    place = generator.normal(3, 2, (n, 3, 2)).astype(np.float32)
    known = np.concatenate([np.eye(3)[shape], (place - 3) / 2], axis=2)
    held = np.zeros((n, 4, 5), np.float32)
    held[:, :3] = known if slots == "truth" else generator.normal(size=known.shape)
    overlap = np.zeros((n, 4, 3), np.float32)
    overlap[:, :3] = np.eye(3)
    held[:, :3] = np.roll(held[:, :3], shift, axis=1)
    visible = np.ones((n, 3), bool)
    return SlotData(held, overlap, visible, {"shape": shape, "place": place})


def probe(slots, protocol, shift=0, hidden=0, steps=2000):
    train, val, test = (scenes(n, seed, slots, shift) for seed, n in enumerate((500, 100, 300)))
    found = predict_properties(
        train, val, test, LAYOUT, seed=0, protocol=protocol, hidden=hidden, steps=steps
    )
    return {name: found[name].value for name in ("shape", "place")}


@pytest.mark.parametrize("protocol", ["loss", "mask"])
def test_slots_that_are_the_standardised_properties_score_above_099(protocol):
    found = probe("truth", protocol)
    assert found["shape"] > 0.99
    assert found["place"] > 0.99


@pytest.mark.parametrize("hidden", [0, 256])
def test_slots_of_noise_score_what_the_frequencies_give(hidden):
    found = probe("noise", "mask", hidden=hidden, steps=500)
    assert found["shape"] == pytest.approx(FREQUENT, abs=0.05)
    assert -0.2 < found["place"] < 0.05


def test_the_neighbours_properties_are_wrong_by_mask_and_right_by_loss():
    mask = probe("truth", "mask", shift=1, steps=1000)
    assert mask["shape"] == pytest.approx(FREQUENT, abs=0.06)
    assert mask["place"] < 0.05
    loss = probe("truth", "loss", shift=1)
    assert loss["shape"] > 0.99
    assert loss["place"] > 0.99
