"""The verdict: self-supervision against reconstruction, in one sentence.

For every dataset and budget, the best contestants of both families are compared on
:data:`comparisons.PRIMARY` alone. The sentence claims a difference only if p < 0.05 after
correction. On boards without a difference, it claims one in at most 5 % of cases.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slotbench.progress import counted
from slotbench.results.leaderboard.comparisons import OURS, PRIMARY, THEIRS, Family, Paired
from slotbench.results.leaderboard.grouping import Group, Row
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, MARGIN, POWER
from slotbench.results.leaderboard.wording import interval, listed, p_value, signed

PLAIN = {
    "fg_ari/attention": "segmentation (FG-ARI)",
    "ari/attention": "segmentation with background (ARI)",
    "miou/attention": "segmentation (mIoU)",
    "properties/linear/mask/mean": "object properties",
    "found+described/attention": "objects found and described",
    "linear_probe/slots/map": "scene attributes",
}
"""Plain names of the compared metrics."""
_PHRASES = {
    "better": f"is better than the best of {THEIRS} on",
    "worse": f"is worse than the best of {THEIRS} on",
    "equivalent": f"is equivalent to the best of {THEIRS} (within {MARGIN:g}) on",
    "undecided": f"cannot be told from the best of {THEIRS} so far (undecided) on",
}


@dataclass(frozen=True)
class Verdict:
    """The claim, and its sentence."""

    claim: str
    """``better``, ``worse``, ``mixed``, ``equivalent``, ``undecided``, ``too few seeds`` or
    ``nothing to compare``."""
    sentence: str
    """The claim with its evidence."""
    headline: str
    """The short form, for the top of a page."""


def notes(paired: Sequence[Paired], families: Sequence[Family]) -> list[str]:
    """Notes on the choice of contestants, secondary measures, single rows, seeds and losses.

    ``paired`` are the comparisons of single rows on the same datasets.
    """
    told = list[str]()
    if clear := _clear(families):
        told = [*_choices(clear), *_secondary(families), *_single_rows(paired), *_further(clear)]
    return [*told, *_losses(paired)]


def verdict(families: Sequence[Family]) -> Verdict:
    """The verdict on the best contestants."""
    if not (clear := _clear(families)):
        return _nothing([family for family in families if family.metric == PRIMARY])
    found = {family.verdict for family in clear}
    shown = found & {"better", "worse"}
    said = "mixed" if len(shown) == 2 else shown.pop() if shown else ""
    said = said or ("equivalent" if found == {"equivalent"} else "undecided")
    start = f"the best {OURS} contestant"
    names = _said(clear, lambda family: family.row.group.dataset)
    where = "Not settled: in" if said == "undecided" else "In"
    short = f"{where} {plain(PRIMARY)}, {start} {names}."
    return Verdict(
        said,
        f"By {PRIMARY}, the measure fixed beforehand, {start} {_said(clear, _evidence)}.",
        _headline(clear[0]) if len(clear) == 1 else short,
    )


def compared(families: Sequence[Family]) -> list[Group]:
    """The data of the headline; empty if it compares nothing."""
    return [family.row.group for family in _clear(families)]


def _told(row: Row, *facts: str) -> str:
    """``reconstruction (seeded=true, 0.84)``: the row's name, settings and facts."""
    return f"{row.name} ({', '.join(filter(None, (row.settings, *facts)))})"


def _headline(family: Family) -> str:
    """One dataset: both contestants by name, with their means over seeds."""
    ours, theirs = family.row, family.baseline
    mean, other = (row.metrics[PRIMARY].mean for row in (ours, theirs))
    one = _told(ours, OURS, f"FG-ARI {mean:.2f}")
    two, dataset = _told(theirs, f"{other:.2f}"), ours.group.dataset
    if family.verdict == "undecided":
        seeds = family.result.n
        return f"Not settled: on {dataset}, {seeds} seeds cannot tell {one} from {two}."
    how = {"equivalent": "as well as"}.get(family.verdict, f"{family.verdict} than")
    return f"On {dataset}, {one} finds objects {how} {two}."


def _clear(families: Sequence[Family]) -> list[Family]:
    """The comparisons on the primary measure that have enough seeds for a claim."""
    return [each for each in families if each.metric == PRIMARY and _enough(each)]


def _enough(pair: Paired) -> bool:
    return pair.result.n >= LEAST_FOR_A_CLAIM


