"""What an archive of people we do not trust may hold: names, kinds of members, sizes."""

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slotbench.datasets.originals.tree import shown
from slotbench.errors import UserError

CHUNK = 1 << 20
"""Bytes that are held at a time."""
DAMAGED = "The archive is damaged; fetch it again."
HOSTILE = "Nothing of it was unpacked. Is this the archive as it is published?"
MOST_NAME, MOST_PART = 1024, 255
"""Bytes of a member's name, and of one folder or file in it."""


@dataclass(frozen=True)
class Limits:
    """Beyond these an archive is taken for an attack."""

    member: int = 64 << 30
    """Bytes of one member."""
    total: int = 8 << 40
    """Bytes of all members."""
    members: int = 4_000_000
    ratio: int = 250
    """Bytes of members for each byte of the archive; JSON and label images have 10 to 100."""
    free: int = 64 << 20
    """Bytes of members for which any ratio is allowed: a few constant images compress well."""


LIMITS = Limits()


class Rules:
    """Checks the members of one archive as they come; errors name archive and member."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self._seen: set[str] = set()

    def error(self, what: str, member: str | None = None, advice: str = DAMAGED) -> UserError:
        where = shown(self.archive) + ("" if member is None else f", member {shown(member)}")
        return UserError(f"{where}: {what}.", advice)

    def name(self, raw: str) -> str:
        """A member's path below the archive's root, with ``/`` between its parts."""
        if any(unicodedata.category(character) == "Cc" for character in raw):
            raise self.error("its name has control characters", raw, HOSTILE)
        if "\\" in raw:
            raise self.error("its name has a backslash", raw, HOSTILE)
        if raw.startswith("/") or re.match("[A-Za-z]:", raw):
            raise self.error("its path is absolute", raw, HOSTILE)
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.error("its path leads out of the archive", raw, HOSTILE)
        if not parts:
            raise self.error("it has no name", raw, HOSTILE)
        longest = max(len(part.encode(errors="replace")) for part in parts)
        if len(raw.encode(errors="replace")) > MOST_NAME or longest > MOST_PART:
            raise self.error("its name is too long", f"{raw[:60]}...", HOSTILE)
        return "/".join(parts)

    def file(self, raw: str, size: int) -> str:
        """:meth:`name` of a member that is a file of ``size`` declared bytes."""
        name = self.name(raw)
        if name in self._seen:
            raise self.error("there are two members of this name", name, HOSTILE)
        self._seen.add(name)
        if len(self._seen) > self.limits.members:
            raise self.error(f"it has more than {self.limits.members:,} members", advice=HOSTILE)
        if not 0 <= size <= self.limits.member:
            raise self.error(
                f"{size:,} bytes, expected at most {self.limits.member:,}", name, HOSTILE
            )
        return name

    def volume(self, held: int, stored: int, member: str | None = None) -> None:
        """:class:`UserError` where ``held`` bytes from ``stored`` bytes of archive are too many."""
        if held > self.limits.total:
            raise self.error(f"it holds more than {self.limits.total:,} bytes", member, HOSTILE)
        if held > self.limits.free and held > self.limits.ratio * max(stored, 1):
            raise self.error(
                f"{stored:,} bytes would unpack to {held:,} or more: this is taken for an attack",
                member,
                HOSTILE,
            )


class Chunks(io.RawIOBase):
    """A stream over pieces of bytes that are made as they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def stream_of(pieces: Iterator[bytes]) -> BinaryIO:
    return io.BufferedReader(Chunks(pieces), CHUNK)
