"""The assignment equals the best of all that there are."""

from itertools import permutations

import numpy as np
import pytest
import torch

from slotbench.matching import assign


def best_by_enumeration(cost):
    """The least total cost of any one-to-one assignment of an (R, C) matrix."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    rows = range(cost.shape[0])
    return min(
        sum(cost[row, column] for row, column in zip(rows, chosen, strict=True))
        for chosen in permutations(range(cost.shape[1]), cost.shape[0])
    )


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (3, 6), (6, 3), (5, 6)])
def test_equals_the_best_of_all_permutations(rows, columns):
    cost = np.random.default_rng(rows * 10 + columns).normal(size=(2, 8, rows, columns)) * 100
    chosen = assign(torch.from_numpy(cost))
    assert chosen.shape == (2, 8, rows)
    assert chosen.dtype == torch.int64
    for matrix, order in zip(cost.reshape(-1, rows, columns), chosen.flatten(0, 1), strict=True):
        matched = [(row, int(column)) for row, column in enumerate(order) if column >= 0]
        assert len({column for _, column in matched}) == len(matched) == min(rows, columns)
        total = sum(matrix[row, column] for row, column in matched)
        assert total == pytest.approx(best_by_enumeration(matrix))


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