def plain(metric: str) -> str:
    """The plain name of a metric, or its key."""
    return PLAIN.get(metric, metric)


def _nothing(primary: Sequence[Family]) -> Verdict:
    if primary:
        most = max(family.result.n for family in primary)
        said, why = "too few seeds", f"too few seeds to say ({most} of {LEAST_FOR_A_CLAIM})"
    else:
        needed = f"the same data, image size and budget, and {PRIMARY}"
        said = "nothing to compare"
        why = f"nothing to compare yet; it takes runs of both with {needed}"
    sentence = f"Self-supervision against {THEIRS}: {why}."
    return Verdict(said, sentence, sentence)


def _said(found: Sequence[Family], words: Callable[[Family], str]) -> str:
    said: dict[str, list[str]] = defaultdict(list)
    for family in found:
        said[family.verdict].append(words(family))
    return "; it ".join(
        f"{phrase} {listed(list(dict.fromkeys(said[key])))}"
        for key, phrase in _PHRASES.items()
        if key in said
    )


def _evidence(family: Family) -> str:
    """``clevr:clevr6 (...: simclr against reconstruction +0.12 [...], 5 seeds, p = 0.008)``."""
    result = family.result
    return (
        f"{family.title[:-1]}: {family.row.named} against {family.baseline.named} "
        f"{signed(result.difference)} {interval(result)}, {result.n} seeds, "
        f"{p_value(family.corrected)})"
    )


def _choices(clear: Sequence[Family]) -> list[str]:
    lines = []
    for family in clear:
        ours, theirs = family.candidates
        if ours + theirs == 2:
            continue
        counts = f"of {ours} {OURS} and {theirs} {THEIRS} rows"
        best = f"On {family.title}, the best {counts} were chosen on"
        lines.append(
            f"{best} tuning seeds."
            if family.tuned
            else f"{best} the seeds that are compared, because not every row has the same tuning "
            "seeds (1000 and up). p is multiplied by the number of rows of the side that is ahead."
        )
    return lines


def _secondary(families: Sequence[Family]) -> list[str]:
    """The same contestants on the other measures, one line for each dataset."""
    lines: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for family in families:
        if family.metric != PRIMARY and _enough(family):
            lines[family.title][family.verdict].append(plain(family.metric))
    return [
        f"Secondary measures on {title}, after Holm's correction over them: "
        + "; ".join(f"{word} in {listed(said[word])}" for word in _PHRASES if word in said)
        + "."
        for title, said in lines.items()
    ]


def _single_rows(paired: Sequence[Paired]) -> list[str]:
    """The conclusions on single rows, on the primary measure."""
    tested = [pair for pair in paired if pair.metric == PRIMARY and pair.corrected is not None]
    if len(tested) < 2:
        return []
    counts = Counter(pair.verdict for pair in tested)
    said = listed([f"{counts[word]} {word}" for word in _PHRASES if counts[word]])
    return [f"Row by row on {PRIMARY}, after Holm's correction: {said} of {len(tested)}."]


def _further(clear: Sequence[Family]) -> list[str]:
    texts = [
        f"{f'more than {need.limit}' if need.more is None else need.more} on {family.title}"
        for family in clear
        if (need := family.need) is not None
    ]
    if not texts:
        return []
    return [
        f"More seeds that each side needs to show the difference seen so far, if it and its spread "
        f"are the true ones (power {100 * POWER:.0f} %): {listed(texts)}. Testing again and again "
        "while seeds are added needs a corrected level."
    ]


def _losses(paired: Sequence[Paired]) -> list[str]:
    """Failed runs and seeds without a partner; leaving them out may favour a family."""
    failed, alone = Counter[str](), set[tuple[Row, int]]()
    for row in dict.fromkeys(row for pair in paired for row in (pair.row, pair.baseline)):
        failed[row.family] += row.failed
    for pair in paired:
        for row, other in ((pair.row, pair.baseline), (pair.baseline, pair.row)):
            seeds, theirs = (side.values.get(pair.metric, {}).keys() for side in (row, other))
            alone.update((row, seed) for seed in seeds - theirs)
    lines = []
    if failed.total():
        counts = " and ".join(f"{count} of {name}" for name, count in failed.items() if count)
        lines.append(f"Failed runs, which are in no mean: {counts}.")
    if alone:
        said = counted(len(alone), "run")
        lines.append(f"Not compared, because the other side lacks the seed: {said}.")
    return lines
