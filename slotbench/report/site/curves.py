"""Learning curves as small SVGs, written by hand so that hundreds of them stay below a megabyte."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from slotbench.results.leaderboard.wording import number

Curve = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 230, 132
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 20, 6, 26


def curves(title: str, family: str, seeds: Mapping[int, Curve]) -> Markup:
    """The training loss of each seed by step, a line a seed; on a log scale where all are > 0.

    The style sheet has the colour of the family.
    """
    points = [point for curve in seeds.values() for point in curve]
    logarithmic = all(loss > 0 for _, loss in points)
    height, value = (math.log, math.exp) if logarithmic else (float, float)
    heights = [height(loss) for _, loss in points]
    low, high, last = min(heights), max(heights), max(step for step, _ in points)

    def place(step: float, loss: float) -> str:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * step / (last or 1)
        share = (height(loss) - low) / ((high - low) or 1)
        return f"{x:.0f},{HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share:.0f}"

    lines = "".join(
        f'<polyline points="{" ".join(place(*point) for point in curve)}"/>'
        for curve in seeds.values()
    )
    base = HEIGHT - _BOTTOM
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="curve" data-family="{escape(family)}" '
        f'aria-hidden="true"><text x="{_LEFT}" y="11" font-weight="600">{escape(title)}</text>'
        f'<path d="M{_LEFT} {_TOP}V{base}H{WIDTH - _RIGHT}"/><g>{lines}</g>'
        f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{number(value(high))}</text>'
        f'<text x="{_LEFT - 4}" y="{base}" text-anchor="end">{number(value(low))}</text>'
        f'<text x="{_LEFT}" y="{HEIGHT - 12}">0</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 12}" text-anchor="end">step {last:,.0f}</text>'
        "</svg>"
    )
