"""Average precision of sets, beside a brute-force count and scikit-learn; and the probe."""

from itertools import permutations

import numpy as np
import pytest
import torch

from slotbench.datasets.format.schema import Layout, Property
from slotbench.evaluation.set_prediction import (
    THRESHOLDS,
    ObjectSets,
    average_precision,
    predicted_sets,
    scale_position,
    true_sets,
)
from slotbench.evaluation.slot_probes import SlotData, probe_losses, train_probes
from slotbench.evaluation.targets import Encoding

COLOR = Property("color", "categorical", classes=("red", "green", "blue"))
SHAPE = Property("shape", "categorical", classes=("cube", "ball"))
POSITION = Property("position", "numeric", dim=3, unit="scene units, x and y in [-3, 3]")
LAYOUT = Layout(8, 8, 5, (COLOR, POSITION, SHAPE))


def sets(n, elements, seed, spread=3.0):
    generator = np.random.default_rng(seed)
    return ObjectSets(
        generator.uniform(-spread, spread, (n, elements, 3)),
        np.stack([generator.integers(0, kinds, (n, elements)) for kinds in (3, 2)], axis=2),
        generator.random((n, elements)),
    )


def truth_of(n, elements, seed, spread=3.0):
    truth = sets(n, elements, seed, spread)
    counts = np.random.default_rng(seed).integers(1, elements + 1, (n, 1))
    truth.confidence = (np.arange(elements) < counts).astype(float)
    return truth


def brute_force(predicted, truth, threshold):
    """Detection by detection, from the definition; precision at each recall is the best later."""
    images, slots = predicted.confidence.shape
    detections = sorted(
        ((i, k) for i in range(images) for k in range(slots)),
        key=lambda place: -predicted.confidence[place],
    )
    taken, hits = set(), []
    for image, slot in detections:
        nearest = None
        for item in range(truth.confidence.shape[1]):
            if not truth.confidence[image, item]:
                continue
            if list(predicted.classes[image, slot]) != list(truth.classes[image, item]):
                continue
            offset = predicted.position[image, slot] - truth.position[image, item]
            distance = float(np.sqrt((offset**2).sum()))
            if nearest is None or distance < nearest[0]:
                nearest = distance, item
        hit = nearest is not None and nearest[0] < threshold and (image, nearest[1]) not in taken
        if hit:
            taken.add((image, nearest[1]))
        hits.append(hit)
    total, area = truth.confidence.sum(), 0.0
    precision = [sum(hits[: end + 1]) / (end + 1) for end in range(len(hits))]
    for end, hit in enumerate(hits):
        if hit:
            area += max(precision[end:]) / total
    return area


@pytest.mark.parametrize("seed", range(2))
def test_it_equals_a_count_by_brute_force(seed):
    predicted, truth = sets(25, 6, seed, spread=0.6), truth_of(25, 4, seed + 100, spread=0.6)
    found = average_precision(predicted, truth, seed=0)
    for threshold in THRESHOLDS:
        expected = brute_force(predicted, truth, threshold)
        assert found[f"ap/{threshold:g}"].value == pytest.approx(expected, abs=1e-9)
    assert found["ap/inf"].value > found["ap/0.5"].value > 0


def test_perfect_sets_score_1_and_order_does_not_matter():
    truth = truth_of(30, 5, 2)
    generator = np.random.default_rng(0)
    order = generator.random((30, 5)).argsort(axis=1)
    predicted = ObjectSets(
        np.take_along_axis(truth.position, order[:, :, None], 1),
        np.take_along_axis(truth.classes, order[:, :, None], 1),
        np.take_along_axis(truth.confidence, order, 1) * generator.uniform(0.5, 1, (30, 5)),
    )
    found = average_precision(predicted, truth, seed=0)
    for result in found.values():
        assert result.value == result.low == result.high == 1
        assert result.n == truth.confidence.sum()


def test_no_object_and_fewer_slots_than_objects():
    truth = truth_of(3, 2, 0)
    empty = ObjectSets(truth.position, truth.classes, np.zeros((3, 2)))
    found = average_precision(sets(3, 4, 0), empty, seed=0)["ap/1"]
    assert (found.value, found.n) == (None, 0)
    assert average_precision(sets(3, 1, 0), truth, seed=0)["ap/inf"].n == truth.confidence.sum()


