"""The part of a file that was downloaded so far, and what is known of its source."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from slotbench.datasets.originals.download_http import Answer
from slotbench.errors import UserError
from slotbench.files import read_json, write_json
from slotbench.progress import bar

CHUNK = 1 << 20
ALGORITHMS = ("sha256", "md5", "crc32c")


class Part:
    """``<target>.part`` and its notes; a part without notes, or of another address, is dropped."""

    def __init__(self, target: Path, url: str) -> None:
        self.target, self.url = target, url
        self.path = target.with_name(target.name + ".part")
        self.notes_path = target.with_name(target.name + ".part.json")
        self._notes = self._read_notes()
        if self._notes.get("url") != url:
            self.discard()
        if self.total is not None and self.size > self.total:
            self.discard()

    def _read_notes(self) -> dict[str, Any]:
        try:
            notes = read_json(self.notes_path)
        except UserError:
            return {}
        kinds = {"url": str, "etag": str, "modified": str, "total": int | None, "sums": dict}
        good = isinstance(notes, dict) and all(
            key in notes and isinstance(notes[key], kind) for key, kind in kinds.items()
        )
        return notes if good else {}

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def total(self) -> int | None:
        """Bytes of the whole file; none where nobody has said."""
        return self._notes.get("total")

    @property
    def whole(self) -> bool:
        return self.total is not None and self.size == self.total and self.path.exists()

    @property
    def validator(self) -> str:
        """What a server is asked to go on by: a strong ETag, or the time of change; or nothing."""
        etag: str = self._notes.get("etag", "")
        return etag if etag.startswith('"') else str(self._notes.get("modified", ""))

    def same(self, answer: Answer) -> bool:
        """Whether an answer is of the version that the part is of, as far as it says."""
        noted = (self._notes.get("etag"), self._notes.get("modified"))
        return all(
            not (one and two) or one == two
            for one, two in zip(noted, (answer.etag, answer.modified), strict=True)
        )

    def begin(self, answer: Answer, total: int | None) -> None:
        """Forget what is there, and note what comes instead."""
        self.discard()
        self._notes = {
            "url": self.url,
            "etag": answer.etag,
            "modified": answer.modified,
            "total": total,
            "sums": answer.sums,
        }
        write_json(self.notes_path, self._notes)

    def note_total(self, total: int) -> None:
        self._notes["total"] = total
        write_json(self.notes_path, self._notes)

    def open(self) -> BinaryIO:
        return self.path.open("ab")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes_path.unlink(missing_ok=True)
        self._notes = {}

    def finish(self) -> None:
        self.path.replace(self.target)
        self.notes_path.unlink(missing_ok=True)

    def wrong(self, sha256: str | None, md5: str | None) -> str:
        """Which checksum does not match, in words; empty where all that are known do.

        Published ones, and those that the server states (``x-goog-hash`` of Google's storage).
        """
        expected = {
            name: text for name, text in self._notes.get("sums", {}).items() if name in ALGORITHMS
        }
        expected |= {"sha256": sha256} if sha256 else {"md5": md5} if md5 else {}
        found = _sums(self.path, list(expected)) if expected else {}
        for name, text in expected.items():
            if found[name] != text.lower():
                return f"its {name} is {found[name]}, expected {text.lower()}"
        return ""


def _sums(path: Path, names: list[str]) -> dict[str, str]:
    """Checksums of a file in hexadecimal, in one pass."""
    makers: dict[str, Callable[[], Any]] = {
        "sha256": hashlib.sha256,
        "md5": lambda: hashlib.md5(usedforsecurity=False),
        "crc32c": google_crc32c.Checksum,
    }
    sums = {name: makers[name]() for name in names}
    size = path.stat().st_size
    with bar(f"Checking {path.stem}", size, count=False) as progress, path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            for one in sums.values():
                one.update(piece)
            progress.set(stream.tell())
    return {name: one.digest().hex() for name, one in sums.items()}
