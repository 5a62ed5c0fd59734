"""Slot health against its definitions written out."""

import math

import pytest
import torch
from torch.nn import functional

from slotbench.evaluation import health
from slotbench.evaluation.masks import attention_entropy


def test_empty_slots_are_those_that_win_no_pixel():
    labels = torch.tensor([[[0, 1], [1, 1]], [[2, 2], [2, 2]]])
    assert health.empty_slots(labels, 4).tolist() == [0.5, 0.75]


def test_slot_cosine_is_the_mean_over_pairs():
    slots = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    pairs = [
        functional.cosine_similarity(slots[:, first], slots[:, second])
        for first in range(4)
        for second in range(first)
    ]
    expected = torch.stack(pairs).mean(dim=0).double()
    torch.testing.assert_close(health.slot_cosine(slots), expected, rtol=0, atol=1e-6)
    assert health.slot_cosine(slots[:, :1]).isnan().all()
    assert health.slot_cosine(slots[:, :1].expand(-1, 4, -1)).tolist() == pytest.approx([1] * 3)


def test_effective_rank_counts_directions():
    axes = torch.eye(6)[:3].repeat(50, 1) * torch.tensor([1, -1]).repeat(75)[:, None]
    assert health.effective_rank(axes[:, None]) == pytest.approx(3, abs=1e-6)
    assert health.effective_rank(axes[:, None] + 7) == pytest.approx(3, abs=1e-4)
    assert health.effective_rank(torch.full((10, 3, 6), 0.3)) == 0


def test_attention_entropy_is_1_where_slots_share_alike_and_0_where_one_takes_all():
    attention = torch.zeros(2, 4, 3, 3)
    attention[0] = 0.25
    attention[1, 2] = 1
    assert attention_entropy(attention).tolist() == pytest.approx([1, 0])
    two = torch.zeros(1, 4, 3, 3)
    two[:, :2] = 0.5
    assert attention_entropy(two).item() == pytest.approx(math.log(2) / math.log(4))


def test_consistency_is_the_rand_index_of_two_maps_and_leaves_them_alone():
    first = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(0))
    copy = first.clone()
    assert health.consistency(first, (first + 1) % 3, 3).tolist() == [1, 1]
    other = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(1))
    assert health.consistency(first, other, 3).abs().max() < 0.3
    assert torch.equal(first, copy)
