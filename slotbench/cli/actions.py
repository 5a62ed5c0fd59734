"""The commands: one thin function each, which calls the API and prints the result.

:func:`slotbench.cli.options.command` reads their options from the API; options that only a
terminal needs stand here. Torch is imported inside the functions.
"""

import gc
import shlex
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument

from slotbench import api, registry
from slotbench.cli.options import (
    Json,
    command,
    completes,
    how,
    output,
    put,
    put_json,
    put_path,
    what,
)
from slotbench.datasets.format.places import is_file
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import check_ending, typed, write_whole
from slotbench.progress import counted, plain, say

FORMS = ("table", "csv", "markdown", "latex", "json")
"""Values of ``leaderboard --format``."""
_FORMS = completes("cli.actions:FORMS")
EVERY = 5.0
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train any slot core with any objective, and judge them all alike.",
    epilog="Start with: slotbench prepare clevr",
)


@command(app, api.prepare)
def prepare(**options: Any) -> None:
    put_path(api.prepare(**options))


@command(app, api.train)
def train(**options: Any) -> None:
    run = api.train(**options)
    from slotbench.training.distributed import first_rank

    if first_rank():
        put_path(run.path)


@command(app, api.tune)
def tune(as_json: Json = False, **options: Any) -> None:
    found = api.tune(**options)
    if as_json:
        return put_json({"schema": 1, "contestants": found})
    for name, facts in found.items():
        lines = [f"  {key}: {_told(value)}" for key, value in facts.items()]
        typer.echo("\n".join([name, *lines]))
    return None


@command(app, api.speedrun)
def speedrun(
    board: Annotated[Path | None, output("Add the row to this file too.")] = None, **options: Any
) -> None:
    from slotbench.suites.speedrun import add_row, read_board

    if board is not None:
        read_board(board)  # not after minutes
    row = api.speedrun(**options)
    typer.echo(row)
    if board is not None:
        add_row(board, row)


