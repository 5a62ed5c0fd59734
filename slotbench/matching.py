"""Minimum-cost one-to-one assignment of the rows to the columns of many small matrices.

Kuhn 1955, in SciPy's implementation (Crouse 2016). It is called matrix by matrix, because
that is the fastest exact way for the sizes slots have: 32 matrices of 7x7 take 0.08 ms on one
core, 0.8 ms by dynamic programming over subsets of columns on the whole batch, and 6 ms by
enumerating the 5,040 permutations (benchmarks/matching.py). All matrices come to the CPU, and
the answers go back, in one transfer each.
"""

from itertools import pairwise
from math import prod

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from slotbench.errors import NotFinite


def assign(cost: Tensor, rows: Tensor | None = None) -> Tensor:
    """The column of each row in the one-to-one assignment with the least total cost.

    ``cost`` is float (..., R, C), any scale; min(R, C) pairs are made and a row that is left
    over gets -1. ``rows`` bool (..., R) says which rows take part (all, if not given); the
    others get -1 and take no column. Returns int64 (..., R) on the device of ``cost``. No
    gradient passes through it.

    :class:`NotFinite` where a cost is NaN or infinite; ValueError where the shapes do not fit.
    """
    if cost.ndim < 2:
        raise ValueError(f"cost has shape {tuple(cost.shape)}, expected (..., R, C)")
    if rows is not None and rows.shape != cost.shape[:-1]:
        raise ValueError(
            f"rows has shape {tuple(rows.shape)}, expected {tuple(cost.shape[:-1])}, "
            "that of cost without its columns"
        )
    values = cost.detach().to("cpu", torch.float64).numpy()
    matrices = values.reshape(prod(values.shape[:-2]), *values.shape[-2:])
    if not np.isfinite(matrices).all():
        kind = "NaN" if np.isnan(matrices).any() else "infinite"
        raise NotFinite(
            f"The cost of an assignment holds {kind} values, and needs finite ones.",
            "The training diverged: lower --set train.learning_rate. Or the data hold numbers that "
            "are too large.",
        )
    columns = np.full(matrices.shape[:2], -1, np.int64)
    part = np.ones(columns.shape, bool) if rows is None else rows.detach().cpu().numpy()
    part = part.reshape(columns.shape)
    # The rows that take part, of all matrices one after the other: one copy instead of many.
    taken, ends = matrices[part], np.cumsum(part.sum(axis=1)).tolist()
    found = [np.empty(0, np.int64)]
    for start, end in pairwise([0, *ends]):
        matched, chosen = linear_sum_assignment(taken[start:end])
        if len(matched) < end - start:  # some rows are left over
            given, chosen = chosen, np.full(end - start, -1)
            chosen[matched] = given
        found.append(chosen)
    columns[part] = np.concatenate(found)
    return torch.from_numpy(columns.reshape(values.shape[:-1])).to(cost.device)
