"""The document of ``leaderboard --json``, in JSON types; DESIGN.md has the contract."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slotbench.results.leaderboard.comparisons import OURS, THEIRS, Family, Paired
from slotbench.results.leaderboard.formats import counts_of, names_of
from slotbench.results.leaderboard.grouping import Row
from slotbench.results.leaderboard.ranks import Overall, Standing
from slotbench.results.leaderboard.verdict import Verdict

_NO_VALUE = {"mean": None, "low": None, "high": None, "n": 0, "iqm": None}


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
        "seed_list": list(row.seeds),
        "metrics": {key: _cell(row, key) for key in present},
        "cost": cost,
        "warnings": list(row.warnings),
    }


def _cell(row: Row, key: str) -> dict[str, Any]:
    cell = vars(row.metrics[key]) if key in row.metrics else dict(_NO_VALUE)
    return {**cell, "scaled": asdict(row.scales[key])} if key in row.scales else cell


def pair_document(pair: Paired) -> dict[str, Any]:
    """One self-supervised row against a reconstruction row, on one metric."""
    result = pair.result
    found = {
        **names_of(pair.row),
        "budget": pair.row.budget,
        "against": pair.baseline.objective,
        "against_core": pair.baseline.core,
        "against_preset": pair.baseline.preset,
        "against_settings": pair.baseline.settings,
        "metric": pair.metric,
        "seeds": list(pair.seeds),
        "n": result.n,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "effect": result.effect,
        "share_of_pairs": result.share_of_pairs,
        "p": result.p,
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
