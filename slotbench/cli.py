"""The command line: one thin function a command. Whatever imports torch is imported inside."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from slotbench import completion, registry
from slotbench.errors import SlotbenchError, UserError
from slotbench.output import put, put_json, to_json

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train any slot core with any objective, and judge them all alike.",
    epilog="Start with: slotbench prepare clevr",
)
WHAT, HOW, WHERE, OUT = "What", "How", "Where", "Output"

DataDir = Annotated[Path, Option(help="Folder of prepared datasets.", rich_help_panel=WHERE)]
ResultsDir = Annotated[Path, Option(help="Folder of runs.", rich_help_panel=WHERE)]
Json = Annotated[bool, Option("--json", help="Print one JSON document.", rich_help_panel=OUT)]
Device = Annotated[
    str, Option(help="auto, cpu, cuda or mps.", metavar="NAME", rich_help_panel=WHERE)
]
DATA, RESULTS = Path("data"), Path("results")


def _known(kind: registry.Kind) -> str:
    return ", ".join(registry.names(kind))


@app.callback()
def options(
    debug: Annotated[bool, Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Options before the command; ``--debug`` itself is read in :func:`main`."""
    del debug
    if version:
        from slotbench import __version__

        typer.echo(f"slotbench {__version__}")
        raise typer.Exit


@app.command()
def prepare(
    name: Annotated[
        str, Argument(help=f"One of: {_known('datasets')}.", autocompletion=completion.datasets)
    ],
    variant: Annotated[
        str | None, Option(help="Variant; none: the dataset's first.", rich_help_panel=WHAT)
    ] = None,
    source: Annotated[
        Path | None,
        Option("--from", help="Import this original file instead.", rich_help_panel=WHAT),
    ] = None,
    image_size: Annotated[int, Option(help="Side in pixels.", rich_help_panel=WHAT)] = 64,
    train: Annotated[int | None, Option(help="Training images.", rich_help_panel=WHAT)] = None,
    val: Annotated[int | None, Option(help="Validation images.", rich_help_panel=WHAT)] = None,
    test: Annotated[int | None, Option(help="Test images.", rich_help_panel=WHAT)] = None,
    seed: Annotated[int, Option(help="Seed of the images made here.", rich_help_panel=WHAT)] = 0,
    workers: Annotated[
        str, Option(help="Processes; all: one a core.", rich_help_panel=HOW)
    ] = "all",
    force: Annotated[
        bool, Option("--force", help="Replace a file made otherwise.", rich_help_panel=HOW)
    ] = False,
    data_dir: DataDir = DATA,
) -> None:
    """Make a dataset: one HDF5 file, rendered here or imported from the original files."""
    from slotbench.datasets.prepare import Request
    from slotbench.datasets.prepare import prepare as make
    from slotbench.datasets.schema import DatasetFile
    from slotbench.datasets.sheet import draw_sheet
    from slotbench.progress import say

    given = {"train": train, "val": val, "test": test}
    sizes = {split: size for split, size in given.items() if size is not None}
    request = Request(
        name, variant, source, image_size, sizes, seed, _workers(workers), data_dir, force
    )
    path = make(request)
    with DatasetFile(path) as dataset:
        sheet = draw_sheet(dataset, path.with_suffix(".png"))
        counts = ", ".join(f"{split} {dataset.size(split):,}" for split in dataset.splits)
        reference = dataset.reference
    say(f"Images: {counts}. Contact sheet: {sheet}")
    say(f"Next, type: slotbench train --dataset {reference}")
    typer.echo(path)


