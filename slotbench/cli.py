"""The command line: one thin function a command. Whatever imports torch is imported inside."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from slotbench import cli_report, cli_results, cli_suite, completion, plugins, registry
from slotbench.errors import SlotbenchError, UserError
from slotbench.output import put, put_json

if TYPE_CHECKING:
    from slotbench.datasets.features import Teacher

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
    plugin: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="Load this file's names first; may be given several times, "
            f"or in {plugins.VARIABLE} with {os.pathsep!r} between.",
        ),
    ] = None,
    version: Annotated[bool, Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Options of all commands; ``--debug`` and ``--plugin`` are read in :func:`main`."""
    del debug, plugin
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
        Option(
            "--from", help="Import this original file, folder or archive.", rich_help_panel=WHAT
        ),
    ] = None,
    download: Annotated[
        bool,
        Option("--download", help="Fetch the original files and import them.",
               rich_help_panel=WHAT),
    ] = False,
    image_size: Annotated[
        int | None,
        Option(help="Side in pixels; none: the dataset's own, mostly 64.", rich_help_panel=WHAT),
    ] = None,
    train: Annotated[
        int | None, Option(help="Training images; of video, clips.", rich_help_panel=WHAT)
    ] = None,
    val: Annotated[
        int | None, Option(help="Validation images or clips.", rich_help_panel=WHAT)
    ] = None,
    test: Annotated[int | None, Option(help="Test images or clips.", rich_help_panel=WHAT)] = None,
    seed: Annotated[int, Option(help="Seed of the images made here.", rich_help_panel=WHAT)] = 0,
    shifts: Annotated[
        str | None,
        Option(
            metavar="LIST", rich_help_panel=WHAT,
            help="Add shifted test sets: all, or of occlusion, crop, object_color, object_shape, "
            "object_style, num_objects, with commas between.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        Option(
            metavar="TEACHER", rich_help_panel=WHAT,
            help="Store frozen features too, such as those of timm:vit_base_patch16_224.dino.",
        ),
    ] = None,
    features_weights: Annotated[
        Path | None,
        Option(
            metavar="FILE", help="The teacher's weights; none: they are fetched.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    workers: Annotated[
        str, Option(help="Processes; all: one a core.", rich_help_panel=HOW)
    ] = "all",
    engine: Annotated[
        str, Option(help="What renders: local, or ray (a cluster).", rich_help_panel=HOW)
    ] = "local",
    address: Annotated[
        str | None,
        Option(help="Of a Ray cluster; none: one started here.", rich_help_panel=HOW),
    ] = None,
    force: Annotated[
        bool, Option("--force", help="Replace a file made otherwise.", rich_help_panel=HOW)
    ] = False,
    data_dir: DataDir = DATA,
) -> None:  # fmt: skip
    """Make a dataset: one HDF5 file, rendered here or imported from the original files."""
    from rich.markup import escape

    from slotbench.datasets.prepare import Request
    from slotbench.datasets.prepare import prepare as make
    from slotbench.datasets.schema import DatasetFile
    from slotbench.datasets.sheet import draw_sheet, draw_shifts
    from slotbench.datasets.shifts import parse
    from slotbench.datasets.summary import summary
    from slotbench.progress import say

    given = {"train": train, "val": val, "test": test}
    sizes = {split: size for split, size in given.items() if size is not None}
    request = Request(
        name, variant, source, image_size, sizes, seed, _workers(workers), data_dir, force,
        download, engine, address, () if shifts is None else parse(shifts),
    )  # fmt: skip
    # A teacher that cannot be had is known before hours of rendering.
    teacher = _teacher(features, features_weights)
    path = make(request)
    if teacher is not None:
        from slotbench.datasets.features import add_features

        add_features(path, teacher)
    with DatasetFile(path) as dataset:
        sheet = str(draw_sheet(dataset, path.with_suffix(".png")))
        if shifts is not None:
            sheet += f", {draw_shifts(dataset, path.with_name(f'{path.stem}-shifts.png'))}"
        reference = dataset.reference
        for line in summary(dataset):
            say(escape(line))
    say(f"Contact sheet: {sheet}")
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
    budget: Annotated[
        str | None,
        Option(
            metavar="N:UNIT", rich_help_panel=HOW,
            help="How much to spend: 4000:steps, 64000:images, 600:seconds or 2e15:flops.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        Option(
            metavar="timm:MODEL|RUN",
            help="Whose features feature-reconstruction learns; short for --set objective.teacher.",
            rich_help_panel=WHAT,
        ),
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
    track: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help=f"Send metrics there too: {_known('trackers')}; may be given several times.",
            autocompletion=completion.trackers, rich_help_panel=OUT,
        ),
    ] = None,
    gpus: Annotated[
        int,
        Option(
            help="GPUs that share each batch; with --device cpu, as many processes, to try it.",
            rich_help_panel=WHERE,
        ),
    ] = 1,
    device: Device = "auto",
    checkpoint_every: Annotated[
        float, Option(help="Seconds from one checkpoint to the next.", rich_help_panel=WHERE)
    ] = 120.0,
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
) -> None:  # fmt: skip
    """Train a core by an objective, evaluate it, and print the run's directory."""
    from slotbench import workflow

    host = workflow.host(device, checkpoint_every, gpus, tuple(track or ()))
    if resume is None:
        told = [] if teacher is None else [f"objective.teacher={teacher}"]
        choice = workflow.Choice(
            dataset,
            core,
            objective,
            alignment,
            preset,
            seed,
            steps,
            (*told, *(overrides or ())),
            budget,
        )
        run = workflow.start(choice, host, data_dir, results_dir, evaluate=evaluate)
    else:
        run = workflow.resume(resume, host, data_dir, results_dir, evaluate=evaluate)
    typer.echo(run.path)


