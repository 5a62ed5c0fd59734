"""How objectives are combined: ``reconstruction+simclr:0.1`` names two and their weights."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from slotbench.errors import UserError
from slotbench.fields import number


class Part(NamedTuple):
    """One objective of a combination."""

    name: str
    weight: float


def parse(text: str) -> tuple[Part, ...]:
    """``a+b:0.1`` as its parts; a plain name is one. :class:`UserError` for any other form."""
    parts = []
    for piece in text.split("+"):
        name, colon, written = piece.strip().partition(":")
        try:
            weight = number(written) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not name or not 0 < weight < math.inf:
            raise UserError(
                f"--objective {text}: {piece!r} is no NAME or NAME:WEIGHT.",
                "For example: --objective reconstruction+simclr:0.1",
            )
        parts.append(Part(name, weight))
    if len({part.name for part in parts}) < len(parts):
        raise UserError(f"--objective {text}: names an objective twice.")
    if len(parts) == 1 and ":" in text:
        raise UserError(
            f"--objective {text}: a single objective has no weight.",
            f"Type: --objective {parts[0].name}",
        )
    return tuple(parts)


def canonical(text: str) -> str:
    """The one spelling of a combination: ``a + b:0.10`` and ``a+b:0.1`` are the same run."""

    def written(part: Part) -> str:
        # A plus sign would begin the next part.
        weight = f"{part.weight:.12g}".replace("e+", "e")
        return part.name if part.weight == 1 else f"{part.name}:{weight}"

    return "+".join(map(written, parse(text)))


def check(text: str, kinds: Mapping[str, Any]) -> None:
    """:class:`UserError` where several objectives cannot train one core together."""
    for name, kind in kinds.items():
        if not kind.trains:
            raise UserError(f"--objective {text}: {name!r} trains nothing; leave it out.")
    decoding = [name for name, kind in kinds.items() if kind.takes_decoder]
    if len(decoding) > 1:
        raise UserError(f"--objective {text}: {' and '.join(decoding)} have a decoder each.")
    if len({kind.temporal for kind in kinds.values() if kind.views}) > 1:
        raise UserError(
            f"--objective {text}: frames of a video and augmented views do not go together."
        )
