"""Options, read from the functions of :mod:`slotbench.api`.

A function's signature gives the defaults, its docstring the help. The tables here add what only a
terminal needs: panels of the help, spellings, shell completion. No torch here.
"""

import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import typer
from typer import Argument, Option
from typer.models import ArgumentInfo

from slotbench import registry
from slotbench.errors import UserError
from slotbench.fields import check_shared
from slotbench.files import json_text
from slotbench.progress import plain
from slotbench.registry import Kind

PANELS = {
    "What": "variant source download image_size train val test shifts features features_weights "
    "dataset row core objective alignment teacher split images index ranked properties metrics "
    "family predictions baseline name suite question pictures",
    "Where": "device data_dir results_dir gpus threads checkpoint_every",
    "Output": "out form scale ranks track note",
}
"""Panel of the help -> its options; the others are under "How"."""
COMMON = {
    "run": "Directory or id.",
    "device": "auto, cpu, cuda or mps.",
    "data_dir": "Folder of prepared datasets.",
    "results_dir": "Folder of runs.",
}
"""Help of parameters that many functions share."""
KINDS: dict[str, Kind] = {
    "prepare.name": "datasets",
    "train.dataset": "datasets",
    "core": "cores",
    "objective": "objectives",
    "alignment": "alignments",
    "preset": "presets",
    "track": "trackers",
    "evaluate.metrics": "metrics",
    "suite_run.suite": "suites",
    "suite_status.suite": "suites",
    "suite_run.engine": "engines",
}
"""Parameter -> the kind of names that its help lists."""
Found = list[tuple[str, str]]
_ITEM = re.compile(r"^- ``(\w+)``: (.*(?:\n {2}\S.*)*)", re.MULTILINE)


def completes(names: str) -> Callable[[str], Found]:
    """Completes the names of a kind, or a constant ``module:WORDS``; after a comma, the next."""

    def complete(incomplete: str) -> Found:
        module, _, words = names.partition(":")
        known: Mapping[str, Any]
        if words:
            known = dict.fromkeys(getattr(import_module(f"slotbench.{module}"), words))
        else:
            known = registry.entries(cast(Kind, names))
        head, comma, last = incomplete.rpartition(",")
        return [
            (f"{head}{comma}{name}", getattr(entry, "summary", ""))
            for name, entry in known.items()
            if name.startswith(last)
        ]

    return complete


def references(incomplete: str) -> Found:
    """Datasets, and ``name:variant`` as soon as a colon is typed."""
    name, colon, variant = incomplete.partition(":")
    if not colon:
        return completes("datasets")(incomplete)
    known = registry.entries("datasets")
    variants = known[name].variants if name in known else ()
    return [(f"{name}:{item}", "") for item in variants if item.startswith(variant)]


def verifiable(incomplete: str) -> Found:
    """Runs and datasets, which ``verify`` takes beside bundles."""
    return [*runs(incomplete), *references(incomplete)]


def runs(incomplete: str) -> Found:
    """Runs below ``results``, by their id; a name that no terminal can show is left out."""
    return [
        (path.name, f"{path.parent.name} on {path.parent.parent.name}")
        for path in sorted(Path("results").glob("runs/*/*/*"))
        if path.name.startswith(incomplete) and str(path).isprintable()
    ]


METAVARS = {
    "RUN": "run resume init",
    "RUN...": "runs",
    "FILE|RUN|BUNDLE": "target",
    "STUDY": "study",
    "FILE|NAME": "suite_run.suite suite_status.suite",
    "FILE": "features_weights predictions export.out",
    "FOLDER": "predict.out export_model.out",
    "BUNDLE": "publish.out",
    "PATH": "path",
    "NAME[:VARIANT]": "prepare.name",
    "NAME": "device track",
    "LIST": "shifts",
    "TEACHER": "features",
    "timm:MODEL|RUN": "teacher",
    "all|N": "workers",
    "3,17,40": "index",
    "csv|parquet": "form",
    "N:UNIT": "budget",
    "SECTION.FIELD=VALUE": "set",
    "KEY=VALUE": "option",
}
"""How the help shows a value -> parameters, or ``function.parameter``."""
MORE: dict[str, dict[str, Any]] = {
    **{name: {"autocompletion": runs} for name in ("run", "resume", "init", "runs")},
    "target": {"autocompletion": verifiable},
    "dataset": {"autocompletion": references},
    "report.suite": {"autocompletion": completes("suites")},
    "board.metrics": {"spelling": "--metrics --metric"},
    "prepare.source": {"spelling": "--from"},
    "predict.source": {"spelling": "--source --mask-source"},
    "form": {"spelling": "--format", "autocompletion": completes("results.export:FORMATS")},
    "prepare.name": {"autocompletion": references},
    "device": {"autocompletion": completes("fields:DEVICES")},
    "family": {"autocompletion": completes("results.leaderboard.grouping:FAMILIES")},
    "shifts": {"autocompletion": completes("datasets.shifts.kinds:NAMES")},
}
"""Parameter, or ``function.parameter`` -> arguments of its Typer option."""


