"""Cores that choose how many slots an image needs: values and gradients, beside plain loops."""

import pytest
import torch

from slotbench.cores.adaptive_slots import selected
from slotbench.cores.layers import with_penalty
from slotbench.cores.meta_slot import codebook_loss, distances, duplicates
from slotbench.rng import torch_generator
from tests.cores.test_contract import draw, make


def normal(*shape, name="numbers"):
    return torch.randn(*shape, generator=torch_generator(0, name))


def test_a_penalty_changes_the_gradient_and_nothing_else():
    weight = normal(3, name="weight").requires_grad_()
    values = weight * 2
    result = with_penalty(values, weight.square().sum())
    assert torch.equal(result, values)
    (result * torch.arange(3.0)).sum().backward()
    torch.testing.assert_close(weight.grad, 2 * torch.arange(3.0) + 2 * weight.detach())


def test_slots_are_kept_with_the_probability_of_the_gate():
    logits = torch.tensor([[-2.0, 0.0, 1.0, 6.0]]).expand(20_000, -1)
    kept = selected(logits, normal(20_000, 4), temperature=1.0)
    torch.testing.assert_close(kept.mean(dim=0), logits[0].sigmoid(), atol=0.01, rtol=0)
    assert selected(logits[:1], None, 1.0).tolist() == [[0, 1, 1, 1]]
    # The likeliest stays where all would go.
    assert selected(torch.tensor([[-3.0, -1.0, -2.0]]), None, 1.0).tolist() == [[0, 1, 0]]


def test_the_gradient_of_the_selection_is_that_of_gumbel_softmax():
    logits, noise = normal(5, 4, name="logits").requires_grad_(), normal(5, 4)
    weights = normal(5, 4, name="weights")
    (selected(logits, noise, 0.7) * weights).sum().backward()
    # Two Gumbel variables whose difference is the logistic variable of the same noise.
    uniform = 0.5 * (1 + torch.erf(noise / 2**0.5))
    pair = torch.stack([(uniform / (1 - uniform)).log(), torch.zeros_like(noise)], dim=2)
    free = logits.detach().clone().requires_grad_()
    both = torch.stack([free, torch.zeros_like(free)], dim=2) + pair
    ((both / 0.7).softmax(dim=2)[..., 0] * weights).sum().backward()
    torch.testing.assert_close(logits.grad, free.grad, atol=1e-5, rtol=1e-4)


def test_adaptive_slots_drop_slots_and_share_their_attention():
    core = make("adaptive-slots", sparsity=0.3)
    torch.nn.init.zeros_(core.gate[3].bias)  # even odds
    images, noise = draw(core, 6)
    slots, attention, _ = core(images, noise)
    dropped = slots.abs().amax(dim=2) == 0
    assert 0 < dropped.sum() < dropped.numel()
    assert torch.equal(attention.amax(dim=(2, 3)) == 0, dropped)
    # Of the penalty alone: what the mean probability to be kept costs.
    plain = super(type(core), core).forward(images, noise[..., :-1]).slots
    bias, penalty = core.gate[3].bias, 0.3 * core.gate(plain).sigmoid().mean()
    found, expected = (
        torch.autograd.grad(loss, bias)[0] for loss in (attention.sum().mul(0), penalty)
    )
    torch.testing.assert_close(found, expected)


def by_hand(core, images, noise):
    """Both stages of ``meta-slot`` for one image; each slot that stays, by its index."""
    features, _ = core.encoder(images)
    inputs = core.norm_features(features)
    keys, values = core.to_key(inputs), core.to_value(inputs)
    slots = core.start(images, noise[..., :-1])
    for _ in range(3):
        slots, _ = core.step(slots, keys, values)
    far = (slots[0][:, None] - core.codebook).square().sum(dim=2)
    nearest = far.argmin(dim=1).tolist()
    best = {}
    for slot, code in enumerate(nearest):
        best[code] = min(best.get(code, slot), slot, key=lambda each, code=code: far[each, code])
    stay = sorted(best.values())
    slots = core.codebook[[nearest[slot] for slot in stay]][None]
    for _ in range(3):
        slots, attention = core.step(slots, keys, values)
    return dict(zip(stay, zip(slots[0], attention[0], strict=True), strict=True))


@pytest.mark.parametrize("prototypes", [2, 40])
def test_meta_slot_refines_the_prototypes_of_different_slots_alone(prototypes):
    core = make("meta-slot", prototypes=prototypes).eval()
    images, noise = draw(core, 3)
    slots, attention, _ = core(images, noise)
    for image in range(3):
        with torch.no_grad():
            expected = by_hand(core, images[[image]], noise[[image]])
        assert len(expected) <= prototypes
        for slot in range(4):
            vector, map_ = expected.get(slot, (torch.zeros(16), torch.zeros(64)))
            torch.testing.assert_close(slots[image, slot], vector, atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(attention[image, slot].flatten(), map_, atol=1e-4, rtol=1e-3)


def test_meta_slot_prunes_a_share_of_the_training_images():
    core = make("meta-slot", prototypes=1, pruning=0.25)
    images, noise = draw(core, 200)
    left = (core(images, noise).slots.abs().amax(dim=2) > 0).sum(dim=1)
    assert set(left.tolist()) == {1, 4}
    assert 0.15 < (left == 1).float().mean() < 0.35


def test_prototypes_move_to_their_slots_and_unused_ones_to_the_nearest():
    slots, codes = normal(2, 3, 5, name="slots"), normal(9, 5, name="codes").requires_grad_()
    found = codebook_loss(distances(slots, codes))
    rows = torch.cdist(slots.flatten(0, 1), codes).square() / 5
    used = set(rows.argmin(dim=1).tolist())
    left = [rows[:, code].min() for code in range(9) if code not in used]
    expected = rows.min(dim=1).values.mean() + sum(left) / 9
    torch.testing.assert_close(found, expected)
    ours, theirs = (
        torch.autograd.grad(loss, codes, retain_graph=True)[0] for loss in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)
    assert (ours.abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("distance", "dropped"),
    [
        ([3.0, 9.0, 1.0, 2.0], [True, False, False, True]),
        ([1.0, 1.0, 1.0, 2.0], [False, False, True, True]),
        ([2.0, 0.0, 1.0, 1.0], [True, False, False, True]),
    ],
)
def test_of_slots_with_one_prototype_the_nearest_stays_and_of_equal_ones_the_first(
    distance, dropped
):
    nearest = torch.tensor([[7, 2, 7, 7]])
    assert duplicates(nearest, torch.tensor([distance])).tolist() == [dropped]
