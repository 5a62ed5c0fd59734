"""Dense prediction against loops over directions, images and places."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from lightly.loss.vicreg_loss import covariance_loss, variance_loss
from torch import Tensor
from torch.nn import functional

from slotbench.cores.teachers import timm_teacher
from slotbench.objectives.dense import SlotInfoNCE, place_nce
from slotbench.objectives.dense_regression import SlotJEPA, standardised
from tests.objectives import tiny
from tests.objectives.tiny import rows

SIDE = 6


def made_of(data, name, *extra):
    video = name.endswith("-next")
    made = tiny.objective(data[video], name, f"objective.grid={SIDE}", *extra)
    return made, tiny.batch_of(data, made)


def place(index, side):
    """The middle of a cell, from -1 to 1."""
    return (2 * index + 1) / side - 1


def drawn(made, slots):
    """Vectors (K, C, h, w) and masks (K, h, w) of slots (K, D), place by place and slot by slot."""
    form, hidden = made.predictor, []
    for slot in slots:
        for row in range(SIDE):
            for column in range(SIDE):
                waves = [
                    wave(math.pi * frequency * at)
                    for at in (place(row, SIDE), place(column, SIDE))
                    for wave in (math.sin, math.cos)
                    for frequency in (0.5, 1.0, 2.0, 4.0)
                ]
                code = form.of_position @ torch.tensor([*waves, 1.0])
                hidden.append((form.mix(code * form.of_slot(slot)) + form.bias(slot)).relu())
    maps = torch.stack(hidden).view(len(slots), SIDE, SIDE, -1).permute(0, 3, 1, 2)
    made_of_all = form.layers(maps)
    return made_of_all[:, :-1], made_of_all[:, -1].softmax(dim=0)


def mixed(vectors, masks):
    """(C, h, w)."""
    return sum(mask * vector for mask, vector in zip(masks, vectors, strict=True))


def sampled(values, y, x):
    """Bilinear, the border going on outside: (C, side, side) -> (C,)."""
    total, side = torch.zeros(len(values)), values.shape[2]
    up, left = ((at + 1) * side / 2 - 0.5 for at in (y, x))
    for row in (math.floor(up), math.floor(up) + 1):
        for column in (math.floor(left), math.floor(left) + 1):
            weight = (1 - abs(up - row)) * (1 - abs(left - column))
            inside = [min(max(at, 0), side - 1) for at in (row, column)]
            total = total + weight * values[:, inside[0], inside[1]]
    return total


def source_place(batch, image, source, target, y, x):
    """Where view ``source`` shows (y, x) of view ``target``; none where it does not."""
    full = [
        torch.cat([batch.views.matrices[view, image].double(), torch.tensor([[0.0, 0.0, 1.0]])])
        for view in (source, target)
    ]
    at = torch.linalg.solve(full[0], full[1] @ torch.tensor([x, y, 1.0], dtype=torch.float64))
    found = float(at[1]), float(at[0])
    return found if max(map(abs, found)) <= 1 else None


def slots_by_hand(made, batch):
    """Slots (B, K, D) of each view that is predicted from, each with noise of its own."""
    count, images = len(made.directions), len(batch.images)
    noise = made.core.noise(count * images, batch.generator("slots"))
    return [
        made.core(batch.views.images[source], noise[index * images : (index + 1) * images]).slots
        for index, (source, _) in enumerate(made.directions)
    ]


class Place(NamedTuple):
    """A place of a view, and what is predicted for it."""

    direction: int
    image: int
    row: int
    column: int
    predicted: Tensor


def places(made, batch, shape=lambda values: values):
    """Every place that the other view shows; the mixture passes ``shape`` before it is sampled."""
    found = []
    sides = zip(made.directions, slots_by_hand(made, batch), strict=True)
    for direction, ((source, target), slots) in enumerate(sides):
        for image in range(len(slots)):
            predicted = shape(mixed(*drawn(made, slots[image])))
            for row in range(SIDE):
                for column in range(SIDE):
                    at = source_place(
                        batch, image, source, target, place(row, SIDE), place(column, SIDE)
                    )
                    if at is not None:
                        here = sampled(predicted, *at)
                        found.append(Place(direction, image, row, column, here))
    return found


def naive_infonce(made, batch, embed):
    """The loss, place by place."""
    there = [embed(batch.views.images[target]) for _, target in made.directions]
    losses = []
    for one in places(made, batch, partial(functional.normalize, dim=0)):
        others = [values[:, one.row, one.column] for values in there[one.direction]]
        scores = [one.predicted @ functional.normalize(other, dim=0) for other in others]
        logits = torch.stack(scores) / made.temperature
        losses.append(functional.cross_entropy(logits, torch.tensor(one.image)))
    return torch.stack(losses).mean()


def naive_jepa(made, batch, features):
    """The squared error, place by place, of features (B, C, h, w)."""
    there = [features(batch.views.images[target]).detach() for _, target in made.directions]
    channels = torch.stack(there).transpose(0, 2).flatten(1)
    errors = []
    for one in places(made, batch):
        target = there[one.direction][one.image][:, one.row, one.column]
        wanted = [
            (float(value) - float(values.mean())) / float(values.std(correction=0))
            for value, values in zip(target, channels, strict=True)
        ]
        errors += [(mine - its) ** 2 for mine, its in zip(one.predicted, wanted, strict=True)]
    return torch.stack(errors).mean()


def patches_by_hand(made, images):
    """Cut the resized image into patches, and pass each through the layers."""
    patch = made.config.patch
    size = (SIDE * patch, SIDE * patch)
    images = functional.interpolate(images, size, mode="bilinear", antialias=True) * 4 - 2
    cut = images.unflatten(3, (SIDE, patch)).unflatten(2, (SIDE, patch)).permute(0, 2, 4, 1, 3, 5)
    return (
        made.target.layers(cut.flatten(0, 2)).view(len(images), SIDE, SIDE, -1).permute(0, 3, 1, 2)
    )


@pytest.mark.parametrize("name", ["slot-infonce", "slot-infonce-next"])
def test_contrast_equals_loops_in_value_and_gradient(data, name):
    made, batch = made_of(data, name)
    value = made.loss(batch)["loss"]
    expected = naive_infonce(made, batch, lambda images: patches_by_hand(made, images))
    assert_same(made, value, expected)


def test_encoder_targets_equal_loops_in_value_and_gradient(data):
    made, batch = made_of(data, "slot-infonce", "objective.target=encoder", "encoder.stride=4")
    with torch.no_grad():
        for weight in made.core.encoder.parameters():
            weight.mul_(1.1)

    def embed(images):
        features, grid = made.target.copy(images)
        maps = features[:, :, :-4].detach().mT.unflatten(2, grid)
        return made.head(functional.adaptive_avg_pool2d(maps, SIDE))

    assert_same(made, made.loss(batch)["loss"], naive_infonce(made, batch, embed))
    assert_follows(made, made.target.copy, made.config.momentum)


def assert_follows(made, copy, momentum):
    before = tiny.state(copy)
    made.after_step(0)
    for key, moved in copy.named_parameters():
        new = made.core.encoder.get_parameter(key)
        torch.testing.assert_close(moved, momentum * before[key] + (1 - momentum) * new)


@pytest.mark.parametrize(
    ("name", "target"),
    [("slot-jepa", "start"), ("slot-jepa", "momentum"), ("slot-jepa-next", "start")],
)
def test_regression_equals_loops_in_value_and_gradient(data, name, target):
    made, batch = made_of(data, name, f"objective.target={target}", "encoder.stride=4")
    with torch.no_grad():
        for weight in made.core.encoder.parameters():
            weight.mul_(1.1)
    copy = made.target.copy
    assert copy is not None

    def features(images):
        # The trunk's, before the norm that would make a plain background as loud as an object.
        pixels = (images - copy.config.input_mean) / copy.config.input_deviation
        return functional.adaptive_avg_pool2d(copy.trunk(pixels), SIDE)

    expected = naive_jepa(made, batch, features)
    if target == "momentum":
        values = made.core.encoder(batch.views.images.flatten(0, 1))[0][:, :, :-4].flatten(0, 1)
        expected = expected + variance_loss(values) + 0.04 * covariance_loss(values)
    assert_same(made, made.loss(batch)["loss"], expected)
    assert_follows(made, copy, made.config.momentum if target == "momentum" else 1.0)


def by_hand(masks):
    """The share of each image outside its largest mask."""
    shares = [[mask.mean() for mask in image] for image in masks]
    return torch.stack([sum(each) - max(each) for each in shares]).mean()


def test_prices_of_masks_equal_loops_in_value_and_gradient(data):
    prices = {"gather": 0.2, "gather_attention": 0.3}
    asked = [f"objective.{key}={price}" for key, price in prices.items()]
    made, batch = made_of(data, "slot-infonce", "objective.rise=0,0.5", *asked)
    batch = replace(batch, step=1)  # of 4: half of the rise
    images = torch.cat([batch.views.images[source] for source, _ in made.directions])
    output = made.core(images, made.core.noise(len(images), batch.generator("slots")))
    masks = torch.stack([drawn(made, slots)[1] for slots in output.slots])
    terms = {"gather": by_hand(masks), "gather_attention": by_hand(output.attention)}
    found = made.loss(batch)
    for key, term in terms.items():
        torch.testing.assert_close(found[key], term.detach())
    expected = naive_infonce(made, batch, lambda images: patches_by_hand(made, images))
    expected = expected + sum(0.5 * prices[key] * term for key, term in terms.items())
    assert_same(made, found["loss"], expected)
    assert "gather" not in made.loss(replace(batch, purpose="val"))
    assert "gather" not in made.loss(replace(batch, step=0))


def test_attention_multiplies_masks_and_unit_vectors_are_mixed(data):
    extra = ("objective.attend=2", "objective.unit=true", "objective.rise=0,0.5")
    made, batch = made_of(data, "slot-infonce", *extra)
    batch = replace(batch, step=1)  # of 4: half of the rise, so the power is 1
    output = made.core(batch.images)
    vectors, masks = (
        torch.stack(both) for both in zip(*(drawn(made, s) for s in output.slots), strict=True)
    )
    logs = functional.interpolate(output.attention, (SIDE, SIDE), mode="bilinear").log()
    wanted = masks * logs.exp()
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    predicted, found = made.predictor(output.slots, made.prior(output, made.done(batch)))
    torch.testing.assert_close(found, wanted)
    unit = vectors / vectors.norm(dim=2, keepdim=True)
    torch.testing.assert_close(predicted, (unit * wanted[:, :, None]).sum(dim=1))
    full = masks * (2 * logs).exp()
    full = full / full.sum(dim=1, keepdim=True)
    torch.testing.assert_close(made.predictor_masks(batch.images, output), full)
    assert made.prior(output, 0.0) is None


@pytest.mark.parametrize("kind", [SlotInfoNCE, SlotJEPA])
def test_a_named_teacher_takes_the_place_of_the_target(data, kind):
    asked = []

    def teachers(name, weights):
        asked.append((name, weights))
        return Network()

    core = made_of(data, kind.name)[0].core
    made = kind(core, kind.Config(grid=SIDE, teacher="timm:x", weights="w.pt"), teachers)
    assert asked == [("timm:x", Path("w.pt"))]
    batch = tiny.batch_of(data, made)
    images = batch.views.images[0]
    torch.testing.assert_close(
        made.target(images, core.encoder), Network()(images).mT.view(len(images), 6, 4, 4)
    )
    made.loss(batch)["loss"].backward()
    made.after_step(0)
    assert not any("target" in key for key in made.state_dict())


class Network(tiny.Teacher):
    def to(self, _):
        return self


def test_channels_that_do_not_vary_are_near_zero():
    features = rows(0, 2, 3, 4, 5, 5).detach()
    features[:, :, 1] = 7
    made = standardised(features)
    assert not made[:, :, 1].any()
    torch.testing.assert_close(made[:, :, 0].std(correction=0), torch.tensor(1.0))


def assert_same(made, value, expected):
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    weights = {name: each for name, each in made.named_parameters() if each.requires_grad}
    ours, theirs = (
        torch.autograd.grad(loss, list(weights.values()), allow_unused=True, retain_graph=True)
        for loss in (value, expected)
    )
    for name, one, two in zip(weights, ours, theirs, strict=True):
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_places_that_are_not_shown_have_no_say():
    predicted, target = rows(0, 2, 4, 5, 3, 3), rows(1, 2, 4, 5, 3, 3).detach()
    shown = (torch.arange(72).view(2, 4, 3, 3) % 3 > 0).float()
    loss, _ = place_nce(predicted, target, shown, torch.tensor(0.1))
    loss.backward()
    assert torch.equal(predicted.grad.abs().sum(dim=2) > 0, shown > 0)
    predicted = predicted.detach()
    # With a batch of one there is nothing to tell apart.
    alone, right = place_nce(predicted[:, :1], target[:, :1], shown[:, :1], torch.tensor(0.1))
    assert (float(alone), float(right)) == (0, 1)
    nothing, _ = place_nce(predicted, target, torch.zeros_like(shown), torch.tensor(0.1))
    assert float(nothing) == 0


def test_the_temperature_stays_above_its_floor(data):
    made, _ = made_of(data, "slot-infonce")
    assert float(made.temperature.detach()) == pytest.approx(0.1)
    with torch.no_grad():
        made.log_temperature.fill_(-9)
    assert float(made.temperature.detach()) == pytest.approx(1 / 30)


def test_masks_of_the_predictor_sum_to_one(data):
    made, batch = made_of(data, "slot-infonce")
    masks = made.predictor_masks(batch.images)
    assert masks.shape == (len(batch.images), made.core.num_slots, SIDE, SIDE)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(len(masks), SIDE, SIDE))
    output = made.core(batch.images)
    expected = drawn(made, output.slots[1])[1]
    torch.testing.assert_close(made.predictor_masks(batch.images, output)[1], expected)
    assert made.masks(batch.images) is None
    whole = tiny.objective(data[False], "reconstruction+slot-infonce:0.5")
    assert whole.predictor_masks(batch.images) is not None
    assert tiny.objective(data[False], "reconstruction").predictor_masks(batch.images) is None


@pytest.mark.parametrize("kind", [SlotInfoNCE, SlotJEPA])
def test_a_frozen_encoder_needs_no_copy(data, kind):
    core = made_of(data, kind.name)[0].core
    core.encoder.requires_grad_(False)
    target = "encoder" if kind is SlotInfoNCE else "momentum"
    made = kind(core, kind.Config(target=target), timm_teacher)
    assert made.target.copy is None
    made.loss(tiny.batch_of(data, made))["loss"].backward()
    assert made.core.to_query.weight.grad is not None
    made.after_step(0)