def option(function: str, name: str, text: str, default: Any = None, *, place: bool = False) -> Any:
    """The Typer option of a parameter; with ``place`` its argument, which has no ``--name``."""

    def of(table: Any) -> Any:
        return table.get(f"{function}.{name}", table.get(name))

    def group(table: dict[str, str]) -> str | None:
        asked = {name, f"{function}.{name}"}
        return next((title for title, names in table.items() if asked & set(names.split())), None)

    more = {**(of(MORE) or {}), "metavar": group(METAVARS)}
    if kind := of(KINDS):
        text = f"{text.rstrip('.')}. There are: {', '.join(registry.names(kind))}."
        more.setdefault("autocompletion", completes(kind))
    usual = f"--{name.replace('_', '-')}"
    spelling = more.pop("spelling", usual)
    if place:
        return Argument(help=text, **more)
    # Typer adds --no-NAME unless the name is given.
    names = () if spelling == usual and default is not False else spelling.split()
    return Option(*names, help=text, rich_help_panel=group(PANELS) or "How", **more)


def _typed(annotation: Any) -> Any:
    """The type for Typer: the first of a union; a list for an iterable."""
    if get_origin(annotation) in (Union, UnionType):
        members = get_args(annotation)
        first = _typed(members[0])
        return first | None if NoneType in members else first
    if get_origin(annotation) is Iterable:
        return list[_typed(get_args(annotation)[0])]  # type: ignore[misc]
    return annotation


def parameters(function: Callable[..., Any], *, without: Iterable[str] = ()) -> Any:
    """The parameters of an API function as Typer reads them."""
    texts = {name: " ".join(text.split()) for name, text in _ITEM.findall(_doc(function))}
    for each in inspect.signature(function).parameters.values():
        if each.name in without:
            continue
        wanted, default = _typed(each.annotation), each.default
        place = default is each.empty and each.kind is not each.KEYWORD_ONLY and each.name != "out"
        if each.kind is each.VAR_POSITIONAL:
            wanted, default = list[str] | None, None
        text = texts.get(each.name) or COMMON[each.name]
        told = option(function.__name__, each.name, text, default, place=place)
        if get_origin(wanted) is list and isinstance(default, str | tuple):
            default = [default] if isinstance(default, str) else list(default)
        annotation: Any = Annotated[wanted, told]
        yield each.replace(kind=each.KEYWORD_ONLY, default=default, annotation=annotation)


def _doc(function: Callable[..., Any]) -> str:
    return inspect.getdoc(function) or ""


def command(
    app: typer.Typer, function: Callable[..., Any], *, name: str = "", without: Iterable[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: a command with the options of an API function and those of the decorated one.

    Options that were not given are not passed on. ``without`` names parameters that the command
    does not have.
    """

    def add(body: Callable[..., None]) -> Callable[..., None]:
        def called(context: typer.Context, **given: Any) -> None:
            told = {key: value for key, value in given.items() if value is not None}
            if context.args:
                raise _too_many(context, [key for key in told if key in places], told)
            check_shared(told)
            body(**told)

        own = [
            each.replace(kind=each.KEYWORD_ONLY)
            for each in inspect.signature(body).parameters.values()
            if each.kind is not each.VAR_KEYWORD
        ]
        every = [*parameters(function, without={*without, *(each.name for each in own)}), *own]
        places = [
            each.name for each in every if isinstance(each.annotation.__metadata__[0], ArgumentInfo)
        ]
        context = inspect.signature(called).parameters["context"]
        called.__signature__ = inspect.Signature([context, *every])  # type: ignore[attr-defined]
        called.__annotations__ = {}
        text = inspect.cleandoc(body.__doc__ or _doc(function))
        text = text.partition("\n- ``")[0].replace("``", "").strip()
        # Typer keeps line breaks; the terminal's width decides where lines end.
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
        title = name or function.__name__.replace("_", "-")
        app.command(title, help=text, context_settings={"allow_extra_args": True})(called)
        return body

    return add


def _too_many(context: typer.Context, places: list[str], told: dict[str, Any]) -> UserError:
    path, extra = context.command_path, shlex.join(context.args)
    takes = f"takes {' and '.join(places).upper()}" if places else "takes no argument"
    typed = shlex.join([*path.split(), *(str(told[name]) for name in places)])
    return UserError(
        f"{path} {takes}, and got {extra!r} besides.",
        f"Type: {typed}\nAll else is an option with a name: {path} --help",
    )


def _own(panel: str, text: str, *names: str, **more: Any) -> Any:
    return Option(*names, help=text, rich_help_panel=panel, **more)


what, how, output = (partial(_own, panel) for panel in ("What", "How", "Output"))
Json = Annotated[bool, output("Print one JSON document.", "--json")]


def put(shown: Any) -> None:
    """Print a Rich table or text."""
    from rich.console import Console

    Console().print(shown)


def put_json(document: Any) -> None:
    """Print exactly one JSON document; ValueError where a number is not finite."""
    typer.echo(json_text(document))


def put_path(path: object) -> None:
    """Print a path: to a terminal without control characters, else with the bytes of its name."""
    if sys.stdout.isatty():
        typer.echo(plain(str(path)))
    else:
        typer.echo(os.fsencode(str(path)))
