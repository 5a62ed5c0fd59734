"""The property probe: what it must find, what it must not, and what may not matter to it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from slotbench.datasets.format.schema import Layout, Property
from slotbench.evaluation.properties import property_results
from slotbench.evaluation.slot_probes import Predictions, SlotData, predict, train_probes
from slotbench.evaluation.targets import Encoding

COLOR = Property("color", "categorical", classes=("red", "green", "blue"))
POSITION = Property("position", "numeric", dim=2)
ANGLE = Property("angle", "numeric")
LAYOUT = Layout(8, 8, 4, (COLOR, POSITION, ANGLE))
WIDTH = 6


def make(n, seed, slots=5, told=True):
    """n images whose slots hold their objects' properties (or noise), in a random order."""
    generator = np.random.default_rng(seed)
    visible = np.arange(4) < generator.integers(1, 5, (n, 1))
    color = np.where(visible, generator.integers(0, 3, (n, 4)), -1).astype(np.int16)
    position = (generator.normal(size=(n, 4, 2)) * 5 + 20).astype(np.float32)
    angle = generator.uniform(0, 360, (n, 4)).astype(np.float32)
    content = np.zeros((n, max(slots, 4), WIDTH), np.float32)
    known = np.concatenate(
        [np.eye(4)[color][:, :, :3], (position - 20) / 5, angle[:, :, None] / 180 - 1], axis=2
    )
    content[:, :4] = 6 * known * visible[:, :, None]
    if not told:
        content = generator.normal(size=content.shape).astype(np.float32)
    overlap = np.zeros((n, content.shape[1], 4), np.float32)
    overlap[:, :4] = np.eye(4) * visible[:, None]
    order = generator.random(content.shape[:2]).argsort(axis=1)[:, :, None]
    content = np.take_along_axis(content, order, axis=1)[:, :slots]
    overlap = np.take_along_axis(overlap, order, axis=1)[:, :slots]
    properties = {"color": color, "position": position, "angle": angle}
    return SlotData(content, overlap, visible, properties)


def predict_properties(train, val, test, layout, *, protocol, seed=0, **options):
    made = train_probes(train, val, layout, seed=seed, kinds=(protocol,), **options)
    return property_results(predict(made[protocol], test), test.visible, seed)


def probe(train, test, protocol, **options):
    options = {"seed": 0, "steps": 2000, **options}
    return predict_properties(train, make(64, 2), test, LAYOUT, protocol=protocol, **options)


@pytest.mark.parametrize("protocol", ["loss", "mask"])
def test_slots_that_hold_the_properties_reach_1_and_order_does_not_matter(protocol):
    train, test = make(300, 0), make(200, 1)
    results = probe(train, test, protocol)
    assert results["color"].value > 0.98
    assert results["position"].value > 0.95
    assert results["angle"].value > 0.95
    # x and y are one entry each: their mean twice is their sum.
    parts = [results[name].value for name in ("color", "position", "position", "angle")]
    assert results["mean"].value == pytest.approx(np.mean(parts))
    assert results["mean"].low <= results["mean"].value <= results["mean"].high
    assert results["mean"].n == test.visible.sum()
    other = [3, 1, 0, 4, 2]
    moved = [
        SlotData(data.slots[:, other], data.overlap[:, other], data.visible, data.properties)
        for data in (train, test)
    ]
    permuted = probe(*moved, protocol)
    for name, result in results.items():
        assert permuted[name].value == pytest.approx(result.value, abs=1e-3), name


def test_slots_of_noise_are_at_chance_where_the_pairing_is_blind_to_labels():
    results = probe(make(300, 0, told=False), make(300, 1, told=False), "mask", steps=500)
    assert results["color"].value == pytest.approx(1 / 3, abs=0.08)
    assert results["position"].value < 0.03
    assert results["angle"].value < 0.03


