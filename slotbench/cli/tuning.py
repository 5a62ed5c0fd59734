"""The command ``tune``."""

from typing import Annotated

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
    put_json,
    what,
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
