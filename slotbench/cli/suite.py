"""``slotbench suite``: whole studies. Torch is imported inside the functions."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from slotbench import registry
from slotbench.api.data import DATA, RESULTS
from slotbench.cli.options import Json, command, put_json
from slotbench.errors import SlotbenchError, UserError
from slotbench.fields import Workers
from slotbench.fields import workers as workers_of
from slotbench.files import typed
from slotbench.progress import say

if TYPE_CHECKING:
    from slotbench.suites.commands import Where
    from slotbench.suites.drive import Picture

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run, watch, retry and cancel whole studies.",
)


def suite_run(
    suite: str,
    *,
    engine: str = "local",
    workers: Workers = None,
    address: str | None = None,
    option: Iterable[str] = (),
    prepare: bool = False,
    retry: bool = False,
    device: str = "auto",
    data_dir: Path = DATA,
    results_dir: Path = RESULTS,
) -> "tuple[Picture, Where]":
    """Run the runs of a suite that are not done; failed ones wait for retry.

    - ``suite``: A suite's file, or its name.
    - ``engine``: The engine that runs them.
    - ``workers``: Runs at once; all or none: a GPU each, else a core each as memory allows.
    - ``address``: Address of a Ray cluster, or auto; none: one is started here.
    - ``option``: An option of submitit, such as slurm_partition=gpu; repeat for several.
    - ``prepare``: Prepare missing datasets first.
    """
    from slotbench.suites import commands

    told, count = {}, workers_of(workers)
    for text in option:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UserError(f"--option {text}: expected KEY=VALUE.")
        told[key] = value
    registry.get("engines", engine)  # a mistake ends here, before data are prepared
    found, where = commands.find(suite, results_dir), commands.Where(data_dir, results_dir, device)
    if prepare:
        commands.prepare(found, where)
    picture = commands.run(
        found, where, engine, workers=count, address=address, options=told, retry=retry
    )
    return picture, where


def suite_status(
    suite: str, *, device: str = "auto", data_dir: Path = DATA, results_dir: Path = RESULTS
) -> "tuple[Picture, Where]":
    """Show the state of every run of a suite.

    - ``suite``: A suite's file, or its name.
    """
    from slotbench.suites import commands

    where = commands.Where(data_dir, results_dir, device)
    return commands.status(commands.find(suite, results_dir), where), where


@command(app, suite_run, name="run", without=["retry"])
def run(as_json: Json = False, **options: Any) -> None:
    picture, where = suite_run(**options)
    _show(picture, where, as_json)
    counts, total = picture.counts, len(picture.plan.cells)
    following = _following(picture, where, options["suite"])
    if counts["failed"]:
        raise SlotbenchError(
            f"{counts['failed']} of {total} runs failed.",
            f"Their stderr.txt say more. Then type: {following}",
        )
    if counts["done"] < total:
        raise SlotbenchError(
            f"{total - counts['done']} of {total} runs were stopped.",
            f"To go on, type: {following}",
        )
    say(f"All {total} runs are done. Next, type: {following}")


@command(app, suite_run, name="retry", without=["retry", "prepare"])
def retry(as_json: Json = False, **options: Any) -> None:
    """Run the failed runs of a suite, and those that are not done."""
    run(as_json, retry=True, **options)


@command(app, suite_status, name="status")
def status(as_json: Json = False, **options: Any) -> None:
    from slotbench.suites.state import AT_WORK

    picture, where = suite_status(**options)
    _show(picture, where, as_json)
    commands = picture.plan.prepare_commands()
    for words in commands:
        say(f"Not prepared; type: {shlex.join(words)}")
    if not commands and not picture.cells(*AT_WORK):
        say(f"Next, type: {_following(picture, where, options['suite'])}")


@command(app, suite_status, name="cancel")
def cancel(**options: Any) -> None:
    """Stop a running suite. Its runs save, and continue when the suite is run again."""
    from slotbench.suites import commands

    suite, results_dir = options["suite"], options["results_dir"]
    where = commands.Where(options["data_dir"], results_dir, options["device"])
    if commands.cancel(commands.find(suite, results_dir), where):
        again = shlex.quote(suite) + where.options
        say(f"Asked to stop. To see it stop, type: slotbench suite status {again}")
    else:
        say("It is not running.")


def _following(picture: "Picture", where: "Where", suite: str) -> str:
    """The command that retries what failed, runs what is left, or shows what is done."""
    again, counts = shlex.quote(suite) + where.options, picture.counts
    if counts["failed"]:
        return f"slotbench suite retry {again}"
    if counts["done"] < len(picture.plan.cells):
        return f"slotbench suite run {again}"
    return f"slotbench leaderboard{typed('results', where.results_dir)}"


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
