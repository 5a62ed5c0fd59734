"""The property probe: what it must find, what it must not, and what may not matter to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch.nn import functional

from slotbench.datasets.format.schema import Layout, Property
from slotbench.evaluation.properties import property_results
from slotbench.evaluation.slot_probes import Predictions, SlotData, predict, train_probes
from slotbench.evaluation.targets import Encoding

COLOR = Property("color", "categorical", classes=("red", "green", "blue"))
POSITION = Property("position", "numeric", dim=2)
ANGLE = Property("angle", "numeric")
SHAPE = Property("shape", "categorical", classes=("cube", "ball"))
LAYOUT = Layout(8, 8, 4, (COLOR, POSITION, ANGLE, SHAPE))


def make(n, seed, slots=5, told=True):
    """n images whose slots hold their objects' properties (or noise), in a random order."""
    generator = np.random.default_rng(seed)
    visible = np.arange(4) < generator.integers(1, 5, (n, 1))
    color, shape = (
        np.where(visible, generator.integers(0, kinds, (n, 4)), -1).astype(np.int16)
        for kinds in (3, 2)
    )
    position = (generator.normal(size=(n, 4, 2)) * 5 + 20).astype(np.float32)
    angle = generator.uniform(0, 360, (n, 4)).astype(np.float32)
    numbers = (position - 20) / 5, angle[:, :, None] / 180 - 1
    known = np.concatenate([np.eye(4)[color][..., :3], *numbers, np.eye(3)[shape][..., :2]], axis=2)
    content = np.zeros((n, max(slots, 4), known.shape[2]), np.float32)
    content[:, :4] = 6 * known * visible[:, :, None]
    if not told:
        content = generator.normal(size=content.shape).astype(np.float32)
    overlap = np.zeros((n, content.shape[1], 4), np.float32)
    overlap[:, :4] = np.eye(4) * visible[:, None]
    order = generator.random(content.shape[:2]).argsort(axis=1)[:, :, None]
    content = np.take_along_axis(content, order, axis=1)[:, :slots]
    overlap = np.take_along_axis(overlap, order, axis=1)[:, :slots]
    properties = {"color": color, "position": position, "angle": angle, "shape": shape}
    return SlotData(content, overlap, visible, properties)


def predict_properties(train, val, test, layout=LAYOUT, *, protocol, seed=0, **options):
    made = train_probes(train, val, layout, seed=seed, kinds=(protocol,), **options)
    return property_results(predict(made[protocol], test), test.visible, seed)


@pytest.mark.parametrize("protocol", ["loss", "mask"])
def test_slots_that_hold_the_properties_reach_1_whatever_their_order_scale_and_shift(protocol):
    splits = [make(n, seed) for seed, n in enumerate((300, 64, 200))]
    results = predict_properties(*splits, protocol=protocol, steps=2000)
    for name, least in {"color": 0.98, "shape": 0.98, "position": 0.95, "angle": 0.95}.items():
        assert results[name].value > least
    # x and y are one entry each: their mean twice is their sum.
    parts = [results[name].value for name in ("color", "position", "position", "angle", "shape")]
    assert results["mean"].value == pytest.approx(np.mean(parts))
    assert results["mean"].low <= results["mean"].value <= results["mean"].high
    assert results["mean"].n == splits[2].visible.sum()
    order = [3, 1, 0, 4, 2]
    moved = [
        replace(data, slots=data.slots[:, order] * 1000 + 7, overlap=data.overlap[:, order])
        for data in splits
    ]
    after = predict_properties(*moved, protocol=protocol, steps=2000)
    for name, result in results.items():
        assert after[name].value == pytest.approx(result.value, abs=1e-3), name


def test_slots_of_noise_are_at_chance_where_the_pairing_is_blind_to_labels():
    splits = (make(n, seed, told=False) for seed, n in enumerate((300, 64, 300)))
    results = predict_properties(*splits, protocol="mask", steps=500)
    assert results["color"].value == pytest.approx(1 / 3, abs=0.08)
    assert results["position"].value < 0.03
    assert results["angle"].value < 0.03


def test_an_mlp_probe_learns_what_is_not_linear():
    splits = [make(n, seed) for seed, n in enumerate((600, 100, 200))]
    for data in splits:
        data.properties["angle"] = np.abs(data.properties["angle"] - 180)
    linear, mlp = (
        predict_properties(*splits, hidden=hidden, protocol="mask", steps=600)["angle"].value
        for hidden in (0, 64)
    )
    assert linear < 0.2
    assert mlp > 0.7


@pytest.mark.parametrize("protocol", ["loss", "mask"])
def test_objects_left_over_because_slots_are_fewer_count_as_wrong(protocol):
    splits = [make(n, seed, slots=2) for seed, n in enumerate((300, 64, 200))]
    results = predict_properties(*splits, protocol=protocol, steps=500)
    shown = splits[2].visible.sum(axis=1)
    over, visible = np.maximum(shown - 2, 0).sum(), shown.sum()
    full, dropped = results["color"], results["color/dropped"]
    assert (full.n, full.left_out) == (visible, 0)
    assert (dropped.n, dropped.left_out) == (visible - over, over)
    assert full.value == pytest.approx(dropped.value * (visible - over) / visible)


