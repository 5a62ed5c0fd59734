"""What a run's numbers warn of: slots that collapsed, and masks that ignore the image.

Imports nothing, for quick tables.
"""

from collections.abc import Mapping

LEAST_RANK = 1.3
"""Below this effective rank (Roy and Vetterli 2007) nearly all variance lies along one line: two
directions with 93 % and 7 % of it have 1.3."""
GREATEST_COSINE = 0.99
"""Above this mean cosine similarity the slots of an image are alike."""

LEAST_GAIN, LEAST_SCORE = 0.05, 0.2
"""Masks ignore the image where they gain less than this on FG-ARI, ARI and mIoU. Below that FG-ARI
there is nothing to explain."""


def region_warning(metrics: Mapping[str, float | None]) -> str | None:
    """The warning for masks that score no better than by another image's objects; else None.

    ``metrics`` are values by key, with ``fg_ari/attention``, its ``swapped`` and the ``gain`` of
    each metric if they are known.
    """
    own, swapped = (metrics.get(f"fg_ari/attention{end}") for end in ("", "/swapped"))
    gains = [metrics.get(f"{name}/attention/gain") for name in ("fg_ari", "ari", "miou")]
    follows = any(gain is None or gain >= LEAST_GAIN for gain in gains)
    if own is None or swapped is None or own < LEAST_SCORE or follows:
        return None
    return (
        "attention draws regions of the frame, not objects: by its own image's objects it scores "
        f"FG-ARI {own:.2f}, by another image's {swapped:.2f}"
    )


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
