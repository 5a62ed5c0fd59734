"""One number of an evaluation, with its count and its interval."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slotbench.rng import numpy_generator

Array = npt.NDArray[np.float64]
RESAMPLES = 1000
Progress = Callable[[float, float], None]
"""Takes how much is done, and of how much."""


def silent(done: float, total: float = 1) -> None:
    """Progress that nobody sees."""
    del done, total


@dataclass(frozen=True)
class Result:
    """A metric's value over ``n`` images (objects, for properties)."""

    value: float | None
    """None where nothing could be counted."""
    n: int
    """How many images or objects counted."""
    left_out: int = 0
    """How many were left out, such as images without an object."""
    version: int = 1
    """The version of the metric's definition, which the evaluation sets to that of the group."""
    low: float | None = None
    """Lower end of the 95 % bootstrap interval over images, where one is computed."""
    high: float | None = None
    """Upper end."""
    spread: float | None = None
    """Standard deviation over draws of the initial noise, where there are several."""

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if number is not None and not (
                isinstance(number, float | int) and math.isfinite(number)
            ):
                raise ValueError(f"{name}={number!r}: expected a finite number of Python, or None")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; holds no NaN, and ``spread`` only where there is one."""
        fields = asdict(self)
        if self.spread is None:
            del fields["spread"]
        return fields


def bootstrap(totals: Array, statistic: Callable[[Array], Array], seed: int) -> tuple[Array, Array]:
    """The ends (low, high) of the 95 % percentile bootstrap interval over images.

    ``totals`` float64 (n, M) holds each image's part of M sums; ``statistic`` maps sums
    (R, M) to values (R, ...), one for each of the R = 1,000 resamples of n images (Efron 1979).
    A resample in which a value is NaN (its images have nothing to count) is not used for it;
    an end is NaN where no resample is left.
    """
    values = statistic(_resamples(seed, len(totals)) @ totals)
    unusable = np.isnan(values).all(axis=0)
    # An all-NaN slice would warn; 0 stands in for it and is taken back afterwards.
    ends = np.nanquantile(np.where(unusable, 0.0, values), (0.025, 0.975), axis=0)
    low, high = np.where(unusable, np.nan, ends)
    return low, high


@lru_cache(maxsize=2)
def _resamples(seed: int, n: int) -> Array:
    """How often each of n images is drawn in each resample, float64 (R, n).

    The last ones are kept, because most metrics count the same images.
    """
    drawn = numpy_generator(seed, "bootstrap", n).integers(0, n, (RESAMPLES, n))
    drawn += np.arange(RESAMPLES)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=RESAMPLES * n)
    return counts.reshape(RESAMPLES, n).astype(np.float64)


def results_of_sums(
    totals: Array, statistic: Callable[[Array], Array], seed: int, n: int, left_out: int = 0
) -> list[Result]:
    """The S values of a statistic of sums over images, with intervals, as :func:`bootstrap`.

    ``totals`` is float64 (n, M); ``statistic`` maps (R, M) to (R, S). NaN becomes None.
    """
    values = statistic(totals.sum(axis=0, keepdims=True))[0]
    return [
        Result(finite(value), n, left_out, low=finite(low), high=finite(high))
        for value, low, high in zip(values, *bootstrap(totals, statistic, seed), strict=True)
    ]


def mean_result(per_image: Tensor | Array, seed: int) -> Result:
    """The mean of ``per_image`` (n,), NaN marking images that are left out.

    With the 95 % percentile bootstrap interval over the images that count.
    """
    values = torch.as_tensor(per_image).detach().double().cpu().numpy()
    if values.ndim != 1:
        raise ValueError(f"shape {values.shape}: expected one value an image, (n,)")
    if np.isinf(values).any():
        raise ValueError("infinite values: expected finite ones, or NaN for images to leave out")
    counted = values[~np.isnan(values)]
    left_out = len(values) - len(counted)
    if not len(counted):
        return Result(None, 0, left_out)
    mean = float(counted.mean())
    low, high = bootstrap(counted[:, None], lambda sums: sums[:, 0] / len(counted), seed)
    return Result(mean, len(counted), left_out, low=float(low), high=float(high))


def finite(value: float | np.floating[Any]) -> float | None:
    """``value`` as JSON can hold it: None for NaN."""
    return None if math.isnan(value) else float(value)
