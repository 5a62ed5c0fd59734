"""slot-infonce against loops over directions, images and places."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.objectives.dense import DensePrediction, SlotInfoNCE, composed, place_nce
from slotbench.objectives.objective import TrainBatch
from tests.objectives import tiny
from tests.objectives.tiny import rows

Data = dict[bool, DatasetFile]
SIDE = 6
NAMES = ("slot-infonce", "slot-infonce-next")


def made_of(data: Data, name: str, *extra: str) -> tuple[SlotInfoNCE, TrainBatch]:
    video = name.endswith("-next")
    made = tiny.objective(data[video], name, f"objective.grid={SIDE}", *extra)
    assert isinstance(made, SlotInfoNCE)
    return made, tiny.batch_of(data, made)


def place(index: int, side: int) -> float:
    """The middle of a cell, from -1 to 1."""
    return (2 * index + 1) / side - 1


def drawn(made: DensePrediction, slots: Tensor) -> tuple[Tensor, Tensor]:
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


def mixed(vectors: Tensor, masks: Tensor) -> Tensor:
    """(C, h, w)."""
    return sum(mask * vector for mask, vector in zip(masks, vectors, strict=True))  # type: ignore[return-value]


def sampled(values: Tensor, y: float, x: float) -> Tensor:
    """Bilinear, the border going on outside: (C, h, w) -> (C,)."""
    total = torch.zeros(len(values))
    up, left = ((at + 1) * SIDE / 2 - 0.5 for at in (y, x))
    for row in (math.floor(up), math.floor(up) + 1):
        for column in (math.floor(left), math.floor(left) + 1):
            weight = (1 - abs(up - row)) * (1 - abs(left - column))
            inside = [min(max(at, 0), SIDE - 1) for at in (row, column)]
            total = total + weight * values[:, inside[0], inside[1]]
    return total


def source_place(
    batch: TrainBatch, image: int, source: int, target: int, y: float, x: float
) -> tuple[float, float] | None:
    """Where view ``source`` shows (y, x) of view ``target``; none where it does not."""
    assert batch.views is not None
    full = [
        torch.cat([batch.views.matrices[view, image].double(), torch.tensor([[0.0, 0.0, 1.0]])])
        for view in (source, target)
    ]
    at = torch.linalg.solve(full[0], full[1] @ torch.tensor([x, y, 1.0], dtype=torch.float64))
    found = float(at[1]), float(at[0])
    return found if max(map(abs, found)) <= 1 else None


def slots_by_hand(made: DensePrediction, batch: TrainBatch) -> list[Tensor]:
    """Slots (B, K, D) of each view that is predicted from, each with noise of its own."""
    assert batch.views is not None
    count, images = len(made.directions), len(batch.images)
    noise = made.core.noise(count * images, batch.generator("slots"))
    assert noise is not None
    return [
        made.core(batch.views.images[source], noise[index * images : (index + 1) * images]).slots
        for index, (source, _) in enumerate(made.directions)
    ]


def naive(made: SlotInfoNCE, batch: TrainBatch, embed: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss, place by place."""
    assert batch.views is not None
    losses = []
    for (source, target), slots in zip(made.directions, slots_by_hand(made, batch), strict=True):
        there = embed(batch.views.images[target])
        for image in range(len(slots)):
            predicted = functional.normalize(mixed(*drawn(made, slots[image])), dim=0)
            for row in range(SIDE):
                for column in range(SIDE):
                    y, x = place(row, SIDE), place(column, SIDE)
                    found = source_place(batch, image, source, target, y, x)
                    if found is None:
                        continue
                    here = sampled(predicted, *found)
                    scores = [
                        here @ functional.normalize(other[:, row, column], dim=0) for other in there
                    ]
                    logits = torch.stack(scores) / made.temperature
                    losses.append(functional.cross_entropy(logits, torch.tensor(image)))
    return torch.stack(losses).mean()


