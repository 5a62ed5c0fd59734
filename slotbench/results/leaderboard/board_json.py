"""The leaderboard as plain values: the document of ``--json``, and a data frame.

DESIGN.md has the contract of the document: JSON types only, None for missing values.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slotbench.results.leaderboard.collect import COSTS
from slotbench.results.leaderboard.comparisons import OURS, THEIRS, Family, Paired
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.ranks import Overall, Standing
from slotbench.results.leaderboard.statistics import Summary
from slotbench.results.leaderboard.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

_EMPTY = Summary(None, None, None, 0, None)


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
    present = [
        key
        for key in metrics
        if any(key in member.metrics or key in member.scales for member in members)
    ]
    cost = asdict(row.cost)
    if cost["flops"] is None:  # FLOPs are there where they were counted
        del cost["flops"]
    return {
        **names_of(row),
        **counts_of(row),
        "tuning": row.config.get("tuning"),
        "seed_list": list(row.seeds),
        "metrics": {key: _cell(row, key) for key in present},
        "cost": cost,
        "warnings": list(row.warnings),
    }


def _cell(row: Row, key: str) -> dict[str, Any]:
    cell = dict(vars(row.metrics.get(key, _EMPTY)))
    return {**cell, "scaled": asdict(row.scales[key])} if key in row.scales else cell


def pair_document(pair: Paired) -> dict[str, Any]:
    """One self-supervised row against a reconstruction row, on one metric."""
    against, result = pair.baseline, asdict(pair.result)
    del result["spread"]
    found = {
        **names_of(pair.row),
        "budget": pair.row.budget,
        "against": against.objective,
        "against_core": against.core,
        "against_preset": against.preset,
        "against_settings": against.settings,
        "metric": pair.metric,
        "seeds": list(pair.seeds),
        **result,
        "p_corrected": pair.corrected,
        "verdict": pair.verdict,
    }
    if not isinstance(pair, Family):
        return found
    return found | {
        "families": [OURS, THEIRS],
        "candidates": list(pair.candidates),
        "chosen_on": "tuning seeds" if pair.tuned else "the same seeds",
        "seeds_needed": None if pair.need is None else asdict(pair.need),
    }


def verdict_document(found: Verdict) -> dict[str, Any]:
    """The answer in words."""
    return {**asdict(found), "notes": list(found.notes)}


def standing_document(found: Standing) -> dict[str, Any]:
    """A place: ``rank`` and ``last`` are the best and the worst that the intervals allow."""
    place = {"rank": found.rank, "last": found.last, "reason": found.reason}
    return {"metric": found.metric, **names_of(found.row), **place}


def overall_document(found: Overall) -> dict[str, Any]:
    """One configuration over all datasets of the document, in the order of their rows."""
    return {**asdict(found), "ranks": list(found.ranks)}


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
                cell = vars(row.metrics.get(metric, _EMPTY))
                lines.append({**names, "metric": metric, **cell, **rest})
    return pd.DataFrame(lines, dtype=object)
