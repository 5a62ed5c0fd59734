"""Results on stdout: tables for people, one JSON document for programs."""

import json
from typing import Any

import typer


def put(shown: Any) -> None:
    """Print a Rich table or text."""
    from rich.console import Console

    Console().print(shown)


def put_json(document: Any) -> None:
    """Print exactly one JSON document; ValueError where a number is not finite."""
    typer.echo(to_json(document))


def to_json(document: Any) -> str:
    return json.dumps(document, indent=2, allow_nan=False)
