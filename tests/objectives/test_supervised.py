"""The ceiling's targets, matching and losses."""

from functools import reduce

import torch

from slotbench.cores.core import SlotOutput
from slotbench.objectives.control import mask_loss, merged, moments_of, object_masks
from tests.objectives import tiny


def test_object_masks_are_0_or_1_and_unlabelled_pixels_are_nobodys():
    masks = object_masks(torch.tensor([[[0, 2, 1, 255]]], dtype=torch.uint8), 3)
    expected = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(masks, torch.tensor(expected).view(1, 4, 1, 4).float())


def test_the_mask_loss_and_its_gradient_against_a_loop():
    attention = torch.rand(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    attention = (attention / attention.sum(dim=1, keepdim=True)).requires_grad_()
    truth = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    slot = torch.tensor([[3, 2, 0], [-1, 1, -1]])
    total, weight = 0.0, 0.0
    for image, owner in ((0, 0), (0, 1), (0, 2), (1, 1)):
        factor = truth[image, owner] * (5 if owner else 1)
        total = total - (factor * attention[image, int(slot[image, owner])].log()).sum()
        weight += float(factor.sum())
    (expected,) = torch.autograd.grad(total / weight, attention)
    found = mask_loss(attention, truth, slot, 5)
    torch.testing.assert_close(found, total / weight)
    torch.testing.assert_close(torch.autograd.grad(found, attention)[0], expected)


def perfect(made, batch):
    """What the head would say if it knew, object by object: (B, O, P)."""
    numbers = made.standardise([batch.labels["property/position"]], batch.labels["visible"])
    index = batch.labels["property/color"].long().clamp_min(0)
    return torch.cat([20 * torch.nn.functional.one_hot(index, 3).float(), *numbers], dim=2)


def test_errors_are_0_for_the_true_properties_and_else_not(data):
    made, batch = tiny.made_of(data, "supervised")
    visible = batch.labels["visible"]
    errors = made.errors(perfect(made, batch), batch.labels, visible)
    own = errors.diagonal(dim1=1, dim2=2)
    assert own[visible].max() < 1e-6
    others = errors + 1e3 * torch.eye(3)
    assert others[visible].min() > 0.01


def test_the_matching_undoes_a_permutation_of_the_slots(data):
    """The loss of a head that knows is 0, whichever slot holds which object."""
    made, batch = tiny.made_of(data, "supervised", "objective.mask_weight=0")
    known = perfect(made, batch)
    for order in ([0, 1, 2], [2, 0, 1]):
        made.head = torch.nn.Identity()
        made.core.forward = lambda *_, order=order: made_output(known[:, order])
        assert float(made.loss(batch)["loss"]) < 1e-6


def test_objects_come_before_the_background_where_slots_are_few(data):
    """Slot 1 holds the background and a third of an object, which takes it all the same."""
    made, batch = tiny.made_of(data, "supervised", "core.slots=2")
    batch.labels["visible"][:] = torch.tensor([True, True, False])
    truth = object_masks(batch.labels["mask"], 3)
    sure = truth[:, 1] + 2 / 3 * truth[:, 2]
    attention = torch.stack([sure, 1 - sure], dim=1)
    made.core.forward = lambda *_: SlotOutput(
        torch.zeros(len(attention), 2, 8), attention, torch.zeros(1)
    )
    pixels = truth[:, 1:3].sum(dim=(0, 2, 3))
    expected = torch.tensor(3.0).log() * pixels[1] / pixels.sum()
    torch.testing.assert_close(made.loss(batch)["masks"], expected, rtol=1e-4, atol=1e-4)


def made_output(slots):
    attention = torch.full((len(slots), slots.shape[1], 4, 4), 1 / slots.shape[1])
    return SlotOutput(slots, attention, torch.zeros(len(slots), 16, 12))


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


def test_invisible_objects_and_unlabelled_pixels_have_no_say(data):
    made, batch = tiny.made_of(data, "supervised")
    before = made.loss(batch)["loss"].detach()
    hidden = ~batch.labels["visible"]
    assert hidden.any()
    batch.labels["property/position"][hidden] = 1e4
    batch.labels["property/color"][hidden] = 1
    torch.testing.assert_close(made.loss(batch)["loss"].detach(), before)
