"""The answer to the question of the project, in one sentence that the numbers support.

Self-supervision as a whole against reconstruction: paired by seed and dataset, one comparison
for each of ``comparisons.METRICS``, Holm's correction over them. The sentence says ``better`` or
``worse`` only where p < 0.05 after correction, and below three shared seeds nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slotbench.results.leaderboard.comparisons import Family, Paired
from slotbench.results.leaderboard.memo import Memo
from slotbench.results.leaderboard.power import POWER, Need
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, SIGNIFICANT
from slotbench.results.leaderboard.wording import interval, p_value, signed, span

OURS, THEIRS = "self-supervision", "reconstruction"


@dataclass(frozen=True)
class Verdict:
    """What may be said of all self-supervised rows together."""

    claim: str
    """``better``, ``worse``, ``mixed``, ``none shown``, ``too few seeds`` or ``nothing to
    compare``."""
    sentence: str
    """What is claimed, with its evidence."""
    headline: str
    """The same without numbers, in words that need no key."""
    notes: tuple[str, ...]
    """What belongs to the sentence: single rows, further seeds, what failed or is missing."""
    needs: tuple[tuple[str, Need], ...]
    """For each metric without a finding, how many seeds more would settle it."""


def verdict(
    paired: Sequence[Paired], families: Sequence[Family], memo: Memo | None = None
) -> Verdict:
    """The verdict on comparisons, ``families`` being those of the same ones."""
    clear = [family for family in families if family.result.n >= LEAST_FOR_A_CLAIM]
    if not clear:
        claim, sentence = _nothing(paired)
        return Verdict(claim, sentence, sentence, tuple(_losses(paired)), ())
    needs = tuple(
        (family.metric, need)
        for family in clear
        if family.verdict not in ("better", "worse")
        and (need := _need(family, len(clear), memo or Memo())) is not None
    )
    shown = {family.verdict for family in clear} & {"better", "worse"}
    claim = "mixed" if len(shown) == 2 else shown.pop() if shown else "none shown"
    notes = (*_single_rows(paired), *_further(needs, clear), *_losses(paired))
    return Verdict(claim, _sentence(clear), _headline(claim, clear), notes, needs)


def _nothing(paired: Sequence[Paired]) -> tuple[str, str]:
    start = f"{OURS.capitalize()} against {THEIRS}"
    if not paired:
        return "nothing to compare", (
            f"{start}: nothing to compare yet; it takes runs of both with the same data, core, "
            "preset and settings."
        )
    most = max(len(pair.seeds) for pair in paired)
    if most < LEAST_FOR_A_CLAIM:
        words = f"too few seeds to say ({most} of {LEAST_FOR_A_CLAIM})"
    else:
        words = "too few seeds that all rows share to say more than the lines above"
    return "too few seeds", f"{start}: {words}."


_PHRASES = {
    "better": f"is better than {THEIRS} on",
    "worse": f"is worse than {THEIRS} on",
    "leans better, not significant": "leans better, not significantly, on",
    "leans worse, not significant": "leans worse, not significantly, on",
    "no difference shown": "shows no difference on",
}


PLAIN = {
    "fg_ari/attention": "segmentation (FG-ARI)",
    "properties/linear/loss/mean": "object properties",
    "properties/linear/mask/mean": "object properties matched by masks",
    "linear_probe/slots/map": "scene attributes",
}
"""The metrics that are compared, in words."""


def plain(metric: str) -> str:
    return PLAIN.get(metric, metric)


def _sentence(clear: Sequence[Family]) -> str:
    extent = f"{span(clear, 'rows', 'row')} on {span(clear, 'datasets', 'dataset')}"
    said = _said(clear, _evidence)
    return f"Mean over {extent} ({_pairs(clear)} pairs of one seed), {OURS} {said}."


def _headline(claim: str, clear: Sequence[Family]) -> str:
    extent = f"{span(clear, 'rows', 'row')} on {span(clear, 'datasets', 'dataset')}"
    said = _said(clear, lambda family: plain(family.metric))
    start = "Not settled: over" if claim == "none shown" else "Over"
    return f"{start} {_pairs(clear)} paired seeds of {extent}, {OURS} {said}."


def _said(clear: Sequence[Family], words: Callable[[Family], str]) -> str:
    said: dict[str, list[str]] = {}
    for family in clear:
        said.setdefault(family.verdict, []).append(words(family))
    return "; it ".join(
        f"{phrase} {_listed(said[key])}" for key, phrase in _PHRASES.items() if key in said
    )


def _pairs(clear: Sequence[Family]) -> str:
    counts = sorted({family.result.n for family in clear})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _evidence(family: Family) -> str:
    """``fg_ari/attention (-0.23 [-0.31, -0.15], d = -1.9, p = 0.008)``."""
    result = family.result
    effect = "" if result.effect is None else f", d = {result.effect:+.1f}"
    return (
        f"{family.metric} ({signed(result.difference)} {interval(result)}{effect}, "
        f"{p_value(family.corrected)})"
    )


def _need(family: Family, comparisons: int, memo: Memo) -> Need | None:
    # Holm's correction asks for this much of the smallest p at most: it is on the safe side.
    return memo.need(family.strata, SIGNIFICANT / comparisons, "power", family.metric)


def _further(needs: Sequence[tuple[str, Need]], clear: Sequence[Family]) -> list[str]:
    if not needs:
        return []
    texts = []
    for metric, need in needs:
        more = f"more than {need.limit}" if need.more is None else str(need.more)
        texts.append(f"{more} for {metric}")
    strata = max(len(family.strata) for family in clear)
    where = "" if strata == 1 else f" of each of the {strata} reconstruction rows"
    return [
        f"Seeds more{where} that would settle it, if the difference and spread seen so far are "
        f"the true ones (power {POWER:.0%}): {_listed(texts)}."
    ]


def _single_rows(paired: Sequence[Paired]) -> list[str]:
    """How the rows fare one by one; the best is not picked: it would be a winner by luck, too."""
    lines = []
    for metric in dict.fromkeys(pair.metric for pair in paired):
        tested = [pair for pair in paired if pair.metric == metric and pair.corrected is not None]
        if len(tested) < 2:
            continue
        counts = [sum(pair.verdict == word for pair in tested) for word in ("better", "worse")]
        lines.append(f"{counts[0]} better and {counts[1]} worse of {len(tested)} on {metric}")
    return [f"Row by row after Holm's correction: {_listed(lines)}."] if lines else []


def _losses(paired: Sequence[Paired]) -> list[str]:
    """Failed runs and seeds without a partner: they are in no mean, and that may flatter one."""
    rows = {id(row): row for pair in paired for row in (pair.row, pair.baseline)}.values()
    lines = []
    failed = {
        name: sum(row.failed for row in rows if row.family == family)
        for name, family in ((OURS, "self-supervised"), (THEIRS, "reconstruction"))
    }
    if any(failed.values()):
        counts = " and ".join(f"{count} of {name}" for name, count in failed.items() if count)
        lines.append(f"Failed runs, which are in no mean: {counts}.")
    alone = {
        (id(row), seed)
        for pair in paired
        for row, other in ((pair.row, pair.baseline), (pair.baseline, pair.row))
        for seed in row.values.get(pair.metric, {}).keys() - set(pair.seeds)
        if seed not in other.values.get(pair.metric, {})
    }
    if alone:
        lines.append(f"Runs without a partner of the same seed, not compared: {len(alone)}.")
    return lines


def _listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
