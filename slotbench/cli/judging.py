"""The command ``evaluate``."""

from pathlib import Path
from typing import Annotated

from typer import Argument

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
    put,
    put_json,
    what,
)


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
            "Dataset of the predictions or the baseline.",
            autocompletion=completion.dataset_references,
        ),
    ] = None,
    name: Annotated[str | None, what("What predictions are called.")] = None,
    mask_source: Annotated[
        str, how("What `masks` of predictions are: attention, decoder or predictor.")
    ] = "attention",
    slots: Annotated[int | None, how("Slots of a baseline; none: as cores.")] = None,
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
