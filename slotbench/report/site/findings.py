"""The findings on the page: the answer and its evidence, the axes of a suite, and the ranks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slotbench.report.site.study import Study
from slotbench.results.leaderboard import Board
from slotbench.results.leaderboard.comparisons import Family
from slotbench.results.leaderboard.factors import Contrast
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM
from slotbench.results.leaderboard.verdict import plain
from slotbench.results.leaderboard.wording import MISSING, interval, p_value, signed

HEADINGS = (
    "measure",
    "difference",
    "95 % interval",
    "effect d",
    "p (corrected)",
    "pairs",
    "finding",
    "seeds more",
)
CONTRAST_HEADINGS = ("axis", "measure", "levels", *HEADINGS[1:-1])
MOST_CONTRASTS = 200


@dataclass(frozen=True)
class Plain:
    """A table that is only read."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """What stands at the top of the page."""

    question: str
    answer: str
    notes: tuple[str, ...]
    evidence: Plain | None
    axes: Plain | None


def findings(board: Board, study: Study) -> Findings:
    """Question, answer and evidence; the answer is the suite's where it asks of its axes."""
    verdict = board.verdict
    evidence = [_evidence(family) for family in board.families]
    of_families = not study.answer
    clear = any(family.result.n >= LEAST_FOR_A_CLAIM for family in board.families)
    notes = (*study.notes, *(verdict.notes if of_families else ()))
    return Findings(
        study.question,
        study.answer or verdict.headline,
        notes,
        Plain("Best self-supervised row minus the best of reconstruction", HEADINGS, evidence)
        if clear and of_families
        else None,
        _axes(study),
    )


def _evidence(family: Family) -> list[str]:
    name = f"{plain(family.metric)}: {family.metric}, {family.title}"
    if family.result.n < LEAST_FOR_A_CLAIM:
        return [name, *(MISSING,) * 4, str(family.result.n), family.verdict, MISSING]
    need = family.need
    more = MISSING if need is None else f"> {need.limit}" if need.more is None else str(need.more)
    return [name, *_numbers(family), family.verdict, more]


def _axes(study: Study) -> Plain | None:
    if not study.contrasts:
        return None
    found = sorted(
        study.contrasts, key=lambda each: 1.0 if each.corrected is None else each.corrected
    )
    left = len(found) - MOST_CONTRASTS
    note = f"and {left:,} more comparisons with a larger p." if left > 0 else ""
    rows = [_contrast(each) for each in found[:MOST_CONTRASTS]]
    return Plain(f"Axes of the suite {study.name}", CONTRAST_HEADINGS, rows, note)


def _contrast(each: Contrast) -> list[str]:
    names = [each.axis, plain(each.metric), f"{each.level} over {each.other}"]
    if each.result.n < LEAST_FOR_A_CLAIM:
        return [*names, *(MISSING,) * 4, str(each.result.n), each.verdict]
    return [*names, *_numbers(each), each.verdict]


def _numbers(found: Family | Contrast) -> list[str]:
    result = found.result
    effect = MISSING if result.effect is None else f"{result.effect:+.1f}"
    return [
        signed(result.difference),
        interval(result) or MISSING,
        effect,
        p_value(found.corrected).removeprefix("p = "),
        str(result.n),
    ]


def ranks(board: Board) -> tuple[list[Plain], list[Plain]]:
    """Rank tables over all datasets, and those of single ones; both empty without any rank."""
    found = list(_rank_tables(board))
    if not any(place.rank is not None for place in board.standings()):
        return [], []
    overall = [table for table in found if table.headings[0] == "mean rank"]
    return overall, [table for table in found if table.headings[0] != "mean rank"]


def _rank_tables(board: Board) -> Iterator[Plain]:
    for table in board.rank_tables():
        cells = [[cell.text for cell in row] for row in table.rows]
        yield Plain(table.title, table.headings, cells)
