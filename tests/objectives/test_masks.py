"""Prices of masks, and attention that follows them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from slotbench.objectives.heads import background_colour, outside_largest, plainness
from slotbench.objectives.reconstruction import ReconstructionConfig
from tests.objectives import tiny

PRICES = {"gather": 0.2, "gather_attention": 0.3, "agree": 0.4}


def masks_of(made, batch):
    """Masks float (B, K, H, W) of an objective, and the attention (B, K, h, w) under them."""
    if made.name == "slot-infonce":
        seen = made.see(batch)
        return seen.masks, seen.output.attention, seen.sources
    output = made.core(batch.images, batch.noise(made.core))
    return made.decode(output, batch.images).masks, output.attention, batch.images


def outside(masks, images, plain):
    """The share of each image outside its largest mask, of its plain places where asked for."""
    places = torch.ones(len(masks), *masks.shape[2:])
    if plain:
        rows, columns = (n // m for n, m in zip(images.shape[2:], masks.shape[2:], strict=True))
        pixels = plainness(images, plain, 0)
        cells = pixels.unflatten(1, (-1, rows)).unflatten(3, (-1, columns))
        places = cells.amin(dim=(2, 4))
    each = zip(masks, places / places.sum(dim=(1, 2), keepdim=True), strict=True)
    return torch.stack([1 - max((mask * p).sum() for mask in image) for image, p in each]).mean()


def agreement(masks, attention):
    """Cross-entropy of attention to masks in its places, where objects count double."""
    rows, columns = attention.shape[2:]
    total, size = 0.0, masks.shape[2] // rows
    for image, mine in zip(masks.detach(), attention, strict=True):
        largest = int(image.mean(dim=(1, 2)).argmax())
        for row, column in product(range(rows), range(columns)):
            cell = image[:, size * row :, size * column :][:, :size, :size].mean(dim=(1, 2))
            target = torch.stack([c if k == largest else 2 * c for k, c in enumerate(cell)])
            total = total - (target / target.sum()) @ mine[:, row, column].log()
    return total / (len(masks) * rows * columns)


@pytest.mark.parametrize("plain", [0, 0.3])
@pytest.mark.parametrize("name", ["reconstruction", "slot-infonce"])
def test_prices_are_added_as_they_rise_in_value_and_gradient(data, name, plain):
    extra = [f"objective.{key}={value}" for key, value in {**PRICES, "plain": plain}.items()]
    extra += ["objective.grid=8"] if name == "slot-infonce" else []
    made, batch = tiny.made_of(data, name, "objective.rise=0,0.5", *extra)
    batch = replace(batch, step=1)  # of 4: half of the rise
    found = made.loss(batch)
    for other in (replace(batch, step=0), replace(batch, purpose="val")):
        assert not PRICES.keys() & made.loss(other).keys()
    masks, attention, images = masks_of(made, batch)
    terms = {"gather": outside(masks, images, plain), "agree": agreement(masks, attention)}
    terms["gather_attention"] = outside(attention, images, plain)
    made.config = replace(made.config, **dict.fromkeys(PRICES, 0.0))
    expected = made.loss(batch)["loss"]
    for key, term in terms.items():
        torch.testing.assert_close(found[key], term)
        expected = expected + 0.5 * PRICES[key] * term
    tiny.assert_same_loss(made, found["loss"], expected)


def test_a_pixel_is_as_plain_as_it_is_near_the_median():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images[0, :, :3] = torch.tensor([0.2, 0.5, 0.8])[:, None, None]
    found = plainness(images, 0.3, 0)
    for image, seen in zip(images, found, strict=True):
        middle = [sorted(channel.flatten().tolist())[7] for channel in image]
        for row, column in product(range(4), range(4)):
            apart = sum((image[c, row, column] - middle[c]).square() for c in range(3)) / 3
            torch.testing.assert_close(seen[row, column], torch.exp(-apart / (2 * 0.3**2)))
    assert (found[0, :3] == 1).all()
    assert plainness(images, 1e-300, 0)[0].tolist() == [[1] * 4] * 3 + [[0] * 4]


def test_the_colour_of_a_background_is_a_polynomial_that_objects_do_not_move():
    """Beside NumPy's least squares, weighted anew six times, from the median on."""
    images = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    found = background_colour(images, 0.3**2, 2)
    y, x = (side.ravel() for side in np.mgrid[-1:1:12j, -1:1:10j])
    terms = np.stack([y**0, x, x**2, y, y * x, y**2], axis=1)
    for image, fitted in zip(images.double().flatten(2).mT.numpy(), found, strict=True):
        colour = np.sort(image, axis=0)[len(image) // 2 - 1]
        for _ in range(6):
            root = np.exp(-((image - colour) ** 2).mean(axis=1) / 4 / 0.3**2)[:, None]
            colour = terms @ np.linalg.lstsq(root * terms, root * image)[0]
        torch.testing.assert_close(fitted.flatten(1).mT.double().numpy(), colour, atol=1e-4, rtol=0)


def test_a_shaded_background_is_plain_and_objects_are_not():
    shade = torch.linspace(0.1, 0.9, 16)[:, None].expand(3, 16, 16).clone()
    shade[:, 5:8, 3:7] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    there = torch.zeros(16, 16, dtype=torch.bool)
    there[5:8, 3:7] = True
    flat, shaded = (plainness(shade[None], 0.1, n)[0] for n in (0, 1))
    assert shaded[~there].min() > 0.99
    assert shaded[there].max() < 0.01
    assert flat[~there].mean() < 0.5


def test_prices_cannot_fall():
    with pytest.raises(ValueError, match=r"rise=0\.9,0\.1: expected the first to be at most"):
        ReconstructionConfig(rise=(0.9, 0.1))


def test_a_price_of_plain_places_leaves_the_others_free():
    """One mask has the plain half of the image; what others share elsewhere costs nothing."""
    places = torch.tensor([[[1.0, 0.0]]])
    alone = torch.tensor([[[[1.0, 0.5]], [[0.0, 0.5]]]], requires_grad=True)
    shared = torch.tensor([[[[0.75, 1.0]], [[0.25, 0.0]]]])
    assert float(outside_largest(alone.detach(), places)) == 0
    assert float(outside_largest(shared, places)) == 0.25
    (gradient,) = torch.autograd.grad(outside_largest(alone, places), alone)
    assert gradient.tolist() == [[[[-1, 0]], [[0, 0]]]]
    assert float(outside_largest(shared, torch.zeros(1, 1, 2))) == 1
