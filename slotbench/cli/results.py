"""The commands ``leaderboard`` and ``export``."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from slotbench import registry
from slotbench.cli import completion
from slotbench.cli.options import RESULTS, Json, ResultsDir, how, output, what
from slotbench.errors import UserError
from slotbench.files import write_whole


def leaderboard(
    dataset: Annotated[
        str | None, what("Only this dataset.", autocompletion=completion.dataset_references)
    ] = None,
    metric: Annotated[
        list[str] | None, what("Columns: keys or their beginnings, with commas.")
    ] = None,
    core: Annotated[str | None, what("Only this core.", autocompletion=completion.cores)] = None,
    family: Annotated[
        str | None, what("reconstruction, self-supervised, control or external.")
    ] = None,
    scale: Annotated[
        bool,
        output("Show numbers between floor (random: 0) and ceiling (supervised: 1).", "--scale"),
    ] = False,
    ranks: Annotated[
        bool, output("Show ranks, with ties where intervals overlap.", "--ranks")
    ] = False,
    watch: Annotated[bool, how("Show it again while runs go on, until Ctrl-C.", "--watch")] = False,
    every: Annotated[float, how("Seconds from one look to the next, for --watch.")] = 5.0,
    form: Annotated[str, output("table, csv, markdown, latex or json.", "--format")] = "table",
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
        output(
            "csv or parquet; none: by the file's name. --cite: markdown, bibtex.",
            "--format",
            metavar="csv|parquet",
        ),
    ] = None,
    out: Annotated[Path | None, output("Write here; none: stdout.", metavar="FILE")] = None,
    cite: Annotated[bool, what("What a paper should say and cite instead.", "--cite")] = False,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Every result of every run with its provenance: a row a run and metric."""
    from slotbench import api

    if not cite:
        api.export(form, out, results_dir=results_dir)
        return
    text = api.cite(form or "markdown", results_dir)
    if out is None or out == Path("-"):
        typer.echo(text, nl=False)
    else:
        write_whole(out, text.encode())
