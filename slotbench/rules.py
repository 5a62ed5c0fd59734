"""What a class that a plugin registers must say of itself, and what it must inherit.

The registry imports this when a plugin or a package registers a class, so that training with
slotbench's own classes does not. A test checks those.
"""

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen, Predicate
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

from slotbench.errors import UserError

FAMILIES = ("reconstruction", "self-supervised", "control")
LONGEST = 64
"""Letters of a name, which is a part of file names."""


def _is_family(name: str) -> bool:
    """Whether it is a family of the verdict, or no misspelling of one, which would leave it."""
    return name in FAMILIES or not difflib.get_close_matches(name, FAMILIES, cutoff=0.8)


def _is_config(value: type) -> bool:
    """Whether it is a frozen dataclass with defaults, and no field named as one of config.json."""
    made = vars(value).get("__dataclass_params__")  # an undecorated subclass would lose its fields
    return bool(made and made.frozen) and all(
        (not item.init or (item.default, item.default_factory) != (MISSING, MISSING))
        and item.name not in ("name", "alignment")
        for item in fields(value)
    )


def _is_part(text: str) -> bool:
    """Whether it may be a part of file names, and stand after a colon."""
    return text.isprintable() and text[:1] not in ("", ".") and not set(text) & set("/\\:")


_Name = Annotated[str, StringConstraints(max_length=LONGEST, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
_Line = Annotated[str, Predicate(str.isprintable), Predicate(str.strip)]
_Texts = tuple[Annotated[str, MinLen(1)], ...]
_Parts = Annotated[tuple[Annotated[str, Predicate(_is_part)], ...], MinLen(1)]
_Sizes = dict[str, Annotated[int, Gt(0)]]
_Better = Literal[-1, 0, 1]
_LETTERS = f"at most {LONGEST} small letters, digits and single hyphens"
_RULES: dict[str, tuple[Any, str, str]] = {
    "name": (_Name, _LETTERS, 'name = "my-name"'),
    "family": (
        Annotated[_Name, Predicate(_is_family)],
        f"{', '.join(FAMILIES)}, or a name unlike these, of {_LETTERS}",
        'family = "self-supervised"',
    ),
    "summary": (_Line, "one line of text", 'summary = "..."'),
    "source": (_Line, "one line of text", 'source = "..."'),
    "licence": (_Line, "one line of text", 'licence = "CC0"'),
    "variants": (_Parts, "a tuple of names that files may have", 'variants = ("default",)'),
    "sizes": (
        Annotated[
            _Sizes, Predicate(lambda sizes: not sizes or {"train", "val", "test"} <= sizes.keys())
        ],
        "images of train, val and test",
        'sizes = {"train": 100, "val": 9, ...}',
    ),
    "Config": (
        Annotated[type, Predicate(_is_config)],
        "a frozen dataclass whose fields have defaults and other names than 'name' and 'alignment'",
        "Config = MyConfig, a class that inherits Options, below @dataclass(frozen=True)",
    ),
    "keys": (Annotated[_Texts, MinLen(1)], "a tuple of patterns", 'keys = ("my-metric/*",)'),
    "version": (Annotated[int, Gt(0)], "a whole number from 1", "version = 1"),
    "views": (Annotated[int, Ge(0)], "a whole number from 0", "views = 2"),
    "reads": (_Texts, "a tuple of keys", 'reads = ("mask",)'),
    "needs": (_Texts, "a tuple of arrays", 'needs = ("slots",)'),
    "trains": (_Texts, "a tuple of arrays", 'trains = ("slots",)'),
    "shown": (_Texts, "a tuple of keys", 'shown = ("a",)'),
    "compared": (_Texts, "a tuple of keys", 'compared = ("a",)'),
    "directions": (
        dict[str, _Better],
        "patterns with 1, -1 or 0",
        'directions = {"my-metric/error": -1}',
    ),
    "ranges": (
        dict[str, tuple[float | None, float | None]],
        "patterns with two numbers or None",
        'ranges = {"a/*": (0, None)}',
    ),
    "better": (_Better, "1 (higher is better), -1 (lower) or 0 (neither)", "better = 1"),
}
"""Class attribute -> the type of its value, what is expected, and an example."""
_MODULE = "torch.nn.modules.module:Module"
_BASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "datasets": ("slotbench.datasets.dataset:Dataset", ("variants", "licence", "sizes")),
    "cores": ("slotbench.cores.core:Core", ("Config",)),
    "objectives": ("slotbench.objectives.objective:Objective", ("Config", "views", "reads")),
    "alignments": ("slotbench.objectives.alignment:Alignment", ()),
    "encoders": (_MODULE, ("Config",)),
    "decoders": (_MODULE, ("Config",)),
    "metrics": (
        "slotbench.evaluation.metric:Metric",
        (
            "version",
            "better",
            "directions",
            "ranges",
            "keys",
            "shown",
            "compared",
            "needs",
            "trains",
        ),
    ),
    "engines": ("slotbench.suites.engines:Engine", ()),
    "trackers": ("slotbench.tracking.tracker:Tracker", ()),
}
"""Kind -> the address of its base class, and the class attributes that are checked."""
_GIVEN: dict[str, tuple[str, ...]] = {
    "datasets": ("variant", "image_size", "seed"),
    **dict.fromkeys(("alignments", "metrics", "presets", "suites"), ()),
    "engines": ("settings",),
    "trackers": ("run",),
}
"""Kind -> what its classes or functions are called with; other kinds are checked when built."""


@cache
def _rule(attribute: str) -> TypeAdapter[Any]:
    return TypeAdapter(_RULES[attribute][0], config=ConfigDict(strict=True, allow_inf_nan=False))


def check_texts(kind: str, label: str, own: Mapping[str, Any]) -> None:
    """:class:`UserError` where a name, summary, source or family is missing or cannot be used."""
    _check(label, own, ("name", "summary", "source", *(["family"] if kind == "objectives" else [])))


def check_class(kind: str, label: str, own: Mapping[str, Any], thing: Any) -> None:
    """:class:`UserError` where a class or function cannot be used as its kind is."""
    if kind in _BASES:
        _check_members(kind, label, own, thing)
    if kind in _GIVEN:
        what = "__init__" if isinstance(thing, type) else "it"
        _check_takes(f"{label}: {what}", thing, _GIVEN[kind])


def _check_members(kind: str, label: str, own: Mapping[str, Any], thing: Any) -> None:
    """:class:`UserError` where a class lacks its kind's base, an attribute or a method."""
    base, attributes = _BASES[kind]
    bases = getattr(thing, "__mro__", ())[1:]  # a function has none
    if base not in [f"{each.__module__}:{each.__qualname__}" for each in bases]:
        module, _, name = base.partition(":")
        said = f"{label}: expected a class that inherits {name}."
        raise UserError(said, f"Write: from {module} import {name}")
    own = {**{each: getattr(thing, each, None) for each in attributes}, **own}
    _check(label, own, attributes)
    if lacking := sorted(getattr(thing, "__abstractmethods__", ())):
        raise UserError(f"{label}: the class has no {' and no '.join(lacking)}.", "Write it.")
    _check_methods(label, thing, bases)


def _check_methods(label: str, thing: type, bases: Sequence[type]) -> None:
    """:class:`UserError` names a public method that takes other parameters than its base's."""
    for name, method in vars(thing).items():
        wanted = next((vars(each)[name] for each in bases if name in vars(each)), None)
        if name.startswith("_") or not (inspect.isfunction(method) and inspect.isfunction(wanted)):
            continue
        given = inspect.signature(wanted).parameters
        # The base, such as nn.Module.forward, may leave it open.
        if not any(each.kind == each.VAR_POSITIONAL for each in given.values()):
            _check_takes(f"{label}: {name}", method, tuple(given))


def _check_takes(label: str, called: Any, given: tuple[str, ...]) -> None:
    """:class:`UserError` where a class or function cannot be called with these arguments."""
    takes = inspect.signature(called)
    try:
        takes.bind(*given)
    except TypeError:
        said = f"{label} takes ({', '.join(takes.parameters)}), expected ({', '.join(given)})."
        made = isinstance(called, type)
        words = ", ".join(("self", *given) if made else given)
        name = "__init__" if made else called.__name__
        raise UserError(said, f"Write: def {name}({words})") from None


def _check(label: str, own: Mapping[str, Any], attributes: Iterable[str]) -> None:
    """:class:`UserError` names the class attribute that is missing or cannot be used."""
    for attribute in attributes:
        value = own.get(attribute)
        _, expected, example = _RULES[attribute]
        try:
            _rule(attribute).validate_python(value)
        except ValidationError:
            said = "is missing" if value is None else f"is {value!r}"
            raise UserError(
                f"{label}: the class attribute {attribute!r} {said}; expected {expected}.",
                f"Write: {example}",
            ) from None
