"""Results and their bootstrap intervals."""

import numpy as np
import pytest
import torch

from slotbench.evaluation.result import Result, bootstrap, mean_result


def test_nan_is_no_value_and_marks_images_that_are_left_out():
    with pytest.raises(ValueError, match="low"):
        Result(0.5, 1, low=float("nan"))
    values = torch.tensor([1.0, torch.nan, 0.0, 1.0, torch.nan])
    result = mean_result(values, seed=0)
    assert (result.value, result.n, result.left_out) == (pytest.approx(2 / 3), 3, 2)
    assert mean_result(torch.full((4,), torch.nan), seed=0) == Result(None, 0, 4)


def test_the_interval_is_that_of_the_normal_approximation_and_depends_on_the_seed_alone():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 3 + 1
    result = mean_result(values, seed=5)
    assert result.value is not None
    error = 1.96 * values.double().std().item() / 20
    assert result.low == pytest.approx(result.value - error, abs=0.15 * error)
    assert result.high == pytest.approx(result.value + error, abs=0.15 * error)
    assert mean_result(values, seed=5) == result
    assert mean_result(values, seed=6).low != result.low


def test_about_95_of_100_intervals_hold_the_true_mean():
    draws = torch.rand(200, 60, generator=torch.Generator().manual_seed(1))
    results = [mean_result(row, seed) for seed, row in enumerate(draws)]
    held = np.mean([result.low <= 0.5 <= result.high for result in results])
    assert 0.89 <= held <= 0.99


def test_resamples_with_nothing_to_count_are_not_used():
    totals = np.array([[1.0, 1.0], [0.0, 0.0]])

    def ratio(sums):
        with np.errstate(invalid="ignore"):
            return np.stack([sums[:, 0] / sums[:, 1], np.full(len(sums), np.nan)], axis=1)

    low, high = bootstrap(totals, ratio, seed=0)
    assert low[0] == high[0] == 1
    assert np.isnan([low[1], high[1]]).all()
