"""``slotbench suite``: whole studies. Torch is imported inside the functions."""

import shlex
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from slotbench import api
from slotbench.cli.options import Json, command, put_json
from slotbench.errors import SlotbenchError
from slotbench.files import typed
from slotbench.progress import say

if TYPE_CHECKING:
    from slotbench.suites.drive import Picture

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run, watch, retry and cancel whole studies.",
)


@command(app, api.suite_run, name="run", without=["retry"])
def run(as_json: Json = False, **options: Any) -> None:
    picture = api.suite_run(**options)
    _show(picture, as_json)
    counts, total = picture.counts, len(picture.plan.cells)
    following = _following(picture, options["suite"])
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


@command(app, api.suite_run, name="retry", without=["retry", "prepare"])
def retry(as_json: Json = False, **options: Any) -> None:
    """Run the failed runs of a suite, and those that are not done."""
    run(as_json, retry=True, **options)


@command(app, api.suite_status, name="status")
def status(as_json: Json = False, **options: Any) -> None:
    from slotbench.suites.state import AT_WORK

    picture = api.suite_status(**options)
    _show(picture, as_json)
    commands = picture.plan.prepare_commands()
    for words in commands:
        say(f"Not prepared; type: {shlex.join(words)}")
    if not commands and not picture.cells(*AT_WORK):
        say(f"Next, type: {_following(picture, options['suite'])}")


@command(app, api.suite_status, name="cancel")
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


def _following(picture: "Picture", suite: str) -> str:
    """The command that retries what failed, runs what is left, or shows what is done."""
    where, counts = picture.plan.where, picture.counts
    again = shlex.quote(suite) + where.options
    if counts["failed"]:
        return f"slotbench suite retry {again}"
    if counts["done"] < len(picture.plan.cells):
        return f"slotbench suite run {again}"
    return f"slotbench leaderboard{typed('results', where.results_dir)}"


def _show(picture: "Picture", as_json: bool) -> None:
    from slotbench import grid
    from slotbench.suites import commands, live
    from slotbench.suites.state import Journal

    if as_json:
        plan = picture.plan
        put_json(commands.document(picture, Journal(plan.where.results_dir, plan.suite.name)))
        return
    table, console = live.status_table(picture), Console()
    console.print(Text(table.title, "bold"))
    grid.put_lines(console, grid.to_lines(table, console.width))
    for note in table.notes:
        console.print(Text(note), soft_wrap=True)
    console.print(live.counts_text(picture.counts))
