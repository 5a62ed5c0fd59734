"""The leaderboard as plain values: parts of the document of ``--json``, and a data frame.

DESIGN.md has the contract of the document: JSON types only, None for missing values.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slotbench.results.leaderboard.collect import COSTS
from slotbench.results.leaderboard.comparisons import OURS, THEIRS, Family, Paired
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.ranks import Standing
from slotbench.results.leaderboard.statistics import EMPTY

if TYPE_CHECKING:
    import pandas as pd


def names_of(row: Row) -> dict[str, Any]:
    """What identifies a row among all others."""
    names = ("core", "objective", "alignment", "preset", "settings")
    return {**vars(row.group), **{name: getattr(row, name) for name in names}}


def counts_of(row: Row) -> dict[str, Any]:
    """Its family and how many of its seeds count."""
    counts = {"seeds": len(row.seeds), "failed": row.failed, "published": row.published}
    return {"family": row.family, "external": row.external, **counts}


def row_document(row: Row, members: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """A row; ``members`` are the rows of its dataset, whose metrics it has, null where missing."""
    cells = {
        key: vars(row.metrics.get(key, EMPTY))
        | ({"scaled": row.scales[key]} if key in row.scales else {})
        for key in metrics
        if any(key in member.metrics or key in member.scales for member in members)
    }
    # FLOPs are there where they were counted.
    known = {key: of for key, of in vars(row.cost).items() if key != "flops" or of is not None}
    return {
        **names_of(row),
        **counts_of(row),
        "tuning": row.config.get("tuning"),
        "seed_list": row.seeds,
        "metrics": cells,
        "cost": known,
        "warnings": row.warnings,
    }


def pair_document(pair: Paired) -> dict[str, Any]:
    """One self-supervised row against a reconstruction row, on one metric."""
    against, result = pair.baseline, asdict(pair.result)
    del result["spread"]
    found = {
        **names_of(pair.row),
        "budget": pair.row.budget,
        "against": against.objective,
        **{f"against_{name}": getattr(against, name) for name in ("core", "preset", "settings")},
        "metric": pair.metric,
        "seeds": pair.seeds,
        **result,
        "p_corrected": pair.corrected,
        "verdict": pair.verdict,
    }
    if isinstance(pair, Family):
        found |= {
            "families": [OURS, THEIRS],
            "candidates": pair.candidates,
            "chosen_on": "tuning seeds" if pair.tuned else "the same seeds",
            "seeds_needed": pair.need,
        }
    return found


def standing_document(found: Standing) -> dict[str, Any]:
    """A place: ``rank`` and ``last`` are the best and the worst that the intervals allow."""
    place = {"rank": found.rank, "last": found.last, "reason": found.reason}
    return {"metric": found.metric, **names_of(found.row), **place}


def long_form(rows: Sequence[Row], metrics: Sequence[str]) -> "pd.DataFrame":
    """A line for each row and metric, full precision; missing values are None.

    A row without any of its dataset's metrics (all its runs failed) has one line without metric.
    """
    import pandas as pd

    lines = []
    for _, members in by_group(rows):
        present = [metric for metric in metrics if any(metric in row.metrics for row in members)]
        for row in members:
            tuning = row.config.get("tuning") or {}
            names = {**names_of(row), **counts_of(row)}
            names |= {f"tuning_{name}": tuning.get(name) for name in ("trials", "steps")}
            rest = {name: getattr(row.cost, name) for name in COSTS}
            rest["warnings"] = "; ".join(row.warnings)
            for metric in present or [""]:
                cell = vars(row.metrics.get(metric, EMPTY))
                lines.append({**names, "metric": metric, **cell, **rest})
    return pd.DataFrame(lines, dtype=object)
