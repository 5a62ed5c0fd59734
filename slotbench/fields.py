"""Fields of a configuration and arguments of functions: annotations say which values they take.

A section is a frozen dataclass that inherits :class:`Options`. ``temperature: Positive = 0.1``
refuses 0, NaN and text at construction.
"""

import inspect
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, wraps
from numbers import Integral, Real
from operator import index
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, ForwardRef, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval
from pydantic import ConfigDict, TypeAdapter, ValidationError

from slotbench.errors import UserError
from slotbench.registry import Thing, unknown

DEVICES = ("auto", "cpu", "cuda", "mps")
LARGEST = 10**9
"""Largest number a field may have."""
Count = Annotated[int, Interval(ge=1, le=2**16)]
"""A width, depth or number of things in a model."""
Steps = Annotated[int, Interval(ge=1, le=LARGEST)]
Whole = Annotated[int, Interval(ge=0, le=LARGEST)]
"""A whole number of at least 0."""
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Span:
    """Numbers from ``low`` to ``high`` that tuning tries, evenly or on a log scale."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Span | tuple[str, ...]]
"""Field of a section -> what tuning tries: a span of numbers, or values as ``--set`` takes them.

A section declares its own as the class attribute ``space``.
"""


@dataclass(frozen=True)
class Options:
    """Base of every section, which checks its values against its annotations.

    ValueError names the first field that does not fit, and what was expected. Relations between
    fields are checked in a section's own ``__post_init__``, which calls this one.
    """

    space: ClassVar[Space] = {}
    """The space of ``slotbench tune``."""
    later: ClassVar[tuple[str, ...]] = ()
    """Fields added after a release. ``config.json`` omits them at their defaults, so that earlier
    runs keep their ids."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            section: Any = type(self)
            try:
                _adapter(section, item.name).validate_python(value)
            except ValidationError as error:
                raise ValueError(f"{item.name}={value!r}: {_why(error)}") from None
            if isinstance(value, int | float) and abs(value) > LARGEST:
                raise ValueError(f"{item.name}={value!r}: expected at most {LARGEST:,}")


def written(options: Any) -> dict[str, Any]:
    """The fields of a section as ``config.json`` holds them."""
    later = {name for kind in type(options).__mro__ for name in vars(kind).get("later", ())}
    unset = {item.name for item in fields(options) if getattr(options, item.name) == item.default}
    return {key: value for key, value in asdict(options).items() if key not in later & unset}


def number(text: str) -> float:
    """A number as people write it; ValueError for others that Python reads: ``1_0``, ``٣``."""
    if not text.isascii() or "_" in text:
        raise ValueError(text)
    return float(text)


Names = Iterable[str] | str
"""Names or numbers as a user types them: one text, or several; commas stand between, too."""
Workers = str | int | None


def listed(given: Iterable[str | int] | str | int) -> tuple[str, ...]:
    """The names in one text or in several; commas separate them, too."""
    several = (given,) if isinstance(given, str | int) else given
    return tuple(
        name for each in several for part in str(each).split(",") if (name := part.strip())
    )


def workers(given: Workers) -> int | None:
    """How many processes ``--workers`` asks for; None for ``all``."""
    if given in (None, "all"):
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", str(given)):
        raise UserError(f"--workers {given}: expected all, or 1 to 9,999.")
    return int(given)


def text_of(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(text_of, value))
    return str(value).lower() if isinstance(value, bool | None) else str(value)


@dataclass(frozen=True)
class NoOptions(Options):
    """The section of a component without options."""


@cache
def _adapter(section: Any, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(section, include_extras=True)[name], config=_STRICT)


def _why(error: ValidationError) -> str:
    """The expected values, in slotbench's words."""
    wanted = dict.fromkeys(
        part["msg"].removeprefix("Input should be ").removeprefix("a valid ")
        for part in error.errors(include_url=False, include_context=False, include_input=False)
        if part["type"] != "none_required"
    )
    return f"expected {' or '.join(wanted)}"


_KINDS: Mapping[Any, tuple[type, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "a text"),
    Path: (os.PathLike, "a path"),
    Mapping: (Mapping, "a dictionary"),
    NoneType: (NoneType, "None"),
}
"""Type in a signature -> the type of its values, and our words for it."""


def checked(function: Thing) -> Thing:
    """The function; values of other types than its signature's are a :class:`UserError`.

    Whole numbers of NumPy become Python's own.
    """
    known = inspect.signature(function)

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            bound = known.bind(*given, **named)
        except TypeError as error:
            for name in named.keys() - known.parameters.keys():
                raise unknown(f"argument of {function.__name__}", name, known.parameters) from error
            raise UserError(f"{function.__name__}(): {error}.") from error
        for name, value in bound.arguments.items():
            place = known.parameters[name]
            wanted = Any if place.kind is place.VAR_KEYWORD else place.annotation
            each = value if place.kind is place.VAR_POSITIONAL else [value]
            for words in filter(None, (_lacks(one, wanted) for one in each)):
                said = f"{function.__name__}({name}={reprlib.repr(value)})"
                raise UserError(f"{said}: expected {' or '.join(dict.fromkeys(words))}.")
            if type(value) is not bool and isinstance(value, Integral):
                bound.arguments[name] = index(value)
        check_shared(bound.arguments)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


def check_seed(seed: int) -> None:
    """:class:`UserError` where it is no seed."""
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed {seed}: expected 0 to 2^63 - 1.")


def check_shared(given: Mapping[str, Any]) -> None:
    """:class:`UserError` for a value of ``seed``, ``device`` or a folder that no function takes."""
    check_seed(given.get("seed") or 0)
    if (device := given.get("device", "auto")) not in DEVICES:
        raise unknown("device", device, DEVICES)
    for name in ("data_dir", "results_dir"):
        if os.path.lexists(place := given.get(name, ".")) and not Path(place).is_dir():
            option = f"--{name.replace('_', '-')} {place}"
            raise UserError(f"{option}: this is no folder.", "Name a folder; a new one is made.")


def _lacks(value: Any, wanted: Any) -> list[str]:
    """What a signature takes, in words; nothing where the value is of that type."""
    kind = get_origin(wanted) or wanted
    if kind in (Union, UnionType):
        words = [_lacks(value, each) for each in get_args(wanted)]
        return [] if [] in words else [word for some in words for word in some]
    if kind is Iterable:
        if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
            return ["a list"]
        items = value if isinstance(value, list | tuple) else ()
        return next(filter(None, (_lacks(item, *get_args(wanted)) for item in items)), [])
    if isinstance(wanted, ForwardRef):  # a class that is not imported here
        name = wanted.__forward_arg__
        return [] if type(value).__name__ == name else [f"a {name}"]
    of, word = _KINDS.get(kind, (object, ""))
    wrong = type(value) is bool and of in (Integral, Real)
    return [] if isinstance(value, of) and not wrong else [word]
