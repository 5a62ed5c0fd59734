"""The commands ``train`` and ``tune``."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
    output,
    put_json,
    what,
    where,
)
from slotbench.errors import UserError


def train(
    context: typer.Context,
    dataset: Annotated[
        str,
        what(
            f"NAME, NAME:VARIANT or a file. {known('datasets')}.",
            autocompletion=completion.dataset_references,
        ),
    ] = "clevr",
    core: Annotated[
        str, what(f"One of: {known('cores')}.", autocompletion=completion.cores)
    ] = "slot-attention",
    objective: Annotated[
        str, what(f"One of: {known('objectives')}.", autocompletion=completion.objectives)
    ] = "reconstruction",
    alignment: Annotated[
        str | None,
        what(
            f"How slots of two views are paired: {known('alignments')}; "
            "none: the first, where the objective takes any.",
            autocompletion=completion.alignments,
        ),
    ] = None,
    preset: Annotated[
        str,
        how(
            f"{known('presets')}; auto: base on a GPU, else quick.",
            autocompletion=completion.presets,
        ),
    ] = "auto",
    seed: Annotated[int, how("Seed of weights, order and views.")] = 0,
    steps: Annotated[
        int | None,
        how("Optimiser steps; none: the preset's. With --resume: extend a finished run."),
    ] = None,
    budget: Annotated[
        str | None,
        how("Such as 4000:steps, 64000:images, 600:seconds or 2e15:flops.", metavar="N:UNIT"),
    ] = None,
    teacher: Annotated[
        str | None,
        what(
            "The network whose features are learned; sets objective.teacher.",
            metavar="timm:MODEL|RUN",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        how("Set any field of the configuration.", "--set", metavar="SECTION.FIELD=VALUE"),
    ] = None,
    resume: Annotated[
        str | None,
        how(
            "Go on with this run, as it is configured.",
            metavar="RUN",
            autocompletion=completion.runs,
        ),
    ] = None,
    init: Annotated[
        str | None,
        how(
            "Start from the weights of this run: its core, and its objective where it is the same.",
            metavar="RUN",
            autocompletion=completion.runs,
        ),
    ] = None,
    evaluate: Annotated[bool, how("Evaluate at the end.")] = True,
    track: Annotated[
        list[str] | None,
        output(
            f"Send metrics there too: {known('trackers')}; repeat for several.",
            metavar="NAME",
            autocompletion=completion.trackers,
        ),
    ] = None,
    gpus: Annotated[
        int, where("GPUs that share each batch; with --device cpu, as many processes, to try it.")
    ] = 1,
    device: Device = "auto",
    checkpoint_every: Annotated[float, where("Seconds from one checkpoint to the next.")] = 120.0,
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
        refused = [name for name in (*choice, "teacher", "init") if name != "steps"]
        _check_resume(context, resume, refused)
        choice = {} if steps is None else {"steps": steps}
    run = api.train(
        resume=resume,
        init=init,
        evaluate=evaluate,
        device=device,
        checkpoint_every=checkpoint_every,
        gpus=gpus,
        track=track or (),
        data_dir=data_dir,
        results_dir=results_dir,
        **choice,
    )
    from slotbench.training.distributed import launched

    if (launched() or (0,))[0] == 0:
        typer.echo(run.path)


def _teacher(name: str | None) -> tuple[str, ...]:
    return () if name is None else (f"objective.teacher={name}",)


def _check_resume(context: typer.Context, run: str, choices: list[str]) -> None:
    """A run has its own configuration: an option that would not be used is refused."""
    for name in choices:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--set" if name == "overrides" else f"--{name}"
            raise UserError(
                f"{option} with --resume {run}: the run has its own configuration.",
                f"Leave {option} out, or leave --resume out to train another run.",
            )


def tune(
    dataset: Annotated[
        str, what("NAME or NAME:VARIANT.", autocompletion=completion.dataset_references)
    ] = "clevr",
    core: Annotated[
        str, what(f"One of: {known('cores')}.", autocompletion=completion.cores)
    ] = "slot-attention",
    objective: Annotated[
        list[str] | None,
        what(
            f"Of: {known('objectives')}; repeat for several, each with the same budget.",
            autocompletion=completion.objectives,
        ),
    ] = None,
    alignment: Annotated[
        str | None, what(f"Of: {known('alignments')}.", autocompletion=completion.alignments)
    ] = None,
    trials: Annotated[int, how("Trials of each contestant.")] = 12,
    steps: Annotated[int | None, how("Steps of a trial; none: the preset's.")] = None,
    preset: Annotated[
        str, how("What the settings change.", autocompletion=completion.presets)
    ] = "auto",
    workers: Annotated[int, how("Trials at once, a process each.", min=1)] = 1,
    dry_run: Annotated[bool, how("Print space and cost only.", "--dry-run")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Tune contestants alike: the same number of trials and steps, on seeds of their own.

    Selected by fg_ari/attention on 200 images of val. The best settings are written to
    slotbench/config/tuned, where --preset tuned reads them.
    """
    from slotbench import api

    found = api.tune(
        objective or ["reconstruction"],
        dataset=dataset,
        core=core,
        alignment=alignment,
        trials=trials,
        steps=steps,
        preset=preset,
        workers=workers,
        dry_run=dry_run,
        device=device,
        data_dir=data_dir,
        results_dir=results_dir,
    )
    if as_json:
        return put_json({"schema": 1, "contestants": found})
    for name, facts in found.items():
        typer.echo(name)
        for key, value in facts.items():
            typer.echo(f"  {key}: {value}")
    return None


def speedrun(
    dataset: Annotated[
        str, what("NAME or NAME:VARIANT.", autocompletion=completion.dataset_references)
    ] = "clevr",
    objective: Annotated[
        str, what(f"One of: {known('objectives')}.", autocompletion=completion.objectives)
    ] = "reconstruction",
    preset: Annotated[
        str, how("What the settings change.", autocompletion=completion.presets)
    ] = "quick",
    overrides: Annotated[
        list[str] | None,
        how("Set any field of the configuration.", "--set", metavar="SECTION.FIELD=VALUE"),
    ] = None,
    seeds: Annotated[int, how("Seeds 0 to this number, one after the other.", min=1)] = 5,
    every: Annotated[int, how("Steps from one check to the next.", min=1)] = 50,
    goals: Annotated[int, how("1: FG-ARI 0.80; 2: also with mIoU 0.60.", min=1, max=2)] = 2,
    threads: Annotated[int, where("Threads of torch on a CPU.", min=1)] = 2,
    note: Annotated[str, output("What changed, for the row.")] = "",
    board: Annotated[Path | None, output("Add the row to this file too.")] = None,
    device: Device = "auto",
    data_dir: DataDir = DATA,
) -> None:
    """Time training until attention finds the objects of 200 images of val; prints a row.

    The clock stops during the checks. Processor time stands beside wall time.
    """
    from slotbench import api

    told = tuple(overrides or ())
    row = api.speedrun(
        objective,
        dataset=dataset,
        preset=preset,
        overrides=told,
        seeds=seeds,
        every=every,
        goals=goals,
        threads=threads,
        note=note or " ".join(told) or f"{preset} as it is",
        device=device,
        data_dir=data_dir,
    )
    typer.echo(row)
    if board is not None:
        from slotbench.suites.speedrun import add_row

        add_row(board, row)
