"""The parts of ``leaderboard --json``, in JSON types; DESIGN.md has the contract."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slotbench.results.leaderboard.comparisons import Family, Paired
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
    return {
        "dataset": row.group.dataset,
        "origin": row.group.origin,
        "image_size": row.group.image_size,
        "fingerprint": row.group.fingerprint,
        "core": row.core,
        "objective": row.objective,
        "alignment": row.alignment,
        "preset": row.preset,
        "settings": row.settings,
        "family": row.family,
        "external": row.external,
        "seeds": len(row.seeds),
        "seed_list": list(row.seeds),
        "failed": row.failed,
        "published": row.published,
        "metrics": {key: _cell(row, key) for key in present},
        "cost": {
            # FLOPs are there where they were counted.
            key: value
            for key, value in asdict(row.cost).items()
            if key != "flops" or value is not None
        },
        "warnings": list(row.warnings),
    }


def _cell(row: Row, key: str) -> dict[str, Any]:
    cell = vars(row.metrics[key]) if key in row.metrics else dict(_NO_VALUE)
    return {**cell, "scaled": asdict(row.scales[key])} if key in row.scales else cell


def comparison_document(pair: Paired) -> dict[str, Any]:
    """One self-supervised row against its reconstruction row, on one metric."""
    return {
        "dataset": pair.row.group.dataset,
        "origin": pair.row.group.origin,
        "image_size": pair.row.group.image_size,
        "fingerprint": pair.row.group.fingerprint,
        "core": pair.row.core,
        "preset": pair.row.preset,
        "objective": pair.row.objective,
        "alignment": pair.row.alignment,
        "settings": pair.row.settings,
        "against": pair.baseline.objective,
        "against_settings": pair.baseline.settings,
        "metric": pair.metric,
        "seeds": list(pair.seeds),
        **_result(pair),
    }


def family_document(family: Family) -> dict[str, Any]:
    """All self-supervised rows against reconstruction, on one metric."""
    return {
        "family": "self-supervised",
        "against": "reconstruction",
        "metric": family.metric,
        "rows": family.rows,
        "datasets": family.datasets,
        **_result(family),
    }


def _result(pair: Paired | Family) -> dict[str, Any]:
    result = pair.result
    return {
        "n": result.n,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "effect": result.effect,
        "probability_of_improvement": result.probability,
        "p": result.p,
        "p_holm": pair.corrected,
        "verdict": pair.verdict,
    }


def verdict_document(found: Verdict) -> dict[str, Any]:
    """The answer in words, and how many seeds more would settle what is open."""
    return {
        "claim": found.claim,
        "sentence": found.sentence,
        "headline": found.headline,
        "notes": list(found.notes),
        "seeds_needed": {
            metric: {"more": need.more, "power": need.power, "limit": need.limit}
            for metric, need in found.needs
        },
    }


def standing_document(found: Standing) -> dict[str, Any]:
    """A place: ``rank`` and ``last`` are the best and the worst that the intervals allow."""
    row = found.row
    return {
        "metric": found.metric,
        "dataset": row.group.dataset,
        "fingerprint": row.group.fingerprint,
        "core": row.core,
        "objective": row.objective,
        "alignment": row.alignment,
        "preset": row.preset,
        "settings": row.settings,
        "rank": found.rank,
        "last": found.last,
        "reason": found.reason,
    }


def overall_document(found: Overall) -> dict[str, Any]:
    """One configuration over all datasets of the document, in the order of their rows."""
    return {
        "metric": found.metric,
        "label": found.label,
        "ranks": list(found.ranks),
        "mean": found.mean,
    }
