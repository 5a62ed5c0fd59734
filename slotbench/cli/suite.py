"""``slotbench suite``: whole studies. Whatever imports torch is imported inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text
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
    known,
    put_json,
)
from slotbench.errors import SlotbenchError, UserError

if TYPE_CHECKING:
    from slotbench.suites.commands import How, Where
    from slotbench.suites.drive import Picture

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Whole studies: run, look at, retry and cancel the runs of a file.",
)

Reference = Annotated[
    str,
    Argument(
        metavar="FILE|NAME",
        autocompletion=completion.suites,
        help=f"A suite's file, or one of: {known('suites')}.",
    ),
]
EngineName = Annotated[
    str, how(f"Who runs them: {known('engines')}.", autocompletion=completion.engines)
]
Workers = Annotated[
    int | None, how("Runs at once; none: a GPU each, else a core each as memory allows.", min=1)
]
Address = Annotated[str | None, how("Of a Ray cluster, or auto; none: one on this machine.")]
Options = Annotated[
    list[str] | None,
    how(
        "What submitit takes, such as slurm_partition=gpu; may be given several times.",
        "--option",
        metavar="KEY=VALUE",
    ),
]
Prepare = Annotated[bool, how("Prepare missing datasets first.", "--prepare")]


@app.command()
def run(
    suite: Reference,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    option: Options = None,
    prepare: Prepare = False,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Run what is left of a suite; what is done stays done, what failed waits for retry."""
    where, by = _where(data_dir, results_dir, device), _how(engine, workers, address, option)
    _run(suite, where, by, prepare=prepare, retry=False, as_json=as_json)


@app.command()
def retry(
    suite: Reference,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    option: Options = None,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Run what failed once more, and all that is left."""
    where, by = _where(data_dir, results_dir, device), _how(engine, workers, address, option)
    _run(suite, where, by, prepare=False, retry=True, as_json=as_json)


@app.command()
def status(
    suite: Reference,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """How far a suite has come: every run with its state."""
    from slotbench.progress import say
    from slotbench.suites import commands

    where = _where(data_dir, results_dir, device)
    picture = commands.status(commands.find(suite, results_dir), where)
    _show(picture, where, as_json)
    for words in picture.plan.prepare_commands():
        say(f"Not prepared; type: {' '.join(words)}")


@app.command()
def cancel(
    suite: Reference,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Stop a suite that runs: its runs save, and go on when it is run again."""
    from slotbench.progress import say
    from slotbench.suites import commands

    found = commands.find(suite, results_dir)
    if commands.cancel(found, _where(data_dir, results_dir, device)):
        say(f"Asked to stop. To see it stop, type: slotbench suite status {suite}")
    else:
        say("Nobody runs it.")


def _run(
    reference: str, where: "Where", by: "How", *, prepare: bool, retry: bool, as_json: bool
) -> None:
    from slotbench.progress import say
    from slotbench.suites import commands

    suite = commands.find(reference, where.results_dir)
    if prepare:
        commands.prepare(suite, where)
    picture = commands.run(suite, where, by, retry=retry)
    _show(picture, where, as_json)
    counts, total = picture.counts, len(picture.plan.cells)
    if counts["failed"]:
        raise SlotbenchError(
            f"{counts['failed']} of {total} runs failed.",
            f"Their stderr.txt say more. Then type: slotbench suite retry {reference}",
        )
    if counts["done"] < total:
        raise SlotbenchError(
            f"{total - counts['done']} of {total} runs were stopped.",
            f"To go on, type: slotbench suite run {reference}",
        )
    say(f"All {total} runs are done. Next, type: slotbench leaderboard")


def _show(picture: "Picture", where: "Where", as_json: bool) -> None:
    from slotbench import grid
    from slotbench.suites import commands, live
    from slotbench.suites.state import Journal

    if as_json:
        put_json(commands.document(picture, Journal(where.results_dir, picture.plan.suite.name)))
        return
    table, console = live.status_table(picture), Console()
    console.print(Text(table.title, "bold"))
    grid.put_lines(console, grid.to_lines(table, console.width))
    for note in table.notes:
        console.print(Text(note), soft_wrap=True)
    console.print(live.counts_text(picture.counts))


def _where(data_dir: Path, results_dir: Path, device: str) -> "Where":
    from slotbench.suites.commands import Where

    return Where(data_dir, results_dir, device)


def _how(engine: str, workers: int | None, address: str | None, options: list[str] | None) -> "How":
    from slotbench.suites.commands import How

    told = {}
    for text in options or []:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UserError(f"--option {text}: expected KEY=VALUE.")
        told[key] = value
    return How(registry.get("engines", engine).name, workers, address, told)