def test_coordinates_are_scaled_by_the_range_that_the_unit_names():
    values = np.array([[0.0, 0.5], [1.0, 0.25]])
    unit = Property("position", "numeric", dim=2, unit="x and y in [0, 1]")
    np.testing.assert_allclose(scale_position(values, unit, values), [[-3, 0], [3, -1.5]])
    np.testing.assert_array_equal(scale_position(values, POSITION, values), values)
    bare = Property("position", "numeric", dim=2, unit="pixels")
    np.testing.assert_allclose(scale_position(values, bare, values), [[-3, 3], [3, -3]])


def data(n, seed, told=True, slots=6):
    """Slots that hold their object's properties, and whether there is one."""
    generator = np.random.default_rng(seed)
    visible = np.arange(5) < generator.integers(1, 6, (n, 1))
    color = np.where(visible, generator.integers(0, 3, (n, 5)), -1).astype(np.int16)
    shape = np.where(visible, generator.integers(0, 2, (n, 5)), -1).astype(np.int16)
    position = generator.uniform(-3, 3, (n, 5, 3)).astype(np.float32)
    content = np.zeros((n, slots, 9), np.float32)
    held = [np.eye(4)[color][..., :3], np.eye(3)[shape][..., :2], position / 2, visible[..., None]]
    content[:, :5] = 4 * np.concatenate(held, axis=2) * visible[..., None]
    if not told:
        content = generator.normal(size=content.shape).astype(np.float32)
    order = generator.random((n, slots)).argsort(axis=1)[:, :, None]
    properties = {"color": color, "shape": shape, "position": position}
    overlap = np.zeros((n, slots, 5), np.float32)
    return SlotData(np.take_along_axis(content, order, 1), overlap, visible, properties)


def precision(splits, steps):
    train, val, test = splits
    shown = train.properties["position"][train.visible]
    probe = train_probes(train, val, LAYOUT, seed=0, kinds=("set",), steps=steps)["set"]
    truth = true_sets(LAYOUT, test.properties, test.visible, shown)
    return average_precision(predicted_sets(probe, test.slots, shown), truth, seed=0)


def test_slots_that_hold_the_properties_are_found_and_noise_is_not():
    found = precision([data(n, seed) for seed, n in enumerate((300, 60, 150))], steps=2500)
    assert found["ap/inf"].value > 0.95
    assert found["ap/1"].value > 0.85
    untold = [data(n, seed, told=False) for seed, n in enumerate((200, 60, 150))]
    assert precision(untold, steps=150)["ap/0.5"].value < 0.05


def set_loss(encoding, output, targets, visible):
    return probe_losses(encoding, ("set",), output[None], targets[None], visible[None])[0]


def test_the_loss_does_not_depend_on_the_order_of_slots_or_objects():
    made = data(8, 3)
    encoding = Encoding.fit(LAYOUT, made.properties, made.visible)
    targets, visible = encoding.encode(made.properties), torch.from_numpy(made.visible)
    output = torch.randn(8, 6, encoding.width + 1, generator=torch.Generator().manual_seed(0))
    value = float(set_loss(encoding, output, targets, visible))
    turned = float(set_loss(encoding, output.flip(1), targets.flip(1), visible.flip(1)))
    assert turned == pytest.approx(value, rel=1e-5)
    # The pairing is the best there is: no other order of slots by index is cheaper.
    predicted, logit = encoding.normalise(output[0, :, :-1]), output[0, :, -1]
    count = int(visible[0].sum())
    costs = []
    for order in permutations(range(6), count):
        chosen = list(order)
        pairs = encoding.pair_loss(predicted[chosen], targets[0, :count]).sum()
        exists = torch.zeros(6)
        exists[chosen] = 1
        sure = torch.nn.functional.binary_cross_entropy_with_logits(logit, exists, reduction="sum")
        costs.append(float(pairs + sure) / count)
    alone = float(set_loss(encoding, output[:1], targets[:1], visible[:1]))
    assert alone == pytest.approx(min(costs), rel=1e-4)
