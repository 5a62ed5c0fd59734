"""The command ``evaluate``."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from slotbench.cli import completion
from slotbench.cli.options import DATA, HOW, RESULTS, WHAT, DataDir, Device, Json, ResultsDir, known
from slotbench.cli.output import put, put_json


def evaluate(
    runs: Annotated[
        list[str] | None,
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ] = None,
    metrics: Annotated[
        str,
        Option(
            help=f"Groups with commas between, of: {known('metrics')}; all: each but "
            "decoder-probe, which takes minutes.",
            autocompletion=completion.metrics,
            rich_help_panel=WHAT,
        ),
    ] = "all",
    split: Annotated[str, Option(help="The split to judge on.", rich_help_panel=WHAT)] = "test",
    predictions: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Judge masks and slots from elsewhere: docs/predictions.md.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        Option(
            help="Judge a trivial masker: one-segment, voronoi or kmeans.", rich_help_panel=WHAT
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        Option(
            help="What predictions or a baseline are judged on.",
            autocompletion=completion.dataset_references,
            rich_help_panel=WHAT,
        ),
    ] = None,
    name: Annotated[
        str | None, Option(help="What predictions are called.", rich_help_panel=WHAT)
    ] = None,
    mask_source: Annotated[
        str,
        Option(help="What `masks` of predictions are: attention or decoder.", rich_help_panel=HOW),
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
            *runs, metrics=metrics, split=split, force=force, cache=cache, device=device, **where
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
            put(evaluation_table(title, document))
