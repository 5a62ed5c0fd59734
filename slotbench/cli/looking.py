"""The commands ``evaluate``, ``list``, ``show`` and ``bench``."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

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
    RunName,
    how,
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
    run: RunName,
    images: Annotated[int, what("How many of the first images to draw.")] = 6,
    index: Annotated[str | None, what("Draw these images instead.", metavar="3,17,40")] = None,
    split: Annotated[str, what("The split to draw from.")] = "test",
    ranked: Annotated[
        int, what("Score this many images to find the best and the worst; 0: none.")
    ] = 500,
    properties: Annotated[bool, what("Draw property predictions.")] = True,
    pictures: Annotated[bool, what("Draw masks in the terminal, too, where it can.")] = True,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """What a run is, its numbers, and its pictures."""
    from slotbench import api
    from slotbench.cli.printing import evaluation_table, run_table

    previews: list[Any] = []
    facts = api.show(
        run,
        images=images,
        index=_indices(index),
        split=split,
        ranked=ranked,
        properties=properties,
        preview=previews.append if pictures and sys.stdout.isatty() and not as_json else None,
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
    for preview in previews:
        from slotbench.report.preview import put_picture

        sources = ", ".join(f"{source} masks" for source in facts["drawn"]["images"][0]["fg_ari"])
        typer.echo(f"Image, true masks, {sources}:")
        put_picture(preview)
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
        if not re.fullmatch(r"\s*[0-9]{1,18}\s*", word):
            raise UserError(f"--index {text}: expected numbers with commas between, from 0.")
    return tuple(int(word) for word in words)


def evaluate(
    runs: Annotated[
        list[str] | None,
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ] = None,
    metrics: Annotated[
        str,
        what(
            f"Groups with commas between, of: {known('metrics')}; "
            "all: each but decoder-probe, which takes minutes.",
            autocompletion=completion.metrics,
        ),
    ] = "all",
    split: Annotated[str, what("The split to judge on.")] = "test",
    predictions: Annotated[
        Path | None,
        what("Judge masks and slots from elsewhere: docs/predictions.md.", metavar="FILE"),
    ] = None,
    baseline: Annotated[
        str | None, what("Judge a trivial masker: one-segment, voronoi or kmeans.")
    ] = None,
    dataset: Annotated[
        str | None,
        what(
            "Dataset of the predictions or the baseline; of a run: other data to judge it on.",
            autocompletion=completion.dataset_references,
        ),
    ] = None,
    name: Annotated[str | None, what("What predictions are called.")] = None,
    mask_source: Annotated[
        str, how("What `masks` of predictions are: attention, decoder or predictor.")
    ] = "attention",
    slots: Annotated[
        int | None, how("Slots of a baseline, or of a run on other data; none: objects + 1.")
    ] = None,
    seed: Annotated[int, how("Seed of the probes, for predictions and baselines.")] = 0,
    force: Annotated[bool, how("Compute what is there already, too.", "--force")] = False,
    cache: Annotated[bool, how("Keep what the core makes of each split.")] = True,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Judge trained runs, predictions from elsewhere or a baseline.

    What is missing is computed, and what an older version computed; the rest is read from the
    run's evaluation.json.
    """
    from slotbench import api
    from slotbench.results.judge_external import check_options

    check_options(runs, predictions, baseline, dataset, name, split)
    where = {"data_dir": data_dir, "results_dir": results_dir}
    if runs:
        results = api.evaluate(
            *runs,
            metrics=metrics,
            split=split,
            dataset=dataset,
            slots=slots,
            force=force,
            cache=cache,
            device=device,
            **where,
        )
    else:
        results = api.evaluate_external(
            str(dataset),
            predictions=predictions,
            name=name,
            mask_source=mask_source,
            baseline=baseline,
            slots=slots,
            metrics=metrics,
            seed=seed,
            force=force,
            **where,
        )
    if as_json:
        put_json({"schema": 1, "runs": results})
    else:
        from slotbench.cli.printing import evaluation_table

        for title, document in results.items():
            on = f" on {document['dataset']}" if "transfer" in document else ""
            put(evaluation_table(title + on, document))
