"""Options that several commands share, and the panels of their help."""

from pathlib import Path
from typing import Annotated

from typer import Option

from slotbench import registry

WHAT, HOW, WHERE, OUT = "What", "How", "Where", "Output"

DataDir = Annotated[Path, Option(help="Folder of prepared datasets.", rich_help_panel=WHERE)]
ResultsDir = Annotated[Path, Option(help="Folder of runs.", rich_help_panel=WHERE)]
Json = Annotated[bool, Option("--json", help="Print one JSON document.", rich_help_panel=OUT)]
Device = Annotated[
    str, Option(help="auto, cpu, cuda or mps.", metavar="NAME", rich_help_panel=WHERE)
]
DATA, RESULTS = Path("data"), Path("results")


def known(kind: registry.Kind) -> str:
    """The names of a kind, as help texts list them."""
    return ", ".join(registry.names(kind))
