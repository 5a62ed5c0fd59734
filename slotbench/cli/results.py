"""The commands ``leaderboard`` and ``export``."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from slotbench import registry
from slotbench.cli import completion
from slotbench.cli.options import HOW, OUT, RESULTS, WHAT, Json, ResultsDir
from slotbench.errors import UserError
from slotbench.files import write_whole


def leaderboard(
    dataset: Annotated[
        str | None,
        Option(
            help="Only this dataset.",
            autocompletion=completion.dataset_references,
            rich_help_panel=WHAT,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, Option(help="Columns: keys or beginnings of keys.", rich_help_panel=WHAT)
    ] = None,
    core: Annotated[
        str | None,
        Option(help="Only this core.", autocompletion=completion.cores, rich_help_panel=WHAT),
    ] = None,
    family: Annotated[
        str | None,
        Option(help="reconstruction, self-supervised, control or external.", rich_help_panel=WHAT),
    ] = None,
    scale: Annotated[
        bool,
        Option(
            "--scale",
            help="Show numbers between floor (random: 0) and ceiling (supervised: 1).",
            rich_help_panel=OUT,
        ),
    ] = False,
    ranks: Annotated[
        bool,
        Option(
            "--ranks", help="Show ranks, with ties where intervals overlap.", rich_help_panel=OUT
        ),
    ] = False,
    watch: Annotated[
        bool,
        Option(
            "--watch", help="Show it again while runs go on, until Ctrl-C.", rich_help_panel=HOW
        ),
    ] = False,
    every: Annotated[
        float, Option(help="Seconds from one look to the next, for --watch.", rich_help_panel=HOW)
    ] = 5.0,
    form: Annotated[
        str, Option("--format", help="table, csv, markdown, latex or json.", rich_help_panel=OUT)
    ] = "table",
    as_json: Json = False,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Compare all runs: every seed counts, missing cells stay missing."""
    from slotbench.results.leaderboard import Board
    from slotbench.results.leaderboard import leaderboard as collect

    form = "json" if as_json else form
    forms: dict[str, Callable[[Board], str]] = {
        "csv": Board.to_csv,
        "markdown": Board.to_markdown,
        "latex": Board.to_latex,
        "json": Board.to_json_text,
    }
    if form not in ("table", *forms):
        raise registry.unknown("format", form, ("table", *forms))
    if watch and form != "table":
        raise UserError(f"--watch shows tables; it does not go with --format {form}.")
    if not watch:
        # One answer and out: for 10,000 runs, looking for cycles takes a fifth of the time.
        gc.disable()

    def board() -> Board:
        return collect(
            results_dir,
            dataset=dataset,
            metrics=tuple(metric or ()),
            core=core,
            family=family,
            scale=scale,
            ranks=ranks,
        )

    if form == "table":
        from rich.console import Console

        from slotbench.results.leaderboard.watch import watch as go_on

        if watch:
            return go_on(board, Console(), every=every)
        board().render(Console())
    else:
        typer.echo(forms[form](board()))
    return None


def export(
    form: Annotated[
        str | None,
        Option(
            "--format",
            metavar="csv|parquet",
            help="csv or parquet; none: by the file's name. With --cite: markdown or bibtex.",
            rich_help_panel=OUT,
        ),
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="FILE", help="Write here; none: stdout.", rich_help_panel=OUT)
    ] = None,
    cite: Annotated[
        bool,
        Option("--cite", help="What a paper should say and cite instead.", rich_help_panel=WHAT),
    ] = False,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Every result of every run with its provenance: a row a run and metric."""
    from slotbench import api

    if not cite:
        api.export(form, out, results_dir=results_dir)
        return
    text = api.cite(form or "markdown", results_dir)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, text.encode())
