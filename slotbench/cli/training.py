"""The command ``train``."""

from typing import Annotated, Any

import typer
from typer import Option

from slotbench.cli import completion
from slotbench.cli.options import (
    DATA,
    HOW,
    OUT,
    RESULTS,
    WHAT,
    WHERE,
    DataDir,
    Device,
    ResultsDir,
    known,
)
from slotbench.errors import UserError


def train(
    context: typer.Context,
    dataset: Annotated[
        str,
        Option(
            help=f"NAME, NAME:VARIANT or a file; names: {known('datasets')}.",
            autocompletion=completion.dataset_references,
            rich_help_panel=WHAT,
        ),
    ] = "clevr",
    core: Annotated[
        str,
        Option(
            help=f"One of: {known('cores')}.", autocompletion=completion.cores, rich_help_panel=WHAT
        ),
    ] = "slot-attention",
    objective: Annotated[
        str,
        Option(
            help=f"One of: {known('objectives')}.",
            autocompletion=completion.objectives,
            rich_help_panel=WHAT,
        ),
    ] = "reconstruction",
    alignment: Annotated[
        str | None,
        Option(
            help=f"How slots of two views are paired: {known('alignments')}; none: the first, "
            "where the objective takes any.",
            autocompletion=completion.alignments,
            rich_help_panel=WHAT,
        ),
    ] = None,
    preset: Annotated[
        str,
        Option(
            help=f"One of: {known('presets')}; auto: base on a GPU, quick elsewhere.",
            autocompletion=completion.presets,
            rich_help_panel=HOW,
        ),
    ] = "auto",
    seed: Annotated[int, Option(help="Seed of weights, order and views.", rich_help_panel=HOW)] = 0,
    steps: Annotated[
        int | None, Option(help="Optimiser steps; none: the preset's.", rich_help_panel=HOW)
    ] = None,
    budget: Annotated[
        str | None,
        Option(
            metavar="N:UNIT",
            rich_help_panel=HOW,
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
            "--set",
            metavar="SECTION.FIELD=VALUE",
            help="Set any field of the configuration.",
            rich_help_panel=HOW,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        Option(
            metavar="RUN",
            help="Go on with this run; all else is read from it.",
            autocompletion=completion.runs,
            rich_help_panel=HOW,
        ),
    ] = None,
    evaluate: Annotated[bool, Option(help="Evaluate at the end.", rich_help_panel=HOW)] = True,
    track: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help=f"Send metrics there too: {known('trackers')}; may be given several times.",
            autocompletion=completion.trackers,
            rich_help_panel=OUT,
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
) -> None:
    """Train a core by an objective, evaluate it, and print the run's directory."""
    from slotbench import api

    choice: dict[str, Any] = {
        "dataset": dataset,
        "core": core,
        "objective": objective,
        "alignment": alignment,
        "preset": preset,
        "seed": seed,
        "steps": steps,
        "budget": budget,
        "overrides": (*_teacher(teacher), *(overrides or ())),
    }
    if resume is not None:
        _check_resume(context, resume, (*choice, "teacher"))
        choice = {}
    run = api.train(
        resume=resume,
        evaluate=evaluate,
        device=device,
        checkpoint_every=checkpoint_every,
        gpus=gpus,
        track=track or (),
        data_dir=data_dir,
        results_dir=results_dir,
        **choice,
    )
    typer.echo(run.path)


def _teacher(name: str | None) -> tuple[str, ...]:
    return () if name is None else (f"objective.teacher={name}",)


def _check_resume(context: typer.Context, run: str, choices: tuple[str, ...]) -> None:
    """A run has its own configuration: an option that would not be used is refused."""
    for name in choices:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--set" if name == "overrides" else f"--{name}"
            raise UserError(
                f"{option} with --resume {run}: the run has its own configuration.",
                f"Leave {option} out, or leave --resume out to train another run.",
            )
