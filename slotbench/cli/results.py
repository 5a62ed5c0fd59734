"""The commands ``leaderboard``, ``export``, ``report``, ``publish`` and ``verify``."""

import gc
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Argument

from slotbench import registry
from slotbench.cli import completion
from slotbench.cli.options import (
    DATA,
    RESULTS,
    DataDir,
    Device,
    Json,
    ResultsDir,
    how,
    output,
    put,
    put_json,
    what,
    where,
)
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import write_whole
from slotbench.progress import plain, say

FORMS = ("table", "csv", "markdown", "latex", "json")
"""What ``leaderboard --format`` takes."""


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
    wide: Annotated[bool, output("Show every column, note and comparison.", "--wide")] = False,
    everything: Annotated[
        bool, output("Show every row, not the first 25: own ones, then the best.", "--all")
    ] = False,
    watch: Annotated[bool, how("Show it again while runs go on, until Ctrl-C.", "--watch")] = False,
    every: Annotated[float, how("Seconds from one look to the next, for --watch.")] = 5.0,
    form: Annotated[str, output("table, csv, markdown, latex or json.", "--format")] = "table",
    as_json: Json = False,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Compare all runs: every seed counts, missing cells stay missing."""
    form = "json" if as_json else form
    if form not in FORMS:
        raise registry.unknown("format", form, FORMS)
    if watch and form != "table":
        raise UserError(f"--watch shows tables; it does not go with --format {form}.")
    filters: dict[str, Any] = {
        "dataset": dataset,
        "metrics": tuple(metric or ()),
        "core": core,
        "family": family,
        "scale": scale,
        "ranks": ranks,
    }
    views = {"wide": wide, "everything": everything}
    if watch:
        from slotbench import api
        from slotbench.results.leaderboard.watch import watch as go_on

        go_on(
            lambda: api.board(results_dir, **filters),
            Console(),
            every=every,
            wide=wide,
            everything=everything,
        )
        return
    # One answer and out: for 10,000 runs, looking for cycles takes a fifth of the time.
    gc.disable()
    typer.echo(_page(results_dir, form, filters, views), nl=form != "table")


def _page(results_dir: Path, form: str, filters: dict[str, Any], views: dict[str, bool]) -> str:
    """What ``slotbench leaderboard`` prints."""
    from slotbench.results import kept

    console = Console()
    look = (console.width, console.is_terminal, console.no_color, console.color_system)
    key = kept.page_key(results_dir, (form, filters, views, look))
    page = kept.recall(key)
    if not page:
        from slotbench import api
        from slotbench.results.leaderboard import Board
        from slotbench.results.leaderboard.terminal import to_text

        forms: dict[str, Callable[[Board], str]] = {
            "csv": Board.to_csv,
            "markdown": Board.to_markdown,
            "latex": Board.to_latex,
            "json": Board.to_json_text,
            "table": lambda board: to_text(board, console, **views),
        }
        board = api.board(results_dir, **filters)
        page = forms[form](board)
        # Whether a run still goes on is told by more than its files; a dataset has files too.
        if not board.running and not str(filters["dataset"]).endswith(".h5"):
            kept.keep(key, page)
    return page


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


def publish(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ],
    out: Annotated[
        Path, output("A folder or .zip to write; .json: records without weights.", metavar="BUNDLE")
    ],
    force: Annotated[bool, how("Replace a bundle that is there.", "--force")] = False,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Finished runs with their weights and a sha256 of every file, for others to verify."""
    from slotbench import api

    facts = api.publish(runs, out, force=force, results_dir=results_dir)
    if as_json:
        put_json({"schema": 1, **facts})
        return
    if facts["weights"]:
        say(f"Whoever has it can type: slotbench verify {out}")
    typer.echo(out)


def verify(
    target: Annotated[
        str,
        Argument(
            metavar="FILE|RUN|BUNDLE",
            help="A prepared dataset, a run or a results bundle.",
            autocompletion=completion.runs,
        ),
    ],
    against: Annotated[
        Path | None, how("Another prepared file: compare recipe and fingerprint.")
    ] = None,
    recompute: Annotated[bool, how("Compute a bundle's numbers again from its weights.")] = True,
    tolerance: Annotated[float, how("How far a number of a bundle may move.")] = 0.01,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Check that a dataset, a run or a bundle is whole and is what it says it is.

    Of a dataset, recipe and fingerprint are compared with those of the published runs. Rendered
    data of one recipe count as the same; the fingerprint says whether every byte is.

    Of a bundle, every hash is checked and every number is computed again where its dataset is
    prepared; the digits that moved are shown. A bundle that is not as it was published is an
    error (exit code 2), numbers that moved further than allowed are a failure (1).
    """
    from slotbench import api

    facts = api.verify(
        target,
        against=against,
        recompute=recompute,
        tolerance=tolerance,
        device=device,
        data_dir=data_dir,
        results_dir=results_dir,
    )
    if as_json:
        put_json(facts)
    elif "bundle" in facts:
        from slotbench.cli.bundle_table import bundle_table

        for shown in bundle_table(facts):
            put(shown)
    else:
        for key, value in facts.items():
            typer.echo(plain(f"{key}: {value}"))
    if "bundle" in facts:
        _judge_bundle(facts, tolerance)


def _judge_bundle(facts: dict[str, Any], tolerance: float) -> None:
    path = facts["bundle"]
    if facts["hashes"]["wrong"]:
        raise UserError(
            f"{path} is not as it was published.", "Ask for it anew; use nothing of it."
        )
    if facts["contradicted"]:
        raise SlotbenchError(
            f"{facts['contradicted']} numbers of {path} are contradicted.",
            f"Or allow them to move further: --tolerance {2 * tolerance:g}",
        )
    if not facts["ok"]:
        raise SlotbenchError(
            f"{path} is not verified: {facts['unverified'][0]}"
            + (f" ({len(facts['unverified']) - 1} more)" if len(facts["unverified"]) > 1 else ""),
            "To check the hashes alone, add --no-recompute.",
        )


def report(
    out: Annotated[Path | None, where("Folder of the site; none: <results-dir>/report.")] = None,
    dataset: Annotated[
        str | None, what("Only this dataset.", autocompletion=completion.dataset_references)
    ] = None,
    suite: Annotated[
        str | None,
        what(
            "Only this suite's runs, and its question; a file or a name.",
            autocompletion=completion.suites,
        ),
    ] = None,
    question: Annotated[
        str | None, what("The question above the answer; none: the suite's, or the project's.")
    ] = None,
    pictures: Annotated[bool, what("Draw the same images through every row's first run.")] = True,
    show: Annotated[bool, output("Open it in the browser.", "--open")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Write the leaderboard, its plots and a page a run as a static site."""
    from slotbench import api
    from slotbench.progress import say

    if not pictures:  # as above; models, though, are to be freed
        gc.disable()
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