def patches_by_hand(made: SlotInfoNCE, images: Tensor) -> Tensor:
    """Cut the resized image into patches, and pass each through the layers."""
    patch = made.config.patch
    size = (SIDE * patch, SIDE * patch)
    images = functional.interpolate(images, size, mode="bilinear", antialias=True)
    cut = images.unflatten(3, (SIDE, patch)).unflatten(2, (SIDE, patch)).permute(0, 2, 4, 1, 3, 5)
    return (
        made.target.layers(cut.flatten(0, 2)).view(len(images), SIDE, SIDE, -1).permute(0, 3, 1, 2)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_equals_loops_in_value_and_gradient(data: Data, name: str) -> None:
    made, batch = made_of(data, name)
    value = made.loss(batch)["loss"]
    expected = naive(made, batch, lambda images: patches_by_hand(made, images))
    assert_same(made, value, expected)


def test_encoder_targets_equal_loops_in_value_and_gradient(data: Data) -> None:
    made, batch = made_of(data, "slot-infonce", "objective.target=encoder", "encoder.stride=4")
    with torch.no_grad():
        for weight in made.core.encoder.parameters():
            weight.mul_(1.1)

    def embed(images: Tensor) -> Tensor:
        features, grid = made.target.copy(images)
        maps = features[:, :, :-4].detach().mT.unflatten(2, grid)
        return made.head(functional.adaptive_avg_pool2d(maps, SIDE))

    assert_same(made, made.loss(batch)["loss"], naive(made, batch, embed))
    before = tiny.state(made.target)
    made.after_step(0)
    momentum = made.config.momentum
    for key, moved in made.target.copy.named_parameters():
        kept, new = before[f"copy.{key}"], made.core.encoder.get_parameter(key)
        torch.testing.assert_close(moved, momentum * kept + (1 - momentum) * new)


def assert_same(made: DensePrediction, value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    weights = {name: each for name, each in made.named_parameters() if each.requires_grad}
    ours, theirs = (
        torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for loss in (value, expected)
    )
    for name, one, two in zip(weights, ours, theirs, strict=True):
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_places_that_are_not_shown_have_no_say() -> None:
    predicted, target = rows(0, 2, 4, 5, 3, 3), rows(1, 2, 4, 5, 3, 3).detach()
    shown = (torch.arange(72).view(2, 4, 3, 3) % 3 > 0).float()
    loss, _ = place_nce(predicted, target, shown, torch.tensor(0.1))
    loss.backward()
    assert predicted.grad is not None
    assert torch.equal(predicted.grad.abs().sum(dim=2) > 0, shown > 0)
    predicted = predicted.detach()
    # With a batch of one there is nothing to tell apart.
    alone, right = place_nce(predicted[:, :1], target[:, :1], shown[:, :1], torch.tensor(0.1))
    assert (float(alone), float(right)) == (0, 1)
    nothing, _ = place_nce(predicted, target, torch.zeros_like(shown), torch.tensor(0.1))
    assert float(nothing) == 0


def test_maps_compose_as_matrices_do() -> None:
    one, two = rows(0, 5, 2, 3).detach(), rows(1, 5, 2, 3).detach()
    bottom = torch.tensor([0.0, 0.0, 1.0]).expand(5, 1, 3)
    expected = (torch.cat([one, bottom], 1) @ torch.cat([two, bottom], 1))[:, :2]
    torch.testing.assert_close(composed(one, two), expected)


def test_the_temperature_stays_above_its_floor(data: Data) -> None:
    made, _ = made_of(data, "slot-infonce")
    assert float(made.temperature.detach()) == pytest.approx(0.1)
    with torch.no_grad():
        made.log_temperature.fill_(-9)
    assert float(made.temperature.detach()) == pytest.approx(1 / 30)


def test_masks_of_the_predictor_sum_to_one(data: Data) -> None:
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


def test_a_frozen_encoder_needs_no_copy(data: Data) -> None:
    made, batch = made_of(data, "slot-infonce", "objective.target=encoder")
    made.core.encoder.requires_grad_(False)
    again = SlotInfoNCE(made.core, made.config)
    assert again.target.copy is None
    again.loss(batch)["loss"].backward()
    assert again.head.weight.grad is not None
    again.after_step(0)
