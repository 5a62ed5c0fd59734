"""The command ``report``."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from slotbench.cli import completion
from slotbench.cli.options import DATA, OUT, RESULTS, WHAT, WHERE, DataDir, Device, ResultsDir


def report(
    out: Annotated[
        Path | None,
        Option(help="Folder of the site; none: <results-dir>/report.", rich_help_panel=WHERE),
    ] = None,
    dataset: Annotated[
        str | None,
        Option(
            help="Only this dataset.",
            autocompletion=completion.dataset_references,
            rich_help_panel=WHAT,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        Option(
            help="Only this suite's runs, and its question; a file or a name.",
            autocompletion=completion.suites,
            rich_help_panel=WHAT,
        ),
    ] = None,
    question: Annotated[
        str | None,
        Option(
            help="The question above the answer; none: the suite's, or the project's.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    pictures: Annotated[
        bool,
        Option(help="Draw the same images through every row's first run.", rich_help_panel=WHAT),
    ] = True,
    show: Annotated[
        bool, Option("--open", help="Open it in the browser.", rich_help_panel=OUT)
    ] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Write the leaderboard, its plots and a page a run as a static site."""
    from slotbench import api
    from slotbench.progress import say

    index = api.report(
        out,
        device=device,
        data_dir=data_dir,
        results_dir=results_dir,
        pictures=pictures,
        question=question,
        dataset=dataset,
        suite=suite,
    )
    say("Open it in a browser, or type: slotbench report --open")
    typer.echo(index)
    if show:
        webbrowser.open(index.resolve().as_uri())
