"""Dense prediction against loops over directions, images and places."""

import math
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from lightly.loss.vicreg_loss import covariance_loss, variance_loss
from torch.nn import functional

from slotbench.cores.teachers import timm_teacher
from slotbench.objectives.dense import SlotInfoNCE, place_nce
from slotbench.objectives.dense_regression import SlotJEPA, standardised
from tests.objectives import tiny
from tests.objectives.tiny import rows

SIDE = 6


def made_of(data, name, *extra):
    return tiny.made_of(data, name, f"objective.grid={SIDE}", *extra)


def looked_up(values, matrices):
    """Values (B, C, s, s) where matrices (B, 3, 3) move their places, and whether it is inside."""
    line = (2 * torch.arange(values.shape[3], dtype=torch.float64) + 1) / values.shape[3] - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=2)
    grid = torch.einsum("bij,hwj->bhwi", matrices, places)[..., :2]
    found = functional.grid_sample(values, grid.float(), padding_mode="border", align_corners=False)
    return found, (grid.abs() <= 1).all(dim=3)


def full(matrices):
    """(B, 2, 3) -> double (B, 3, 3)."""
    last = torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64)
    return torch.cat([matrices.double(), last.expand(len(matrices), 1, 3)], dim=1)


def drawn(made, slots):
    """Vectors (K, C, h, w) and masks (K, h, w) of slots (K, D), slot by slot."""
    form, line = made.predictor, [(2 * index + 1) / SIDE - 1 for index in range(SIDE)]
    waves = [
        [
            wave(math.pi * frequency * at)
            for at in place
            for wave in (math.sin, math.cos)
            for frequency in (0.5, 1.0, 2.0, 4.0)
        ]
        for place in product(line, line)
    ]
    codes = torch.tensor([[*each, 1.0] for each in waves]) @ form.of_position.mT
    hidden = [(form.mix(codes * form.of_slot(slot)) + form.bias(slot)).relu() for slot in slots]
    maps = form.layers(torch.stack(hidden).mT.unflatten(2, (SIDE, SIDE)))
    return maps[:, :-1], maps[:, -1].softmax(dim=0)


def mixture(made, slots, attention, power):
    """The map (C, h, w) and masks (K, h, w) of an image, from slots (K, D) and attention."""
    vectors, masks = drawn(made, slots)
    if power:
        seen = functional.interpolate(attention[None], (SIDE, SIDE), mode="bilinear")[0]
        masks = masks * seen**power / (masks * seen**power).sum(dim=0)
    if made.config.unit:
        vectors = functional.normalize(vectors, dim=1)
    return (vectors * masks[:, None]).sum(dim=0), masks


def predictions(made, batch, shape=lambda values: values):
    """By direction: the prediction, (B, C, h, w), at the target's places; which are shown; target.

    The mixture passes ``shape`` before it is sampled. Attention has half of its power.
    """
    count = len(made.directions)
    noise = made.core.noise(count * len(batch.images), batch.generator("slots")).chunk(count)
    for (source, target), own in zip(made.directions, noise, strict=True):
        slots, attention, _ = made.core(batch.views.images[source], own)
        power = made.config.attend / 2
        parts = [mixture(made, *each, power)[0] for each in zip(slots, attention, strict=True)]
        here, there = (full(batch.views.matrices[view]) for view in (source, target))
        mixed = torch.stack([shape(part) for part in parts])
        yield *looked_up(mixed, torch.linalg.inv(here) @ there), batch.views.images[target]


def naive_infonce(made, batch, embed):
    losses = []
    for predicted, shown, images in predictions(made, batch, partial(functional.normalize, dim=0)):
        others = functional.normalize(embed(images), dim=1)
        for image, row, column in shown.nonzero().tolist():
            scores = others[:, :, row, column] @ predicted[image, :, row, column]
            wanted = torch.tensor(image)
            losses.append(functional.cross_entropy(scores / made.temperature, wanted))
    return torch.stack(losses).mean()


