"""Commands on results: compare, export, publish, verify. Thin, as in :mod:`slotbench.cli`."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from slotbench import completion, registry
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import write_whole
from slotbench.output import put, put_json

app = typer.Typer()
WHAT, HOW, WHERE, OUT = "What", "How", "Where", "Output"

DataDir = Annotated[Path, Option(help="Folder of prepared datasets.", rich_help_panel=WHERE)]
ResultsDir = Annotated[Path, Option(help="Folder of runs.", rich_help_panel=WHERE)]
Json = Annotated[bool, Option("--json", help="Print one JSON document.", rich_help_panel=OUT)]
DATA, RESULTS = Path("data"), Path("results")


@app.command()
def leaderboard(
    dataset: Annotated[
        str | None,
        Option(
            help="Only this dataset.", autocompletion=completion.dataset_references,
            rich_help_panel=WHAT,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        Option(help="Columns: keys or beginnings of keys.", rich_help_panel=WHAT),
    ] = None,
    core: Annotated[
        str | None,
        Option(help="Only this core.", autocompletion=completion.cores, rich_help_panel=WHAT),
    ] = None,
    family: Annotated[
        str | None,
        Option(
            help="reconstruction, self-supervised, control or external.", rich_help_panel=WHAT
        ),
    ] = None,
    scale: Annotated[
        bool,
        Option(
            "--scale", help="Show numbers between floor (random: 0) and ceiling (supervised: 1).",
            rich_help_panel=OUT,
        ),
    ] = False,
    ranks: Annotated[
        bool,
        Option("--ranks", help="Show ranks, with ties where intervals overlap.",
               rich_help_panel=OUT),
    ] = False,
    watch: Annotated[
        bool,
        Option("--watch", help="Show it again while runs go on, until Ctrl-C.",
               rich_help_panel=HOW),
    ] = False,
    every: Annotated[
        float, Option(help="Seconds from one look to the next, for --watch.", rich_help_panel=HOW)
    ] = 5.0,
    form: Annotated[
        str, Option("--format", help="table, csv, markdown, latex or json.", rich_help_panel=OUT)
    ] = "table",
    as_json: Json = False,
    results_dir: ResultsDir = RESULTS,
) -> None:  # fmt: skip
    """Compare all runs: every seed counts, missing cells stay missing."""
    from slotbench.leaderboard import Board, Index
    from slotbench.leaderboard import leaderboard as collect

    form = "json" if as_json else form
    forms: dict[str, Callable[[Board], str]] = {
        "csv": Board.to_csv, "markdown": Board.to_markdown, "latex": Board.to_latex,
        "json": Board.to_json_text,
    }  # fmt: skip
    if form not in ("table", *forms):
        raise registry.unknown("format", form, ("table", *forms))
    if watch and form != "table":
        raise UserError(f"--watch shows tables; it does not go with --format {form}.")
    if not watch:
        # One answer and out: for 10,000 runs, looking for cycles takes a fifth of the time.
        gc.disable()
    index = Index(results_dir)

    def board() -> Board:
        return collect(
            results_dir, dataset=dataset, metrics=tuple(metric or ()), core=core, family=family,
            scale=scale, ranks=ranks, index=index,
        )  # fmt: skip

    if form == "table":
        from rich.console import Console

        from slotbench.leaderboard.watch import watch as go_on

        if watch:
            return go_on(board, Console(), every=every)
        board().render(Console())
    else:
        typer.echo(forms[form](board()))
    return index.save()


@app.command()
def export(
    form: Annotated[
        str | None,
        Option(
            "--format", metavar="csv|parquet",
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
) -> None:  # fmt: skip
    """Every result of every run with its provenance: a row a run and metric."""
    from slotbench import export as exporting
    from slotbench.progress import say

    if cite:
        text = _citation(form or "markdown", results_dir)
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_whole(out, text.encode())
        return
    form = exporting.form_of(out, form)
    rows = list(exporting.results(results_dir))
    if not rows:
        raise UserError(f"No results in {results_dir}.", "Type: slotbench train")
    written = exporting.export(rows, form, out)
    if out is not None:
        say(f"{written:,} rows of {len({row['run'] for row in rows}):,} runs: {out}")


def _citation(form: str, results_dir: Path) -> str:
    from slotbench import citations
    from slotbench.export import results
    from slotbench.leaderboard import leaderboard as collect

    if form not in ("markdown", "bibtex"):
        raise registry.unknown("format of --cite", form, ("markdown", "bibtex"))
    board = collect(results_dir)
    rows = list(results(results_dir))
    if form == "bibtex":
        return citations.to_bibtex(rows)
    return citations.to_markdown(rows, board.verdict.sentence)


@app.command()
def publish(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ],
    out: Annotated[
        Path,
        Option(
            metavar="BUNDLE", rich_help_panel=OUT,
            help="A folder or .zip to write; .json: records without weights, for "
            "results/published.",
        ),
    ],
    force: Annotated[
        bool, Option("--force", help="Replace a bundle that is there.", rich_help_panel=HOW)
    ] = False,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Finished runs with their weights and a sha256 of every file, for others to verify."""
    from slotbench.publish import publish as write
    from slotbench.runs import find

    facts = write([find(run, results_dir) for run in runs], out, force=force)
    if as_json:
        put_json({"schema": 1, **facts})
        return
    from slotbench.progress import say

    if facts["weights"]:
        say(f"Whoever has it can type: slotbench verify {out}")
    typer.echo(out)


@app.command()
def verify(
    target: Annotated[
        str,
        Argument(
            metavar="FILE|RUN|BUNDLE", help="A prepared dataset, a run or a results bundle.",
            autocompletion=completion.runs,
        ),
    ],
    recompute: Annotated[
        bool,
        Option(help="Compute a bundle's numbers again from its weights.", rich_help_panel=HOW),
    ] = True,
    tolerance: Annotated[
        float, Option(help="How far a number of a bundle may move.", rich_help_panel=HOW)
    ] = 0.01,
    device: Annotated[
        str,
        Option(help="auto, cpu, cuda or mps, for bundles.", metavar="NAME", rich_help_panel=WHERE),
    ] = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Check that a dataset, a run or a bundle is whole and is what it says it is.

    Of a bundle, every hash is checked and every number is computed again where its dataset is
    prepared; the digits that moved are shown. A bundle that is not as it was published is an
    error (exit code 2), numbers that moved further than allowed are a failure (1).
    """
    from slotbench.bundles import is_bundle

    path = Path(target)
    if is_bundle(path):
        from slotbench.progress import say
        from slotbench.recompute import verify_bundle
        from slotbench.report.bundle_table import bundle_table

        facts = verify_bundle(
            path, data_dir, device, recompute=recompute, tolerance=tolerance, say=say
        )
        if as_json:
            put_json(facts)
        else:
            for shown in bundle_table(facts):
                put(shown)
        if facts["hashes"]["wrong"]:
            raise UserError(
                f"{path} is not as it was published.", "Ask for it anew; use nothing of it."
            )
        if not facts["ok"]:
            raise SlotbenchError(
                f"{facts['contradicted']} numbers of {path} are contradicted.",
                f"Or allow them to move further: --tolerance {2 * tolerance:g}",
            )
        return
    from slotbench import verify as check

    if path.is_file() or target.endswith(".h5"):
        facts = check.dataset(path)
    else:
        facts = check.run(target, results_dir)
    if as_json:
        put_json(facts)
    else:
        for key, value in facts.items():
            typer.echo(f"{key}: {value}")
