"""``slotbench reproduce``: trains a published row with one more seed, and compares the two.

If seeds are normally distributed, 95 of 100 further seeds fall into Student's prediction interval,
mean +- t(n - 1) s sqrt(1 + 1 / n) (Hahn and Meeker, *Statistical Intervals*, Section 4.7). The
leaderboard shows the interval of the mean, which is narrower.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from slotbench.config.resolve import dataset_info
from slotbench.config.run_config import RunConfig
from slotbench.errors import UserError
from slotbench.evaluation.groups import current_version
from slotbench.files import read_document
from slotbench.progress import counted
from slotbench.registry import unknown
from slotbench.results.documents import Evaluation
from slotbench.results.leaderboard import Row, rows
from slotbench.results.leaderboard.collect import published
from slotbench.results.leaderboard.comparisons import PRIMARY, SECONDARY
from slotbench.results.leaderboard.records import Found
from slotbench.results.leaderboard.statistics import LEVEL
from slotbench.results.models import open_dataset
from slotbench.results.run import Run
from slotbench.results.work import begin
from slotbench.training.loop import Host

LEAST = 2
"""Seeds that give a spread."""


def reproduce(
    study: str, row: str, seed: int | None, host: Host, data_dir: Path, results_dir: Path
) -> dict[str, Any]:
    """Train and evaluate the row with another seed, and compare it with the published ones.

    ``study`` is a file or bundle of published records, or the beginning of such names; ``row`` an
    objective, ``objective/alignment``, or the row's key. Without a ``seed``, the first one that is
    not published is taken. :class:`UserError` where no row or more than one fits, the row has
    fewer than two seeds, or this slotbench trains another version of it.
    """
    runs = _of_study(study, results_dir)
    chosen = _chosen(row, rows(runs), study)
    same = [
        run for run in runs if run.row == chosen.key and run.counts and run.seed in chosen.seeds
    ]
    seeds = len(_values(same, PRIMARY))
    if seeds < LEAST:
        raise UserError(
            f"--row {row}: {counted(seeds, 'published seed')} with {PRIMARY} of today's version; "
            f"expected {LEAST} or more, because one has no spread.",
            "Choose another row: slotbench leaderboard --all",
        )
    config = _configuration(same[0])
    if seed is None:
        seed = next(number for number in count() if number not in chosen.seeds)
    with open_dataset(config, data_dir, alike=True) as dataset:
        config = replace(config, seed=seed, dataset=dataset_info(dataset))
        run = begin(Run.of(config, results_dir), config, dataset, host, evaluate=True)
    found = read_document(run.evaluation, Evaluation).metrics
    values = {key: cell["value"] for key, cell in found.items()}
    return {
        "schema": 1,
        "study": study,
        "row": chosen.label,
        "dataset": chosen.group.dataset,
        "seeds": list(chosen.seeds),
        "seed": seed,
        "run": str(run.path),
        "metrics": list(_compared(same, values)),
    }


def _of_study(study: str, results_dir: Path) -> list[Found]:
    """The published runs whose file or bundle is ``study``, or begins with it and a hyphen."""
    found = [(_place(run), run) for run in published(results_dir)]
    known = sorted({place for place, _ in found})
    chosen = [run for place, run in found if place == study or place.startswith(f"{study}-")]
    if not chosen:
        raise unknown("published study", study, known)
    if not any(run.counts for run in chosen):
        why = next((text for run in chosen for text in run.problems), "it holds no run")
        raise UserError(f"{study}: no run of it counts; the first {why}.", "Ask for it anew.")
    return chosen


def _place(run: Found) -> str:
    """``seeds-clevr6`` of the run ``published/seeds-clevr6.json, run 3``."""
    return run.run.split("/")[1].partition(".json")[0]


def _chosen(name: str, known: Sequence[Row], study: str) -> Row:
    """The row of that name."""
    trained = [row for row in known if row.preset and row.seeds]
    fitting = [row for row in trained if name in _names(row)]
    if not fitting:
        raise unknown(f"row of {study}", name, sorted({next(_names(row)) for row in trained}))
    if len(fitting) > 1:
        listed = "\n".join(
            f"  {row.key[:8]}  {row.group.dataset}: {row.label}, {counted(len(row.seeds), 'seed')}"
            for row in fitting
        )
        raise UserError(
            f"--row {name}: {len(fitting)} rows of {study} have this name.",
            f"Type the key of one, such as --row {fitting[0].key[:8]}\n{listed}",
        )
    return fitting[0]


def _names(row: Row) -> Iterator[str]:
    """The names of a row that ``--row`` accepts."""
    yield row.objective if row.alignment is None else f"{row.objective}/{row.alignment}"
    yield from (row.objective, row.name, row.named, row.key, row.key[:8])


def _configuration(run: Found) -> RunConfig:
    """The configuration of a published run; :class:`UserError` where it trains otherwise now."""
    config = RunConfig.from_dict(run.config, run.run)
    before, now = run.config.get("versions"), config.to_dict()["versions"]
    if before != now:
        raise UserError(
            f"{run.run} was trained by other versions ({before}) than this slotbench has ({now}).",
            "Install the slotbench of that time to train it anew.",
        )
    if others := sorted(run.config.keys() - config.to_dict().keys()):
        raise UserError(
            f"{run.run} has settings that this slotbench does not know: {', '.join(others)}.",
            "Install the version that wrote it.",
        )
    return config


def _values(runs: Sequence[Found], metric: str) -> list[float]:
    """The published values of today's version of a metric."""
    version = current_version(metric)
    known = [run.values for run in runs if run.versions.get(metric) == version]
    return [values[metric] for values in known if metric in values]


def _compared(runs: Sequence[Found], values: dict[str, float | None]) -> Iterator[dict[str, Any]]:
    """The primary and the secondary measures that both have."""
    for key in (PRIMARY, *SECONDARY):
        value, before = values.get(key), _values(runs, key)
        if value is not None and len(before) >= LEAST:
            low, high = prediction_interval(before)
            yield {
                "metric": key,
                "published": statistics.fmean(before),
                "n": len(before),
                "low": low,
                "high": high,
                "value": value,
                "inside": low <= value <= high,
            }


def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where one more value falls in 95 of 100 cases; ``values`` are two or more."""
    from scipy.stats import t

    n, spread = len(values), statistics.stdev(values)
    low, high = t.interval(LEVEL, n - 1, statistics.fmean(values), spread * math.sqrt(1 + 1 / n))
    return float(low), float(high)
