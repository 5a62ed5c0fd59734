"""The assignment equals the best of all that there are."""

from itertools import permutations

import numpy as np
import pytest
import torch

from slotbench.matching import assign


def best_pairs(cost):
    """The pairs (row, column) of the least total cost of an (R, C) matrix, by trying all."""
    rows, columns = cost.shape
    if rows > columns:
        return [(row, column) for column, row in best_pairs(cost.T)]
    orders = permutations(range(columns), rows)
    best = min(orders, key=lambda order: sum(cost[pair] for pair in enumerate(order)))
    return list(enumerate(best))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (3, 6), (6, 3), (5, 6)])
def test_equals_the_best_of_all_permutations(rows, columns):
    cost = np.random.default_rng(rows * 10 + columns).normal(size=(2, 8, rows, columns)) * 100
    chosen = assign(torch.from_numpy(cost))
    assert chosen.shape == (2, 8, rows)
    assert chosen.dtype == torch.int64
    for matrix, order in zip(cost.reshape(-1, rows, columns), chosen.flatten(0, 1), strict=True):
        found = [(row, column) for row, column in enumerate(order.tolist()) if column >= 0]
        assert found == sorted(best_pairs(matrix))


def test_rows_that_take_no_part_leave_their_columns_to_others():
    cost = torch.rand(20, 5, 3, generator=torch.Generator().manual_seed(0))
    part = torch.rand(20, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    chosen = assign(cost, part)
    assert (chosen[~part] == -1).all()
    for matrix, rows, order in zip(cost, part, chosen, strict=True):
        assert torch.equal(order[rows], assign(matrix[rows]))


@pytest.mark.parametrize(("value", "name"), [(torch.nan, "NaN"), (torch.inf, "infinite")])
def test_costs_that_are_not_finite_are_refused_by_name(value, name):
    cost = torch.zeros(2, 3, 3)
    cost[1, 2, 0] = value
    with pytest.raises(ValueError, match=name):
        assign(cost)