def naive_jepa(made, batch, features):
    """The squared error of features (B, C, h, w), standardised channel by channel."""
    seen = list(predictions(made, batch))
    targets = torch.stack([features(images).detach() for *_, images in seen])
    for channel in targets.unbind(dim=2):
        channel.sub_(channel.mean()).div_(channel.std(correction=0))
    errors = [
        (predicted - target).square().movedim(1, 3)[shown]
        for (predicted, shown, _), target in zip(seen, targets, strict=True)
    ]
    return torch.cat(errors).mean()


def patches_by_hand(made, images):
    """Cut the resized image into patches, and pass each through the layers."""
    patch = made.config.patch
    size = (SIDE * patch, SIDE * patch)
    images = functional.interpolate(images, size, mode="bilinear", antialias=True) * 4 - 2
    cut = images.unflatten(3, (SIDE, patch)).unflatten(2, (SIDE, patch)).permute(0, 2, 4, 1, 3, 5)
    return (
        made.target.layers(cut.flatten(0, 2)).view(len(images), SIDE, SIDE, -1).permute(0, 3, 1, 2)
    )


ATTEND = ("objective.attend=2", "objective.rise=0,0.5")
CONTRASTS = [("slot-infonce", ()), ("slot-infonce-next", ())]
CONTRASTS += [("slot-infonce", (*ATTEND, "objective.unit=true"))]


@pytest.mark.parametrize(("name", "extra"), CONTRASTS)
def test_contrast_equals_loops_in_value_and_gradient(data, name, extra):
    made, batch = made_of(data, name, *extra)
    batch = replace(batch, step=1)  # of 4: half of the rise
    value = made.loss(batch)["loss"]
    expected = naive_infonce(made, batch, lambda images: patches_by_hand(made, images))
    tiny.assert_same_loss(made, value, expected)


def test_encoder_targets_equal_loops_in_value_and_gradient(data):
    made, batch = made_of(data, "slot-infonce", "objective.target=encoder", "encoder.stride=4")
    with torch.no_grad():
        for weight in made.core.encoder.parameters():
            weight.mul_(1.1)

    def embed(images):
        features, grid = made.target.copy(images)
        maps = features[:, :, :-4].detach().mT.unflatten(2, grid)
        return made.head(functional.adaptive_avg_pool2d(maps, SIDE))

    tiny.assert_same_loss(made, made.loss(batch)["loss"], naive_infonce(made, batch, embed))
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
    tiny.assert_same_loss(made, made.loss(batch)["loss"], expected)
    assert_follows(made, copy, made.config.momentum if target == "momentum" else 1.0)


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
    assert not standardised(features)[:, :, 1].any()


def test_of_one_image_or_where_nothing_is_shown_the_contrast_is_0():
    both, shown = rows(0, 2, 4, 5, 3, 3).detach(), torch.ones(2, 4, 3, 3)
    loss, right = place_nce(both[:, :1], -both[:, :1], shown[:, :1], torch.tensor(0.1))
    assert (float(loss), float(right)) == (0, 1)
    assert float(place_nce(both, -both, 0 * shown, torch.tensor(0.1))[0]) == 0


def test_the_temperature_stays_above_its_floor(data):
    made, _ = made_of(data, "slot-infonce")
    assert float(made.temperature.detach()) == pytest.approx(0.1)
    with torch.no_grad():
        made.log_temperature.fill_(-9)
    assert float(made.temperature.detach()) == pytest.approx(1 / 30)


@pytest.mark.parametrize("extra", [(), ATTEND])
def test_masks_of_the_predictor_have_the_whole_power(data, extra):
    made, batch = made_of(data, "slot-infonce", *extra)
    output = made.core(batch.images)
    given = zip(output.slots, output.attention, strict=True)
    expected = torch.stack([mixture(made, *each, made.config.attend)[1] for each in given])
    torch.testing.assert_close(made.predictor_masks(batch.images), expected)
    torch.testing.assert_close(made.predictor_masks(batch.images, output), expected)
    assert made.masks(batch.images) is None
    assert made.prior(output, 0.0) is None
    for name, has in (("reconstruction+slot-infonce:0.5", True), ("reconstruction", False)):
        found = tiny.objective(data[False], name).predictor_masks(batch.images)
        assert (found is not None) == has


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
