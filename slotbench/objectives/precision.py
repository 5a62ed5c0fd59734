"""Losses in single precision."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
HALF = (torch.bfloat16, torch.float16)


def full_precision(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Have a function of tensors compute in float32 where autocast is on.

    Half-precision arguments are widened. That alone is not enough: autocast rounds the factors
    and results of matrix products of float32 too, and a cosine similarity near 1 that is divided
    by a temperature of 0.1 is then 0.04 off.
    """

    @wraps(function)
    def exact(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*map(_widened, args), **kwargs)  # type: ignore[arg-type]

    return exact


def _widened(value: object) -> object:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
