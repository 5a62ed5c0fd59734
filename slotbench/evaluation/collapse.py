"""Whether a representation has collapsed, from the numbers of slot health.

Imports nothing, so that tables that read it stay quick.
"""

from collections.abc import Mapping

LEAST_RANK = 1.3
"""Effective rank (Roy and Vetterli 2007) below which nearly all variance lies along one line:
two directions with 93 % and 7 % of it have 1.3."""
GREATEST_COSINE = 0.99
"""Mean cosine similarity of an image's slots above which they are one and the same."""


def collapse_warning(metrics: Mapping[str, float | None]) -> str | None:
    """The warning for a collapsed representation; None for any other.

    ``metrics`` are values by key; ``health/effective_rank`` and ``health/slot_cosine`` are read
    if present. Both are needed: slots on one line may point both ways (low rank, low cosine), and
    slots that have become one vector differ by noise in all directions (high rank, high cosine).

    Chosen on the preset ``quick`` on clevr6 (docs/log.md): untrained cores of every kind have a
    rank of 2.2 to 21 and a cosine up to 0.96, trained ones 3.1 to 9.4 and up to 0.93, SimSiam
    without its stop-gradient 1.06 to 1.25.
    """
    rank, cosine = (metrics.get(f"health/{key}") for key in ("effective_rank", "slot_cosine"))
    if rank is not None and rank < LEAST_RANK:
        return (
            "the representation collapsed: slots vary along one line at most "
            f"(effective rank {rank:.2f})"
        )
    if cosine is not None and cosine > GREATEST_COSINE:
        return (
            "the representation collapsed: all slots of an image are alike "
            f"(cosine similarity {cosine:.3f})"
        )
    return None