@app.command()
def train(
    dataset: Annotated[
        str,
        Option(
            help=f"NAME, NAME:VARIANT or a file; names: {_known('datasets')}.",
            autocompletion=completion.dataset_references, rich_help_panel=WHAT,
        ),
    ] = "clevr",
    core: Annotated[
        str,
        Option(
            help=f"One of: {_known('cores')}.", autocompletion=completion.cores,
            rich_help_panel=WHAT,
        ),
    ] = "slot-attention",
    objective: Annotated[
        str,
        Option(
            help=f"One of: {_known('objectives')}.", autocompletion=completion.objectives,
            rich_help_panel=WHAT,
        ),
    ] = "reconstruction",
    alignment: Annotated[
        str | None,
        Option(
            help=f"How slots of two views are paired: {_known('alignments')}; none: the first, "
            "where the objective takes any.",
            autocompletion=completion.alignments, rich_help_panel=WHAT,
        ),
    ] = None,
    preset: Annotated[
        str,
        Option(
            help=f"One of: {_known('presets')}; auto: base on a GPU, quick elsewhere.",
            autocompletion=completion.presets, rich_help_panel=HOW,
        ),
    ] = "auto",
    seed: Annotated[int, Option(help="Seed of weights, order and views.", rich_help_panel=HOW)] = 0,
    steps: Annotated[
        int | None, Option(help="Optimiser steps; none: the preset's.", rich_help_panel=HOW)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        Option(
            "--set", metavar="SECTION.FIELD=VALUE", help="Set any field of the configuration.",
            rich_help_panel=HOW,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        Option(
            metavar="RUN", help="Go on with this run; all else is read from it.",
            autocompletion=completion.runs, rich_help_panel=HOW,
        ),
    ] = None,
    evaluate: Annotated[
        bool, Option(help="Evaluate at the end.", rich_help_panel=HOW)
    ] = True,
    device: Device = "auto",
    checkpoint_every: Annotated[
        float, Option(help="Seconds from one checkpoint to the next.", rich_help_panel=WHERE)
    ] = 120.0,
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
) -> None:  # fmt: skip
    """Train a core by an objective, evaluate it, and print the run's directory."""
    from slotbench import workflow

    host = workflow.host(device, checkpoint_every)
    if resume is None:
        choice = workflow.Choice(
            dataset, core, objective, alignment, preset, seed, steps, tuple(overrides or ())
        )
        run = workflow.start(choice, host, data_dir, results_dir, evaluate=evaluate)
    else:
        run = workflow.resume(resume, host, data_dir, results_dir, evaluate=evaluate)
    typer.echo(run.path)


@app.command()
def evaluate(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ],
    metrics: Annotated[
        str, Option(help="Groups with commas between, or all.", rich_help_panel=WHAT)
    ] = "all",
    split: Annotated[str, Option(help="The split to judge on.", rich_help_panel=WHAT)] = "test",
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Judge trained runs; results are kept in each run's evaluation.json."""
    from slotbench import workflow

    host = workflow.host(device)
    found = [workflow.find(reference, results_dir) for reference in runs]
    results = {
        str(run.path): workflow.evaluate(run, host, data_dir, split=split, metrics=metrics)
        for run in found
    }
    if as_json:
        put_json({"schema": 1, "runs": results})
    else:
        from slotbench.report.tables import evaluation_table

        for path, result in results.items():
            put(evaluation_table(path, result))


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
        Option(help="reconstruction, self-supervised or control.", rich_help_panel=WHAT),
    ] = None,
    form: Annotated[
        str, Option("--format", help="table, csv, markdown, latex or json.", rich_help_panel=OUT)
    ] = "table",
    as_json: Json = False,
    results_dir: ResultsDir = RESULTS,
) -> None:  # fmt: skip
    """Compare all runs: every seed counts, missing cells stay missing."""
    from slotbench.leaderboard import leaderboard as collect

    board = collect(
        results_dir, dataset=dataset, metrics=tuple(metric or ()), core=core, family=family
    )
    forms: dict[str, Callable[[], str]] = {
        "csv": board.to_csv, "markdown": board.to_markdown, "latex": board.to_latex,
        "json": lambda: to_json(board.to_json()),
    }  # fmt: skip
    if form == "table" and not as_json:
        from rich.console import Console

        board.render(Console())
    elif form in forms or as_json:
        typer.echo(forms["json" if as_json else form]())
    else:
        raise registry.unknown("format", form, ("table", *forms))


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None, Argument(help="One of: " + ", ".join(registry.KINDS) + "; none: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What there is: datasets, cores, objectives, alignments, presets, with their sources."""
    if kind is not None and kind not in registry.KINDS:
        raise registry.unknown("list", kind, registry.KINDS)
    shown = [item for item in registry.KINDS if kind in (None, item)]
    if as_json:
        from dataclasses import asdict

        found = {item: list(registry.entries(item).values()) for item in shown}
        put_json({key: [asdict(entry) for entry in value] for key, value in found.items()})
    else:
        from slotbench.report.tables import registry_table

        for item in shown:
            put(registry_table(item, registry.entries(item)))


@app.command()
def show(
    run: Annotated[
        str, Argument(metavar="RUN", help="Directory or id.", autocompletion=completion.runs)
    ],
    images: Annotated[int, Option(help="Test images to draw.", rich_help_panel=OUT)] = 6,
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """What a run is, its numbers, and its pictures."""
    from slotbench import workflow
    from slotbench.report.tables import evaluation_table, run_table

    found = workflow.find(run, results_dir)
    facts = workflow.describe(found, data_dir, images)
    if as_json:
        put_json(facts)
        return
    put(run_table(facts))
    if facts["evaluation"]:
        put(evaluation_table(found.id, facts["evaluation"]))
    for picture in facts["pictures"]:
        typer.echo(picture)


@app.command()
def verify(
    target: Annotated[
        str,
        Argument(
            metavar="FILE|RUN", help="A prepared dataset or a run.",
            autocompletion=completion.runs,
        ),
    ],
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Check that a dataset or a run is whole and is what it says it is."""
    from slotbench import verify as check

    if Path(target).is_file() or target.endswith(".h5"):
        facts = check.dataset(Path(target))
    else:
        facts = check.run(target, results_dir)
    if as_json:
        put_json(facts)
    else:
        for key, value in facts.items():
            typer.echo(f"{key}: {value}")


@app.command()
def bench(
    preset: Annotated[
        str, Option(help=f"One of: {_known('presets')}.", autocompletion=completion.presets)
    ] = "quick",
    dataset: Annotated[
        str | None, Option(help="Also time loading from this dataset.", rich_help_panel=WHAT)
    ] = None,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    as_json: Json = False,
) -> None:
    """Throughput on this machine: seconds a step for every objective."""
    from slotbench import throughput, workflow

    rows = throughput.measure(preset, workflow.host(device).device, dataset, data_dir)
    if as_json:
        put_json({"schema": 1, "rows": rows})
    else:
        from slotbench.report.tables import throughput_table

        put(throughput_table(rows))


def _workers(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--workers {text}: expected all, or a number from 1.")
    return int(text)


def main() -> None:
    """Run a command: exit code 2 for a user's mistake, 1 for a failure, 130 after Ctrl-C."""
    debug = "--debug" in sys.argv[1:]
    # `--debug` is understood wherever it stands.
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(args=arguments, prog_name="slotbench")
    except KeyboardInterrupt:
        sys.exit(130)
    except (SlotbenchError, OSError) as error:
        if debug:
            raise
        _fail(error)


def _fail(error: SlotbenchError | OSError) -> None:
    from rich.markup import escape

    from slotbench.files import explain
    from slotbench.progress import errors

    known = error if isinstance(error, SlotbenchError) else explain(error)
    message = known.message if known else f"{type(error).__name__}: {error}"
    errors.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True)
    errors.print(escape(known.advice if known else "--debug shows the traceback."), soft_wrap=True)
    sys.exit(known.exit_code if known else 1)