def test_the_mean_is_over_the_list_of_the_paper():
    place = Property("position", "numeric", dim=3)
    other = (Property("rotation", "numeric"), Property("mean", "numeric"), COLOR)
    layout = Layout(8, 8, 4, (place, *other))
    generator = np.random.default_rng(0)
    visible = np.ones((50, 4), bool)
    properties = {
        "position": generator.normal(size=(50, 4, 3)).astype(np.float32),
        "rotation": generator.normal(size=(50, 4)).astype(np.float32),
        "mean": generator.normal(size=(50, 4)).astype(np.float32),
        "color": generator.integers(0, 3, (50, 4)).astype(np.int16),
    }
    encoding = Encoding.fit(layout, properties, visible)
    targets = encoding.encode(properties)
    predicted = targets.clone()
    predicted[..., [0, 2, 3]] = 0  # x, z and the rotation: as good as the training mean
    order = np.zeros((50, 4), int)
    found = property_results(Predictions(encoding, order, predicted, targets), visible, seed=0)
    assert found["position"].value == pytest.approx(1 / 3)
    assert found["rotation"].value == pytest.approx(0, abs=1e-6)
    assert found["mean_property"].value == pytest.approx(1)
    assert found["mean"].value == pytest.approx((0 + 1 + 1 + 1) / 4)
    bare = Encoding.fit(Layout(8, 8, 4, other[:1]), properties, visible)
    none = bare.encode(properties)
    assert property_results(Predictions(bare, order, none, none), visible, 0)["mean"].value is None


@pytest.mark.parametrize("hidden", [0, 5])
def test_probes_that_are_trained_together_are_those_trained_alone(hidden):
    train, val, test = (make(n, seed) for seed, n in enumerate((100, 40, 20)))
    options = {"seed": 0, "hidden": hidden, "steps": 260}
    kinds = ("loss", "mask", "set")
    together = train_probes(train, val, LAYOUT, kinds=kinds, **options)
    for kind in kinds:
        alone = train_probes(train, val, LAYOUT, kinds=(kind,), **options)[kind]
        ours, theirs = (probe.predict(test.slots) for probe in (alone, together[kind]))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def guessed(n, seed):
    """Objects, noisy predictions of them from slots in any order, and slots for some of them."""
    generator, data = np.random.default_rng(seed), make(n, seed)
    encoding = Encoding.fit(LAYOUT, data.properties, data.visible)
    targets = encoding.encode(data.properties)
    values = targets + torch.from_numpy(generator.normal(size=targets.shape)).float()
    order = generator.integers(0, 5, data.visible.shape)
    return data, Predictions(encoding, order, values, targets)


def test_scores_equal_scikit_learn():
    data, given = guessed(80, 4)
    given = given._replace(values=given.values + 3, targets=given.targets + 3)
    results = property_results(given, data.visible, seed=0)
    truth, guess = given.targets.numpy()[data.visible], given.values.numpy()[data.visible]
    for prop, columns in zip(LAYOUT.properties, given.encoding.columns, strict=True):
        one, two = truth[:, columns], guess[:, columns]
        right = (one.argmax(axis=1) == two.argmax(axis=1)).mean()
        expected = r2_score(one, two) if prop.kind == "numeric" else right
        assert results[prop.name].value == pytest.approx(expected, abs=1e-6)


def test_the_cost_of_every_pair_is_the_loss_of_that_pair():
    data = make(10, 5)
    encoding = Encoding.fit(LAYOUT, data.properties, data.visible)
    targets = encoding.encode(data.properties)
    logits = torch.randn(10, 5, encoding.width, generator=torch.Generator().manual_seed(0))
    cost = encoding.cost(encoding.normalise(logits), targets)
    for item in np.flatnonzero(data.visible[0]):
        color, shape = (
            torch.tensor(int(data.properties[name][0, item])) for name in ("color", "shape")
        )
        for slot, values in enumerate(logits[0]):
            expected = functional.cross_entropy(values[:3], color)
            expected = expected + functional.mse_loss(values[3:5], targets[0, item, 3:5])
            expected = expected + (values[5] - targets[0, item, 5]) ** 2
            expected = expected + functional.cross_entropy(values[6:], shape)
            torch.testing.assert_close(cost[0, item, slot], expected, rtol=1e-4, atol=0)


def test_bad_input_is_refused():
    data = make(20, 0)
    hidden = replace(data, visible=np.zeros_like(data.visible))
    with pytest.raises(ValueError, match="test shows no object"):
        predict_properties(data, data, hidden, protocol="loss", steps=1)
    with pytest.raises(ValueError, match="no properties"):
        predict_properties(data, data, data, Layout(8, 8, 4, ()), protocol="loss")
