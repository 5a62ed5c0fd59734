"""Slot health against its definitions written out, and shares of places against scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.preprocessing import PolynomialFeatures
from torch.nn import functional

from slotbench.evaluation import health
from slotbench.evaluation.health import object_columns, position_share
from slotbench.evaluation.masks import attention_entropy, centroids
from tests.conftest import LAYOUT, blocks_batch

IMAGES, SLOTS, OBJECTS, WIDTH, PROPERTIES = 300, 5, 4, 16, 6


def test_empty_slots_are_those_that_win_no_pixel():
    labels = torch.tensor([[[0, 1], [1, 1]], [[2, 2], [2, 2]]])
    assert health.empty_slots(labels, 4).tolist() == [0.5, 0.75]


def test_slot_cosine_is_the_mean_over_pairs():
    slots = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    alike = functional.cosine_similarity(slots[:, :, None], slots[:, None], dim=3).double()
    expected = (alike.sum(dim=(1, 2)) - 4) / 12
    torch.testing.assert_close(health.slot_cosine(slots), expected, rtol=0, atol=1e-6)
    assert health.slot_cosine(slots[:, :1]).isnan().all()
    assert health.slot_cosine(slots[:, :1].expand(-1, 4, -1)).tolist() == pytest.approx([1] * 3)


def test_effective_rank_counts_directions():
    axes = torch.eye(6)[:3].repeat(50, 1) * torch.tensor([1, -1]).repeat(75)[:, None]
    assert health.effective_rank(axes[:, None]) == pytest.approx(3, abs=1e-6)
    assert health.effective_rank(axes[:, None] + 7) == pytest.approx(3, abs=1e-4)
    assert health.effective_rank(torch.full((10, 3, 6), 0.3)) == 0


def test_attention_entropy_is_1_where_slots_share_alike_and_0_where_one_takes_all():
    attention = torch.zeros(3, 4, 3, 3)
    attention[0] = 0.25
    attention[1, 2] = 1
    attention[2, :2] = 0.5
    expected = [1, 0, math.log(2) / math.log(4)]
    assert attention_entropy(attention).tolist() == pytest.approx(expected)


def test_consistency_is_the_rand_index_of_two_maps_and_leaves_them_alone():
    first, other = (
        torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(n)) for n in (0, 1)
    )
    copy = first.clone()
    assert health.consistency(first, (first + 1) % 3, 3).tolist() == [1, 1]
    assert health.consistency(first, other, 3).abs().max() < 0.3
    assert torch.equal(first, copy)


def test_centroids_are_centres_of_mass():
    masks = torch.zeros(1, 4, 4, 8)
    masks[0, 0] = 1
    masks[0, 1, 0, 7] = 3
    masks[0, 2, :, :2] = 0.5
    x, y = centroids(masks)[0].T.tolist()
    assert x == pytest.approx([0, 0.875, -0.75, np.nan], nan_ok=True)
    assert y == pytest.approx([0, -0.75, 0, np.nan], nan_ok=True)


def mixed(seed, weight):
    """Slots of which a part ``weight`` is a map of their place and the rest of their object.

    Slots, their centres, properties, and the slot of each object, -1 for none.
    """
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-1, 1, (IMAGES, SLOTS, 2))
    things = generator.normal(size=(IMAGES, OBJECTS, PROPERTIES))
    order = np.argsort(generator.random((IMAGES, SLOTS)), axis=1)[:, :OBJECTS]
    order[generator.random(order.shape) < 0.2] = -1
    place = centres @ generator.normal(size=(2, WIDTH))
    thing = things @ generator.normal(size=(PROPERTIES, WIDTH))
    image, which = np.nonzero(order >= 0)
    held = np.zeros((IMAGES, SLOTS, WIDTH))  # a slot without an object holds nothing
    held[image, order[image, which]] = (thing / thing.std())[image, which]
    slots = np.sqrt(weight) * place / place.std() + np.sqrt(1 - weight) * held
    return slots.astype(np.float32), centres, things, order


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_shares_are_those_of_adjusted_regressions_of_scikit_learn(weight):
    """Which no turn, scale or order of the slots changes."""
    slots, centres, things, order = mixed(3, weight)
    if 0 < weight < 1:
        noise = np.random.default_rng(4).normal(size=slots.shape)
        slots = slots + noise * np.arange(WIDTH) / 8 + 7
    image, which = np.nonzero(order >= 0)
    slot = order[image, which]
    rows = slots[image, slot]
    place = PolynomialFeatures(3, include_bias=False).fit_transform(centres[image, slot])
    thing = things[image, which]

    def adjusted(columns):
        fitted = LinearRegression().fit(columns, rows).predict(columns)
        share = r2_score(rows, fitted, multioutput="variance_weighted")
        return max(0, 1 - (1 - share) * (len(rows) - 1) / (len(rows) - columns.shape[1] - 1))

    a, b, both = adjusted(place), adjusted(thing), adjusted(np.hstack([place, thing]))
    expected = ((a + both - b) / (2 * both), a, b, both, len(rows))
    # One-hot columns are dependent, and a constant one says nothing.
    more = np.concatenate([things, things[..., :1] * 2, np.ones((*things.shape[:2], 1))], axis=2)
    for given in (things, more):
        assert position_share(slots, centres, given, order) == pytest.approx(expected, abs=1e-9)
    if weight in (0, 1):
        assert expected[:3] == pytest.approx((weight, weight, 1 - weight), abs=0.02)


def test_what_cannot_be_told_is_nan():
    slots, centres, things, order = mixed(7, 0.5)
    for n, *given in (
        ((order >= 0).sum(), np.full_like(slots, 3.7), centres, things, order),
        ((order[:9] >= 0).sum(), slots[:9], centres[:9], things[:9], order[:9]),
        (0, slots, centres, things, np.full_like(order, -1)),
    ):
        found = position_share(*given)
        assert found.n == n
        assert np.isnan(found[:4]).all()
    no_properties = position_share(slots, centres, things[..., :0], order)
    assert np.isnan(no_properties.share)
    assert no_properties.places == no_properties.both == pytest.approx(0.5, abs=0.1)


def test_object_columns_are_all_but_places():
    batch = blocks_batch(6, 0)
    properties = {name: batch[f"property/{name}"] for name in ("color", "position")}
    columns = object_columns(LAYOUT, properties, batch["visible"])
    assert columns.tolist() == (properties["color"][..., None] == np.arange(3)).tolist()
    only = replace(LAYOUT, properties=LAYOUT.properties[1:])
    assert object_columns(only, properties, batch["visible"]).shape == (6, 3, 0)
