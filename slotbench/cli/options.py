"""Options that several commands share, the panels of their help, and results on stdout."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from slotbench import registry
from slotbench.cli import completion


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option of a panel of the help; ``names`` are its spellings, such as ``--from``."""
    return Option(*names, help=text, rich_help_panel=panel, **more)


what, how = partial(_option, "What"), partial(_option, "How")
where, output = partial(_option, "Where"), partial(_option, "Output")

RunName = Annotated[
    str, Argument(metavar="RUN", help="Directory or id.", autocompletion=completion.runs)
]
DataDir = Annotated[Path, where("Folder of prepared datasets.")]
ResultsDir = Annotated[Path, where("Folder of runs.")]
Json = Annotated[bool, output("Print one JSON document.", "--json")]
Device = Annotated[str, where("auto, cpu, cuda or mps.", metavar="NAME")]
DATA, RESULTS = Path("data"), Path("results")
WHAT, HOW, WHERE, OUT = "What", "How", "Where", "Output"


def known(kind: registry.Kind) -> str:
    """The names of a kind, as help texts list them."""
    return ", ".join(registry.names(kind))


def put(shown: Any) -> None:
    """Print a Rich table or text."""
    from rich.console import Console

    Console().print(shown)


def put_json(document: Any) -> None:
    """Print exactly one JSON document; ValueError where a number is not finite."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