@command(app, api.evaluate)
def evaluate(
    everything: Annotated[
        bool, output("Print every number; without it, a terminal shows the main ones.", "--all")
    ] = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    brief = sys.stdout.isatty() and not everything and options["metrics"] == ["all"]
    results = api.evaluate(*options.pop("runs", ()), **options)
    if as_json:
        return put_json({"schema": 1, "runs": results})
    from slotbench.cli.printing import evaluation_table, main_numbers

    for title, document in results.items():
        on = f" on {document['dataset']}" if "transfer" in document else ""
        shown, others = main_numbers(document) if brief else (document, "")
        put(evaluation_table(title + on, shown))
        if others:
            typer.echo(f"{others}: add --all")
    return say(f"Next, type: slotbench leaderboard{typed('results', options['results_dir'])}")


@command(app, lambda: None, name="list")
def list_(
    kind: Annotated[
        str | None, Argument(help="One of: " + ", ".join(registry.KINDS) + "; none: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List datasets, cores, objectives, alignments, presets and more, with their sources."""
    if kind is not None and kind not in registry.KINDS:
        raise registry.unknown("kind of names", kind, registry.KINDS)
    shown = [item for item in registry.KINDS if kind in (None, item)]
    if as_json:
        from dataclasses import asdict

        put_json({item: list(map(asdict, registry.entries(item).values())) for item in shown})
    else:
        from slotbench.cli.printing import registry_table

        for item in shown:
            put(registry_table(item, registry.entries(item)))


@command(app, api.show, without=["preview"])
def show(
    pictures: Annotated[bool, what("Draw masks in the terminal, too, where it can.")] = True,
    everything: Annotated[
        bool, output("Show every number and setting, not what fits the terminal.", "--all")
    ] = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    drawn: list[Any] = []
    screen = sys.stdout.isatty()
    if pictures and screen and not as_json:
        options["preview"] = drawn.extend
    facts = api.show(**options)
    if as_json:
        return put_json(facts)
    from slotbench.cli.glance import put_run

    return put_run(facts, drawn, options.get("images"), brief=screen and not everything)


@command(app, api.predict)
def predict(as_json: Json = False, **options: Any) -> None:
    facts = api.predict(**options)
    if as_json:
        return put_json({"schema": 1, **facts})
    say(f"{counted(facts['images'], 'picture')}, {counted(facts['slots'], 'slot')} each.")
    put_path(facts["out"])
    return None


@command(app, api.export_model)
def export_model(**options: Any) -> None:
    for file in api.export_model(**options):
        put_path(file)


@command(app, api.bench)
def bench(as_json: Json = False, **options: Any) -> None:
    rows = api.bench(**options)
    if as_json:
        return put_json({"schema": 1, "rows": rows})
    from slotbench.cli.printing import throughput_table

    return put(throughput_table(rows))


@command(app, api.board, name="leaderboard")
def leaderboard(
    wide: Annotated[bool, output("Show every column, note and comparison.", "--wide")] = False,
    everything: Annotated[
        bool, output("Show every row of every dataset, not what 25 lines have room for.", "--all")
    ] = False,
    watch: Annotated[bool, how("Show it again while runs go on, until Ctrl-C.", "--watch")] = False,
    every: Annotated[float, how("Seconds from one look to the next, for --watch.")] = EVERY,
    form: Annotated[
        str, output("table, csv, markdown, latex or json.", "--format", autocompletion=_FORMS)
    ] = "table",
    as_json: Json = False,
    **options: Any,
) -> None:
    form = "json" if as_json else form
    if form not in FORMS:
        raise registry.unknown("format", form, FORMS)
    if every != EVERY and not watch:
        raise UserError(f"--every {every:g} goes with --watch.", "Type --watch too.")
    if watch and form != "table":
        raise UserError(f"--watch shows tables; it does not go with --format {form}.")
    views: dict[str, Any] = {"wide": wide, "everything": everything}
    if watch:
        from rich.console import Console

        from slotbench.results.leaderboard.terminal import watch as go_on

        return go_on(lambda: api.board(**options), Console(), every=every, **views)
    gc.disable()  # for 10,000 runs it takes a fifth of the time, and the process ends anyway
    return typer.echo(_page(form, options, views), nl=form != "table")


def _page(form: str, options: dict[str, Any], views: dict[str, bool]) -> str:
    from rich.console import Console

    from slotbench.results import kept

    console = Console()
    look = (console.width, console.is_terminal, console.no_color, console.color_system)
    key = kept.page_key(options["results_dir"], (form, options, views, look))
    page = kept.recall(key)
    if not page:
        from slotbench.results.leaderboard import Board
        from slotbench.results.leaderboard.terminal import to_text

        forms: dict[str, Callable[[Board], str]] = {
            "csv": Board.to_csv,
            "markdown": Board.to_markdown,
            "latex": Board.to_latex,
            "json": Board.to_json_text,
            "table": lambda board: to_text(board, console, **views),
        }
        board = api.board(**options)
        page = forms[form](board)
        # The key covers the runs' files alone: not whether a run is alive, nor a dataset's file.
        if not board.running and not is_file(options.get("dataset", "")):
            kept.keep(key, page)
    return page


@command(app, api.export)
def export(
    cite: Annotated[
        bool, what("Print citations for a paper: --format markdown or bibtex.", "--cite")
    ] = False,
    **options: Any,
) -> None:
    if not cite:
        api.export(**options)
        return
    form, out = options.get("form", "markdown"), options.get("out")
    if out is not None:
        from slotbench.results.export import ENDINGS

        check_ending(out, form, *ENDINGS.get(form, ()))
    text = api.cite(form, options["results_dir"])
    if out is None or out == Path("-"):
        typer.echo(text, nl=False)
    else:
        write_whole(out, text.encode(), follow=True)


@command(app, api.publish)
def publish(as_json: Json = False, **options: Any) -> None:
    facts = api.publish(**options)
    if as_json:
        return put_json({"schema": 1, **facts})
    if facts["weights"]:
        say(f"To check it, type: slotbench verify {shlex.quote(str(options['out']))}")
    return put_path(options["out"])


@command(app, api.verify)
def verify(as_json: Json = False, **options: Any) -> None:
    facts = api.verify(**options)
    if as_json:
        put_json(facts)
    elif "bundle" in facts:
        from slotbench.cli.printing import bundle_table

        for shown in bundle_table(facts):
            put(shown)
    else:
        for key, value in facts.items():
            typer.echo(plain(f"{key}: {_told(value)}"))
    if "bundle" in facts:
        _judge_bundle(facts, options["tolerance"])


def _told(value: Any) -> str:
    """A value as text: a dictionary's items with semicolons between."""
    parts = value.items() if isinstance(value, dict) else ()
    return "; ".join(f"{name} {each}" for name, each in parts) if parts else str(value)


def _judge_bundle(facts: dict[str, Any], tolerance: float) -> None:
    path, unverified = facts["bundle"], facts["unverified"]
    if facts["hashes"]["wrong"]:
        raise UserError(f"{path} is not as it was published.", "Do not use it; get it anew.")
    if facts["contradicted"]:
        raise SlotbenchError(
            f"{facts['contradicted']} numbers of {path} are contradicted.",
            f"To allow larger differences: --tolerance {2 * tolerance:g}",
        )
    if not facts["ok"]:
        more = f" ({len(unverified) - 1} more)" if len(unverified) > 1 else ""
        raise SlotbenchError(
            f"{path} is not verified: {unverified[0]}{more}",
            "To check the hashes alone, add --no-recompute.",
        )


@command(app, api.reproduce)
def reproduce(as_json: Json = False, **options: Any) -> None:
    facts = api.reproduce(**options)
    if as_json:
        put_json(facts)
    else:
        from slotbench.cli.printing import reproduced_table

        put(reproduced_table(facts))
    for cell in facts["metrics"][:1]:
        if not cell["inside"]:
            raise SlotbenchError(
                f"{cell['metric']} of seed {facts['seed']} is {cell['value']:.4f}, outside of "
                f"{cell['low']:.4f} to {cell['high']:.4f}: the row is not reproduced by this seed.",
                f"By chance, 5 seeds in 100 are. To try another: --seed {facts['seed'] + 1}",
            )


@command(app, api.report)
def report(
    show: Annotated[bool, output("Open it in the browser.", "--open")] = False, **options: Any
) -> None:
    if not options["pictures"]:  # which need memory back
        gc.disable()
    index = api.report(**options)
    put_path(index)
    if show:
        webbrowser.open(index.resolve().as_uri())
    else:
        say("Open it in a browser; --open does so.")
