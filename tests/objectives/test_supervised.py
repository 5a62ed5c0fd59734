"""The ceiling's loss against loops over objects, and the moments of its targets."""

from functools import reduce

import pytest
import torch
from torch.nn import functional

from slotbench.objectives.control import merged, moments_of
from tests.evaluation.test_matching import best_pairs
from tests.objectives import tiny


def by_loops(made, batch):
    """Errors of properties and of masks, image by image and object by object."""
    config, labels, visible = made.config, batch.labels, batch.labels["visible"]
    output = made.core(batch.images, batch.noise(made.core))
    places = labels["property/position"]
    standard = (places - places[visible].mean(dim=0)) / places[visible].std(dim=0, correction=0)
    errors, logs, weights = [], [], 0
    attention = functional.interpolate(output.attention, (32, 32), mode="bilinear")
    for image, predicted in enumerate(made.head(output.slots)):
        objects = visible[image].nonzero().flatten().tolist()
        # The background takes part where a slot is left over.
        rows = [0, *(item + 1 for item in objects)][len(objects) >= len(predicted) :]
        cost = torch.zeros(len(rows), len(predicted))
        for row, label in enumerate(rows):
            cost[row] -= attention[image][:, labels["mask"][image] == label].mean(dim=1)
            for slot, numbers in enumerate(predicted if label else ()):
                color = labels["property/color"][image, label - 1].long()
                kind = functional.cross_entropy(numbers[:3], color)
                place = (numbers[3:] - standard[image, label - 1]).square().mean()
                cost[row, slot] += config.property_weight * (kind + place) / 2
        for row, slot in best_pairs(cost.detach()):
            held = attention[image, slot, labels["mask"][image] == rows[row]]
            weight = config.object_weight if rows[row] else 1
            logs.append(-weight * held.log().sum())
            weights += weight * len(held)
            if rows[row]:
                errors.append(cost[row, slot] + held.mean())
    return torch.stack(errors).mean(), sum(logs) / weights


@pytest.mark.parametrize("slots", [2, 3])
def test_the_loss_equals_loops_in_value_and_gradient(data, slots):
    """Whatever invisible objects have as their properties; unlabelled pixels are nobody's."""
    made, batch = tiny.made_of(data, "supervised", f"core.slots={slots}", "objective.mask_weight=2")
    hidden = ~batch.labels["visible"]
    assert hidden.any()
    batch.labels["property/position"][hidden] = 1e4
    batch.labels["property/color"][hidden] = 1
    batch.labels["mask"][:, 3:6] = 255
    found, (properties, masks) = made.loss(batch), by_loops(made, batch)
    torch.testing.assert_close((found["properties"], found["masks"]), (properties, masks))
    tiny.assert_same_loss(made, found["loss"], properties + 2 * masks)


def test_numbers_are_standardised_by_all_that_training_has_seen(data):
    made, _ = tiny.made_of(data, "supervised")
    seen = []
    for step in range(3):
        batch = tiny.batch_of(data, made, step)
        made.loss(batch)
        made.after_step(step)
        seen.append(batch.labels["property/position"][batch.labels["visible"]].double())
    values = torch.cat(seen)
    assert made.moments[0].tolist() == [len(values)] * 2
    torch.testing.assert_close(made.moments[1], values.mean(dim=0).float())
    given = batch.labels["property/position"]
    (found,) = made.standardise([given], batch.labels["visible"])
    expected = (given - values.mean(dim=0)) / values.std(dim=0, correction=0)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


def test_moments_keep_their_precision_far_from_0():
    values = 1000 + tiny.rows(0, 50, 4, 1).detach()
    visible = torch.ones(4, dtype=torch.bool).expand(50, -1)
    groups = [moments_of(part, visible[:10]) for part in values.split(10)]
    count, mean, squares = reduce(merged, groups)
    assert count == 200
    torch.testing.assert_close(mean, values.double().mean(dim=(0, 1)).float())
    torch.testing.assert_close(squares / count, values.double().var(correction=0).float()[None])
