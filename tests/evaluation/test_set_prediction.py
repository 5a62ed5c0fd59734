"""Average precision of sets, beside a brute-force count and scikit-learn; and the probe."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch.nn import functional

from slotbench.datasets.format.schema import Property
from slotbench.evaluation.set_prediction import (
    THRESHOLDS,
    ObjectSets,
    average_precision,
    predicted_sets,
    scale_position,
    true_sets,
)
from slotbench.evaluation.slot_probes import probe_losses, train_probes
from slotbench.evaluation.targets import Encoding
from tests.evaluation.test_properties import LAYOUT, make


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
    places = sorted(
        np.ndindex(predicted.confidence.shape), key=lambda at: -predicted.confidence[at]
    )
    taken, hits = set(), []
    for image, slot in places:
        offsets = predicted.position[image, slot] - truth.position[image]
        distances = [
            (float(np.sqrt((offset**2).sum())), item)
            for item, offset in enumerate(offsets)
            if truth.confidence[image, item]
            and list(predicted.classes[image, slot]) == list(truth.classes[image, item])
        ]
        distance, item = min(distances, default=(np.inf, None))
        hits.append(distance < threshold and (image, item) not in taken)
        if hits[-1]:
            taken.add((image, item))
    precision = [sum(hits[: end + 1]) / (end + 1) for end in range(len(hits))]
    gained = sum(max(precision[end:]) for end, hit in enumerate(hits) if hit)
    return gained / truth.confidence.sum()


@pytest.mark.parametrize("seed", range(2))
def test_it_equals_a_count_by_brute_force(seed):
    predicted, truth = sets(25, 6, seed, spread=0.6), truth_of(25, 4, seed + 100, spread=0.6)
    found = average_precision(predicted, truth, seed=0)
    for threshold in THRESHOLDS:
        expected = brute_force(predicted, truth, threshold)
        assert found[f"ap/{threshold:g}"].value == pytest.approx(expected, abs=1e-9)
    assert found["ap/inf"].value > found["ap/0.5"].value > 0


def test_perfect_sets_score_1_with_every_resample_and_objects_are_counted():
    truth = truth_of(30, 5, 2)
    turned = ObjectSets(*(part[:, ::-1] for part in vars(truth).values()))
    for result in average_precision(turned, truth, seed=0).values():
        assert result.value == result.low == result.high == 1
        assert result.n == truth.confidence.sum()
    fewer = average_precision(sets(30, 1, 0), truth, seed=0)["ap/inf"]
    assert fewer.n == truth.confidence.sum()
    empty = ObjectSets(truth.position, truth.classes, np.zeros((30, 5)))
    none = average_precision(sets(30, 4, 0), empty, seed=0)["ap/1"]
    assert (none.value, none.n) == (None, 0)


def test_coordinates_are_scaled_by_the_range_that_the_unit_names():
    values = np.array([[0.0, 0.5], [1.0, 0.25]])
    for unit, expected in {
        "x and y in [0, 1]": [[-3, 0], [3, -1.5]],
        "scene units, x and y in [-3, 3]": values,
        "pixels": [[-3, 3], [3, -3]],
    }.items():
        found = scale_position(values, Property("position", "numeric", dim=2, unit=unit), values)
        np.testing.assert_allclose(found, expected)


def precision(told, steps):
    train, val, test = (make(n, seed, 6, told) for seed, n in enumerate((300, 60, 150)))
    shown = train.properties["position"][train.visible]
    probe = train_probes(train, val, LAYOUT, seed=0, kinds=("set",), steps=steps)["set"]
    truth = true_sets(LAYOUT, test.properties, test.visible, shown)
    return average_precision(predicted_sets(probe, test.slots, shown), truth, seed=0)


def test_slots_that_hold_the_properties_are_found_and_noise_is_not():
    found = precision(True, steps=2500)
    assert found["ap/inf"].value > 0.95
    assert found["ap/1"].value > 0.85
    assert precision(False, steps=150)["ap/0.5"].value < 0.05


def test_the_loss_does_not_depend_on_the_order_of_slots_or_objects():
    made = make(8, 3)
    encoding = Encoding.fit(LAYOUT, made.properties, made.visible)
    targets, visible = encoding.encode(made.properties), torch.from_numpy(made.visible)
    output = torch.randn(8, 6, encoding.width + 1, generator=torch.Generator().manual_seed(0))

    def loss(output, *truth):
        return float(probe_losses(encoding, ("set",), output[None], *(x[None] for x in truth))[0])

    turned = loss(*(part.flip(1) for part in (output, targets, visible)))
    assert turned == pytest.approx(loss(output, targets, visible), rel=1e-5)
    # The pairing is the best there is: no other order of slots by index is cheaper.
    predicted, logit = encoding.normalise(output[0, :, :-1]), output[0, :, -1]
    count = int(visible[0].sum())
    costs = []
    for order in permutations(range(6), count):
        chosen = list(order)
        pairs = encoding.pair_loss(predicted[chosen], targets[0, :count]).sum()
        exists = torch.zeros(6)
        exists[chosen] = 1
        sure = functional.binary_cross_entropy_with_logits(logit, exists, reduction="sum")
        costs.append(float(pairs + sure) / count)
    assert loss(output[:1], targets[:1], visible[:1]) == pytest.approx(min(costs), rel=1e-4)