@app.command()
def evaluate(
    runs: Annotated[
        list[str] | None,
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ] = None,
    metrics: Annotated[
        str,
        Option(
            help=f"Groups with commas between, of: {_known('metrics')}; all: each but "
            "decoder-probe, which takes minutes.",
            autocompletion=completion.metrics, rich_help_panel=WHAT,
        ),
    ] = "all",
    split: Annotated[str, Option(help="The split to judge on.", rich_help_panel=WHAT)] = "test",
    predictions: Annotated[
        Path | None,
        Option(
            metavar="FILE", help="Judge masks and slots from elsewhere: docs/predictions.md.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        Option(help="Judge a trivial masker: one-segment, voronoi or kmeans.",
               rich_help_panel=WHAT),
    ] = None,
    dataset: Annotated[
        str | None,
        Option(
            help="What predictions or a baseline are judged on.",
            autocompletion=completion.dataset_references, rich_help_panel=WHAT,
        ),
    ] = None,
    name: Annotated[
        str | None, Option(help="What predictions are called.", rich_help_panel=WHAT)
    ] = None,
    mask_source: Annotated[
        str, Option(help="What `masks` of predictions are: attention or decoder.",
                    rich_help_panel=HOW)
    ] = "attention",
    slots: Annotated[
        int | None, Option(help="Slots of a baseline; none: as cores.", rich_help_panel=HOW)
    ] = None,
    seed: Annotated[
        int, Option(help="Seed of the probes, for predictions and baselines.", rich_help_panel=HOW)
    ] = 0,
    force: Annotated[
        bool, Option("--force", help="Compute what is there already, too.", rich_help_panel=HOW)
    ] = False,
    cache: Annotated[
        bool, Option(help="Keep what the core makes of each split.", rich_help_panel=HOW)
    ] = True,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Judge trained runs, predictions from elsewhere or a baseline.

    What is missing is computed, and what an older version computed; the rest is read from the
    run's evaluation.json.
    """
    from slotbench import external, workflow

    external.check_options(runs, predictions, baseline, dataset, name, split)
    request = external.Request(str(dataset), metrics, seed, data_dir, results_dir, force)
    if predictions is not None:
        path, result = external.evaluate_predictions(
            predictions, str(name), request, mask_source=mask_source
        )
        results = {str(path): result}
    elif baseline is not None:
        path, result = external.evaluate_baseline(baseline, request, slots=slots)
        results = {str(path): result}
    else:
        host = workflow.host(device)
        listed = [workflow.find(reference, results_dir) for reference in runs or []]
        results = {
            str(run.path): workflow.evaluate(
                run, host, data_dir, split=split, metrics=metrics, force=force, cached=cache
            )
            for run in listed
        }
    if as_json:
        put_json({"schema": 1, "runs": results})
    else:
        from slotbench.report.tables import evaluation_table

        for title, document in results.items():
            put(evaluation_table(title, document))


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
    images: Annotated[
        int, Option(help="How many of the first images to draw.", rich_help_panel=WHAT)
    ] = 6,
    index: Annotated[
        str | None,
        Option(metavar="3,17,40", help="Draw these images instead.", rich_help_panel=WHAT),
    ] = None,
    split: Annotated[str, Option(help="The split to draw from.", rich_help_panel=WHAT)] = "test",
    ranked: Annotated[
        int,
        Option(
            help="Score this many images to find the best and the worst; 0: none.",
            rich_help_panel=WHAT,
        ),
    ] = 500,
    properties: Annotated[
        bool, Option(help="Draw property predictions.", rich_help_panel=WHAT)
    ] = True,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """What a run is, its numbers, and its pictures."""
    from slotbench import workflow
    from slotbench.report.tables import evaluation_table, run_table

    found = workflow.find(run, results_dir)
    wish = workflow.Wish(images, _indices(index), split, ranked, properties)
    facts = workflow.describe(found, workflow.host(device), data_dir, wish)
    if as_json:
        put_json(facts)
        return
    put(run_table(facts))
    if facts["evaluation"]:
        put(evaluation_table(found.id, facts["evaluation"]))
    for picture in facts["pictures"]:
        typer.echo(picture)


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


def _indices(text: str | None) -> tuple[int, ...]:
    words = [] if text is None else text.split(",")
    for word in words:
        if not (word.strip().isascii() and word.strip().isdigit()):
            raise UserError(f"--index {text}: expected numbers with commas between, from 0.")
    return tuple(int(word) for word in words)


def _teacher(features: str | None, weights: Path | None) -> "Teacher | None":
    if features is None:
        if weights is not None:
            raise UserError(
                f"--features-weights {weights}: of which teacher?", "Type --features TEACHER too."
            )
        return None
    from slotbench.features import load_teacher

    return load_teacher(features, weights)


def _workers(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--workers {text}: expected all, or a number from 1.")
    return int(text)


app.add_typer(cli_results.app)
app.add_typer(cli_suite.app, name="suite")
app.command()(cli_report.report)


def main() -> None:
    """Run a command: exit code 2 for a user's mistake, 1 for a failure, 130 after Ctrl-C."""
    debug = "--debug" in sys.argv[1:]
    # `--debug` and `--plugin` are understood wherever they stand.
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        arguments, files = plugins.take(arguments)
        plugins.load_all(files)
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
