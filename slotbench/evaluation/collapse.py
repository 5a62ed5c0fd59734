"""Whether a representation has collapsed, from slot health. Imports nothing, for quick tables."""

from collections.abc import Mapping

LEAST_RANK = 1.3
"""Below this effective rank (Roy and Vetterli 2007) nearly all variance lies along one line: two
directions with 93 % and 7 % of it have 1.3."""
GREATEST_COSINE = 0.99
"""Above this mean cosine similarity the slots of an image are alike."""


def collapse_warning(metrics: Mapping[str, float | None]) -> str | None:
    """The warning for a collapsed representation; None for any other.

    ``metrics`` are values by key, with ``health/effective_rank`` and ``health/slot_cosine`` if they
    are known. Both tests are needed: slots on one line may point both ways (low rank, low cosine),
    and slots that are one vector differ by noise in all directions (high rank, high cosine).

    The limits are from the preset ``quick`` on clevr6 (docs/log.md). Untrained cores have a rank of
    2.2 to 21 and a cosine up to 0.96, trained ones 3.1 to 9.4 and up to 0.93, SimSiam without its
    stop-gradient 1.06 to 1.25.
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