def test_an_mlp_probe_learns_what_is_not_linear():
    train, val, test = make(600, 0), make(100, 2), make(200, 1)
    for data in (train, val, test):
        data.properties["angle"] = np.abs(data.properties["angle"] - 180)
    options = {"seed": 0, "protocol": "mask", "steps": 600}
    linear, mlp = (
        predict_properties(train, val, test, LAYOUT, hidden=hidden, **options)["angle"].value
        for hidden in (0, 64)
    )
    assert linear < 0.2
    assert mlp > 0.7


@pytest.mark.parametrize("protocol", ["loss", "mask"])
def test_objects_left_over_because_slots_are_fewer_count_as_wrong(protocol):
    train, val, test = (make(n, seed, slots=2) for seed, n in enumerate((300, 64, 200)))
    results = predict_properties(train, val, test, LAYOUT, seed=0, protocol=protocol, steps=500)
    over = np.maximum(test.visible.sum(axis=1) - 2, 0).sum()
    visible = test.visible.sum()
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
        for ours, theirs in zip(
            alone.predict(test.slots), together[kind].predict(test.slots), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_scale_and_shift_of_slots_do_not_matter():
    train, val, test = (make(n, seed) for seed, n in enumerate((100, 40, 60)))
    moved = [
        SlotData(data.slots * 1000 + 7, data.overlap, data.visible, data.properties)
        for data in (train, val, test)
    ]
    before, after = (
        predict_properties(*splits, LAYOUT, seed=0, protocol="mask", steps=100)["mean"].value
        for splits in ((train, val, test), moved)
    )
    assert after == pytest.approx(before, abs=1e-3)


def test_scores_equal_scikit_learn():
    generator = np.random.default_rng(3)
    data = make(80, 4)
    encoding = Encoding.fit(LAYOUT, data.properties, data.visible)
    targets = encoding.encode(data.properties)
    predicted = targets + torch.from_numpy(generator.normal(size=targets.shape)).float()
    order = generator.integers(0, 5, data.visible.shape)
    results = property_results(
        Predictions(encoding, order, predicted, targets), data.visible, seed=0
    )
    truth, guess = targets.numpy()[data.visible], predicted.numpy()[data.visible]
    for prop in (POSITION, ANGLE):
        columns = encoding.columns[LAYOUT.properties.index(prop)]
        expected = r2_score(truth[:, columns], guess[:, columns])
        assert results[prop.name].value == pytest.approx(expected, abs=1e-6)
    columns = encoding.columns[0]
    right = truth[:, columns].argmax(axis=1) == guess[:, columns].argmax(axis=1)
    assert results["color"].value == pytest.approx(right.mean())


def test_the_cost_of_every_pair_is_the_loss_of_that_pair():
    data = make(10, 5)
    encoding = Encoding.fit(LAYOUT, data.properties, data.visible)
    targets = encoding.encode(data.properties)
    logits = torch.randn(10, 5, encoding.width, generator=torch.Generator().manual_seed(0))
    cost = encoding.cost(encoding.normalise(logits), targets)
    for item in range(4):
        if not data.visible[0, item]:
            continue
        for slot in range(5):
            values = logits[0, slot]
            expected = torch.nn.functional.cross_entropy(
                values[:3], torch.tensor(int(data.properties["color"][0, item]))
            )
            expected = expected + torch.nn.functional.mse_loss(values[3:5], targets[0, item, 3:5])
            expected = expected + (values[5] - targets[0, item, 5]) ** 2
            assert cost[0, item, slot].item() == pytest.approx(expected.item(), rel=1e-4)


def test_bad_input_is_refused():
    train, test = make(20, 0), make(20, 1)
    hidden = SlotData(test.slots, test.overlap, np.zeros_like(test.visible), test.properties)
    with pytest.raises(ValueError, match="test shows no object"):
        probe(train, hidden, "loss", steps=1)
    with pytest.raises(ValueError, match="no properties"):
        predict_properties(test, test, test, Layout(8, 8, 4, ()), seed=0, protocol="loss")
