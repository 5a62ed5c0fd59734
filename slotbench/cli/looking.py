"""The commands ``list``, ``show`` and ``bench``."""

from typing import Annotated

import typer
from typer import Argument, Option

from slotbench import registry
from slotbench.cli import completion
from slotbench.cli.options import (
    DATA,
    RESULTS,
    DataDir,
    Device,
    Json,
    ResultsDir,
    known,
    put,
    put_json,
    what,
)
from slotbench.errors import UserError


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
        from slotbench.cli.printing import registry_table

        for item in shown:
            put(registry_table(item, registry.entries(item)))


def show(
    run: Annotated[
        str, Argument(metavar="RUN", help="Directory or id.", autocompletion=completion.runs)
    ],
    images: Annotated[int, what("How many of the first images to draw.")] = 6,
    index: Annotated[str | None, what("Draw these images instead.", metavar="3,17,40")] = None,
    split: Annotated[str, what("The split to draw from.")] = "test",
    ranked: Annotated[
        int, what("Score this many images to find the best and the worst; 0: none.")
    ] = 500,
    properties: Annotated[bool, what("Draw property predictions.")] = True,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """What a run is, its numbers, and its pictures."""
    from slotbench import api
    from slotbench.cli.printing import evaluation_table, run_table

    facts = api.show(
        run,
        images=images,
        index=_indices(index),
        split=split,
        ranked=ranked,
        properties=properties,
        device=device,
        data_dir=data_dir,
        results_dir=results_dir,
    )
    if as_json:
        put_json(facts)
        return
    put(run_table(facts))
    if facts["evaluation"]:
        put(evaluation_table(facts["run"], facts["evaluation"]))
    for picture in facts["pictures"]:
        typer.echo(picture)


def bench(
    preset: Annotated[
        str, Option(help=f"One of: {known('presets')}.", autocompletion=completion.presets)
    ] = "quick",
    dataset: Annotated[str | None, what("Also time loading from this dataset.")] = None,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    as_json: Json = False,
) -> None:
    """Throughput on this machine: seconds a step for every objective."""
    from slotbench import api

    rows = api.bench(preset, dataset=dataset, device=device, data_dir=data_dir)
    if as_json:
        put_json({"schema": 1, "rows": rows})
    else:
        from slotbench.cli.printing import throughput_table

        put(throughput_table(rows))


def _indices(text: str | None) -> tuple[int, ...]:
    words = [] if text is None else text.split(",")
    for word in words:
        if not (word.strip().isascii() and word.strip().isdigit()):
            raise UserError(f"--index {text}: expected numbers with commas between, from 0.")
    return tuple(int(word) for word in words)
