"""Slot attention's relatives: where the gradient goes, frames, transport."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from slotbench.cores.invariant_slot_attention import Frame, measured_frame, starting_frame
from slotbench.cores.iterated import normalised
from slotbench.cores.layers import cell_centres, sinkhorn
from slotbench.cores.sinkhorn_slots import sharpened
from slotbench.cores.slot_attention import cells
from slotbench.rng import torch_generator
from tests.cores.test_contract import draw, gradients, make, normal


def keys_and_values(core, images):
    inputs = core.norm_features(core.encoder(images)[0])
    return core.to_key(inputs), core.to_value(inputs)


def test_one_step_is_algorithm_1_of_the_paper():
    core = make("slot-attention").double()
    generator = torch_generator(1, "step")
    slots = torch.randn(1, 4, 16, generator=generator).double()
    keys = torch.randn(1, 9, 16, generator=generator).double()
    values = torch.randn(1, 9, 16, generator=generator).double()
    found, attention = core.step(slots, keys, values)
    # Written out position by position and slot by slot.
    normed = functional.layer_norm(slots[0], (16,))
    logits = torch.stack([keys[0] @ (core.to_query.weight @ slot) for slot in normed]) / 4.0
    shares = torch.stack([logits[:, n].exp() / logits[:, n].exp().sum() for n in range(9)], dim=1)
    torch.testing.assert_close(attention[0], shares)
    for index in range(4):
        weights = (shares[index] + 1e-8) / (shares[index] + 1e-8).sum()
        update = sum(weights[n] * values[0, n] for n in range(9))
        new = core.gru(update[None], slots[0, index][None])[0]
        torch.testing.assert_close(found[0, index], new + core.mlp(new))


@pytest.mark.parametrize(
    ("name", "fields"),
    [("slot-attention", {"gradient": "last"}), ("implicit-slot-attention", {}), ("bo-qsa", {})],
)
def test_the_last_round_alone_has_a_gradient_and_its_start_gives_it_to_the_mean(name, fields):
    core = make(name, iterations=3, **fields)
    images, noise = draw(core)
    slots = core(images, noise).slots
    found = gradients(core, slots)
    keys, values = keys_and_values(core, images)
    with torch.no_grad():
        start = core.mean.expand(2, 4, -1)
        start = start if noise is None else start + core.log_spread.exp() * noise
        for _ in range(2):
            start, _ = core.step(start, keys, values)
    start.requires_grad_()
    last = core.step(start, keys, values)[0]
    torch.testing.assert_close(slots, last)
    expected = gradients(core, last)
    expected["mean"] = start.grad.sum(dim=0).reshape(-1, *core.mean.shape).sum(dim=0)
    torch.testing.assert_close(found, expected)


def test_by_default_every_round_has_a_gradient():
    every, last = make("slot-attention"), make("slot-attention", gradient="last")
    images, noise = draw(every)
    found = [
        gradients(core, core(images, noise).slots)["to_query.weight"] for core in (every, last)
    ]
    assert not torch.allclose(*found)


def test_cells_are_those_of_seeds_that_are_chosen_one_by_one():
    points = normal(3, 20, 5, key="cells")
    points[2] = points[2, :4].repeat(5, 1)  # four places for six seeds: two are spare
    found = cells(points, 6)
    for image, owned in zip(points.numpy(), found.numpy(), strict=True):
        seeds = [int(np.linalg.norm(image - image.mean(axis=0), axis=1).argmin())]
        for _ in range(5):
            far = [min(np.linalg.norm(point - image[seed]) for seed in seeds) for point in image]
            seeds.append(int(np.argmax(far)))
        for place, point in enumerate(image):
            nearest = np.argmin([np.linalg.norm(point - image[seed]) for seed in seeds])
            assert owned[:, place].tolist() == np.eye(6)[nearest].tolist()
    assert (found.sum(dim=2) == 0).sum(dim=1).tolist() == [0, 0, 2]


@pytest.mark.parametrize("reading", ["mean", "sum"])
def test_a_seeded_slot_has_read_its_cell_before_the_first_round(reading):
    core = make("slot-attention", seeded=True, reading=reading, iterations=1).double()
    images, noise = (part.double() for part in draw(core))
    keys, values = keys_and_values(core, images)
    held = cells(keys.detach(), 4)
    weights = held * (4 / held.shape[2]) if reading == "sum" else normalised(held)
    read = torch.einsum("bkn,bnd->bkd", weights, values)
    start = core.mean + core.log_spread.exp() * noise
    slots = core.step(core.update(start, read), keys, values)[0]
    found = core(images, noise).slots
    torch.testing.assert_close(found, slots, atol=1e-6, rtol=1e-5)
    parts = (core.mean, core.to_key.weight, core.to_value.weight, core.gru.weight_hh)
    wanted = torch.autograd.grad(slots.square().sum(), parts)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), parts), wanted, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("reading", ["mean", "sum"])
def test_a_seeded_core_takes_an_image_of_one_colour(reading):
    core = make("slot-attention", "rectangle", seeded=True, reading=reading)
    with torch.no_grad():
        core.to_key.weight.zero_()  # all positions are alike: one cell has them all
    images, noise = draw(core)
    assert all(part.isfinite().all() for part in core(torch.full_like(images, 0.5), noise)[:2])


def invariant(**fields):
    return make("invariant-slot-attention", **fields).double()


def test_a_round_sees_each_position_relative_to_each_slot_s_frame():
    core = invariant(iterations=1)
    content, slots = normal(1, 9, 8, key="content"), normal(1, 4, 16, key="slots")
    grid = cell_centres(3, 3).double()
    frame = starting_frame(normal(1, 4, 4, key="frame"))
    found, _, _ = core.refine(content, slots, frame, grid)
    # Written out: a key and a value for each slot and position, through the same MLP.
    inputs = functional.layer_norm(content[0], (8,))
    mix = torch.nn.Sequential(core.mix, core.mix_out)
    logits, seen = torch.empty(4, 9).double(), torch.empty(4, 9, 16).double()
    for k in range(4):
        query = core.to_query.weight @ functional.layer_norm(slots[0, k], (16,))
        for n in range(9):
            place = (grid[n] - frame.position[0, k]) / (frame.scale[0, k] * 5)
            embedded = core.to_place(place)
            logits[k, n] = query @ mix(core.to_key(inputs[n]) + embedded) / 4
            seen[k, n] = mix(core.to_value(inputs[n]) + embedded)
    attention = logits.exp() / logits.exp().sum(dim=0)
    weights = attention / attention.sum(dim=1, keepdim=True)
    read = (weights[:, :, None] * seen).sum(dim=1)
    new = core.gru(read, slots[0])
    torch.testing.assert_close(found[0], new + core.mlp(new), atol=1e-6, rtol=1e-5)


def test_moving_and_scaling_coordinates_moves_the_frames_and_nothing_else():
    core = invariant()
    content, slots = normal(2, 25, 8, key="content"), normal(2, 4, 16, key="slots")
    grid, frame = cell_centres(5, 5).double() / 4, starting_frame(normal(2, 4, 4, key="frame"))
    shift, factor = torch.tensor([0.5, -0.25]).double(), 1.75
    moved = Frame(frame.position * factor + shift, frame.scale * factor)
    plain = core.refine(content, slots, frame, grid)
    other = core.refine(content, slots, moved, grid * factor + shift)
    torch.testing.assert_close(other[:2], plain[:2])
    expected = Frame(plain[2].position * factor + shift, plain[2].scale * factor)
    torch.testing.assert_close(other[2], expected)


def test_a_frame_is_the_mean_and_deviation_of_where_the_slot_attends():
    attention = torch.zeros(1, 2, 6).double()
    attention[0, 0, [1, 2]] = 1.0
    attention[0, 1, 5] = 1.0
    grid = cell_centres(2, 3).double()
    # The sum over positions carries an epsilon of 1e-8 each.
    expected = [[[-0.5, 1 / 3], [0.5, 2 / 3]]], [[[1e-3, 1 / 3], [1e-3, 1e-3]]]
    wanted = Frame(*(torch.tensor(each).double() for each in expected))
    torch.testing.assert_close(measured_frame(attention, grid), wanted, atol=1e-6, rtol=0)


def test_without_the_frame_the_slot_does_not_know_where_it_is():
    blind, aware = invariant(frame_in_slot=False), invariant()
    assert blind.to_frame is None
    assert aware.to_frame is not None
    blind.load_state_dict({k: v for k, v in aware.state_dict().items() if "to_frame" not in k})
    images, noise = draw(aware)
    one, two = (core(images.double(), noise.double()) for core in (blind, aware))
    frame = measured_frame(two.attention.flatten(2), cell_centres(8, 8).double())
    added = aware.to_frame(torch.cat(frame, dim=2))
    torch.testing.assert_close(two.slots, one.slots + added)


def masses(slots, positions):
    rows = normal(2, slots, key="rows").log_softmax(dim=1)
    columns = normal(2, positions, key="columns").log_softmax(dim=1)
    return rows + np.log(slots), columns + np.log(slots)


def test_the_plan_has_the_masses_and_is_sinkhorn_knopp_s():
    cost, wanted = normal(2, 4, 30, key="cost"), masses(4, 30)
    plan = sinkhorn(-cost, 200, *wanted)[0].exp()
    torch.testing.assert_close((plan.sum(dim=2), plan.sum(dim=1)), tuple(x.exp() for x in wanted))
    for image in range(2):
        kernel, right = np.exp(-cost[image].numpy()), np.ones(30)
        rows, columns = (part[image].exp().numpy() for part in wanted)
        for _ in range(200):
            left = rows / (kernel @ right)
            right = columns / (kernel.T @ left)
        expected = left[:, None] * kernel * right
        np.testing.assert_allclose(plan[image].numpy(), expected, rtol=1e-6)


def test_sharpening_lowers_entropy_and_leaves_the_gradient():
    scores, wanted = normal(2, 4, 30, key="cost").requires_grad_(), masses(4, 30)

    def entropy(steps):
        moved = sharpened(scores, *wanted, steps, 5.0, 5)
        return torch.special.entr(sinkhorn(moved, 5, *wanted)[0].exp()).sum(dim=(1, 2))

    assert torch.allclose(sharpened(scores, *wanted, 0, 5.0, 5), scores)
    assert (entropy(1) < entropy(0)).all()
    assert (entropy(4) < 0.8 * entropy(0)).all()
    weights = normal(2, 4, 30, key="weights")
    moved = sharpened(scores, *wanted, 4, 5.0, 5)
    (gradient,) = torch.autograd.grad((moved * weights).sum(), scores)
    torch.testing.assert_close(gradient, weights)


def test_equal_masses_give_every_slot_the_same_share():
    core = make("sinkhorn-slots", learned_masses=False, sinkhorn_iterations=100)
    assert not any("mass" in key for key in core.state_dict())
    share = core(*draw(core)).attention.mean(dim=(2, 3))
    torch.testing.assert_close(share, torch.full((2, 4), 0.25), atol=1e-3, rtol=0)
