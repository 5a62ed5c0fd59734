"""The index: what the leaderboard read last time, so that 10,000 runs need not be read again.

One file, ``results/.leaderboard-index.npz``. It is never the truth: an entry counts while the
three files of its run have the size and the times that they had when they were read, and only
for runs that are done or failed; everything else is read from the run's directory. A file that
is missing, damaged, or written by other code counts as empty. Deleting it is always safe.

Writers never wait for each other: each writes a file of its own and renames it. The last one
wins, and what another had read is read again.
"""

import contextlib
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.evaluation import collapse
from slotbench.files import read_json
from slotbench.results import entries
from slotbench.results.leaderboard import memo, records
from slotbench.results.leaderboard.memo import Memo
from slotbench.results.leaderboard.records import Found, describe, family_of, unreadable
from slotbench.results.run import Run

NAME = ".leaderboard-index.npz"
FILES = ("config.json", "status.json", "evaluation.json")
FINAL = ("done", "failed")
"""States that no living process will change without writing ``status.json``."""
WORTHWHILE = 64
"""Entries that must be new before the index is written again."""
_SETTLED_NS = 2_000_000_000
"""A file younger than this may change again without another time stamp."""
_SHARED = (
    "dataset",
    "origin",
    "image_size",
    "fingerprint",
    "core",
    "objective",
    "alignment",
    "preset",
    "settings",
    "external",
    "pair",
)
_OWN = (
    "seed",
    "state",
    "reason",
    "counts",
    "problems",
    "warnings",
    "step",
    "steps",
    "seconds",
    "images_per_second",
    "parameters",
    "flops",
    "device",
    "protocol",
)
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    NotImplementedError,
)

Key = tuple[int, ...]
"""Size, time of change and time of status change of each of :data:`FILES`; -1: no such file."""


class Index:
    """Runs below ``results_dir`` and the statistics of their tables, as last read."""

    def __init__(self, results_dir: Path, *, use: bool = True) -> None:
        """Without ``use``, nothing is taken from the file and nothing written to it."""
        self.results_dir, self.use = results_dir, use
        self.file = results_dir / NAME
        self.entries: dict[str, tuple[Key, Found]] = {}
        self.memo = Memo()
        self.read_anew = 0
        """Entries that the file does not have."""
        if use:
            with contextlib.suppress(*_DAMAGED):
                self._load()

    def runs(self) -> list[Found]:
        """Every run directory, in the order of its path; free to be changed by the caller."""
        found, known = [], {}
        settled = time.time_ns() - _SETTLED_NS
        for name, path in _directories(self.results_dir / "runs"):
            key = _key(path)
            entry = self.entries.get(name)
            if entry is None or entry[0] != key:
                run = read(Path(path), name)
                final = run["state"] in FINAL and "row" in run
                # A file that was replaced while it was read has another key by now.
                if final and max(key) < settled and _key(path) == key:
                    known[name] = (key, run)
                    self.read_anew += 1
            else:
                run = entry[1]
                known[name] = entry
            found.append(_copy(run))
        self.read_anew += len(self.entries.keys() - known.keys())
        self.entries = known
        return found

    def save(self) -> None:
        """Write the file where there is enough that is new; a disk that refuses is no error."""
        if not self.use or self.read_anew + self.memo.computed // 16 < WORTHWHILE:
            return
        content = io.BytesIO()
        np.savez(content, **self._arrays())  # type: ignore[arg-type]  # its other option is a bool
        with contextlib.suppress(OSError):
            self._replace(content.getbuffer())
            self.read_anew = self.memo.computed = 0

    def _replace(self, content: memoryview) -> None:
        # Process numbers are not unique where machines share a disk.
        temporary = self.file.with_name(f"{NAME}.{os.urandom(6).hex()}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(self.file)
        finally:
            temporary.unlink(missing_ok=True)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        metrics = sorted({key for _, run in self.entries.values() for key in run["values"]})
        values = np.full((len(self.entries), len(metrics)), np.nan)
        column = {key: place for place, key in enumerate(metrics)}
        shared: dict[str, Any] = {}
        versions: dict[str, int] = {}
        runs = []
        for place, (name, (_, run)) in enumerate(self.entries.items()):
            for key, value in run["values"].items():
                values[place, column[key]] = value
            if run["row"] not in shared:
                config = {key: value for key, value in run["config"].items() if key != "seed"}
                shared[run["row"]] = [config, *(run[field] for field in _SHARED)]
            text = json.dumps(run["versions"], sort_keys=True)
            version = versions.setdefault(text, len(versions))
            runs.append([name, run["row"], version, *(run.get(field) for field in _OWN)])
        document = {
            "code": code(),
            "metrics": metrics,
            "shared": shared,
            "runs": runs,
            "versions": [json.loads(text) for text in versions],
        }
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        keys = np.array([key for key, _ in self.entries.values()], dtype=np.int64)
        digests, fields = self.memo.arrays()
        return {
            "document": np.frombuffer(text.encode(), dtype=np.uint8),
            "keys": keys.reshape(len(self.entries), 3 * len(FILES)),
            "values": values,
            "digests": digests,
            "fields": fields,
        }

    def _load(self) -> None:
        # Each member's checksum is checked as it is read; nothing is unpickled.
        with self.file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        document = json.loads(arrays["document"].tobytes())
        if document["code"] != code():
            return
        found = dict(_entries(document, arrays["keys"], arrays["values"]))
        self.memo = Memo(arrays["digests"], arrays["fields"])
        self.entries = found


def _entries(
    document: dict[str, Any], keys: npt.NDArray[Any], values: npt.NDArray[Any]
) -> Iterator[tuple[str, tuple[Key, Found]]]:
    """The entries that :meth:`Index._arrays` stored; raises where a field is missing or odd."""
    metrics, versions = document["metrics"], document["versions"]
    shared = {
        row: {"config": config, **dict(zip(_SHARED, fields, strict=True))}
        for row, (config, *fields) in document["shared"].items()
    }
    for common in shared.values():
        # What a plugin registers may differ from one start to the next.
        common["family"] = family_of(common["objective"])
    known = ~np.isnan(values)
    whole = known.all(axis=1).tolist()
    fits = len(document["runs"]) == len(keys) == len(values)
    if not fits or not all(isinstance(known, dict) for known in versions):
        raise ValueError("the index does not fit together")
    for place, ((name, row, version, *own), key) in enumerate(
        zip(document["runs"], keys.tolist(), strict=True)
    ):
        cells = dict(zip(metrics, values[place].tolist(), strict=True))
        if not whole[place]:
            cells = {metric: value for metric, value in cells.items() if value == value}
        run = {**shared[row], "run": name, "published": False, "row": row, "values": cells}
        run.update(zip(_OWN, own, strict=True))
        run["config"] = {**run["config"], "seed": run["seed"]}
        run["protocol"], run["versions"] = tuple(run["protocol"]), versions[version]
        yield name, (tuple(key), run)


def read(path: Path, name: str) -> Found:
    """One run, external entry or baseline, from its directory; ``name`` is shown for it."""
    run = Run(path)
    try:
        config = read_json(run.config_file)
        status = run.status()
    except (UserError, OSError, KeyError, TypeError, AttributeError) as error:
        return unreadable(name, published=False, why=reason(error, path))
    try:
        evaluation = read_json(run.evaluation) if run.evaluation.exists() else None
    except (UserError, OSError) as error:
        evaluation = reason(error, path)
    return describe(name, config, status, evaluation, published=False)


def reason(error: Exception, path: Path) -> str:
    """The error in words, without the folder that the warning names anyway."""
    return str(error).replace(f"{path}/", "").replace(f"{path} ", "").rstrip(".")


def _copy(run: Found) -> Found:
    return {**run, "problems": list(run["problems"]), "warnings": list(run["warnings"])}


def _directories(folder: Path) -> Iterator[tuple[str, str]]:
    """``runs/<dataset>/<names>/<run>`` and where it is, sorted; no path objects, for speed."""
    level = [(folder.name, str(folder))]
    for _ in range(3):
        level = [pair for name, path in level for pair in _inside(name, path)]
    yield from level


def _inside(name: str, path: str) -> list[tuple[str, str]]:
    with contextlib.suppress(OSError), os.scandir(path) as found:
        return sorted(
            (f"{name}/{item.name}", item.path)
            for item in found
            if not item.name.startswith(".") and item.is_dir()
        )
    return []


def _key(path: str) -> Key:
    parts: list[int] = []
    for name in FILES:
        try:
            facts = os.stat(f"{path}/{name}")  # noqa: PTH116  # three for each of 10,000 runs
        except OSError:
            parts += (-1, -1, -1)
        else:
            parts += (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    return tuple(parts)


def code() -> str:
    """What an entry depends on besides the run's files: the code that made it."""
    from slotbench.results.leaderboard import power as statistics_power
    from slotbench.results.leaderboard import statistics

    modules = (records, collapse, entries, memo, statistics, statistics_power)
    sources = [Path(str(module.__file__)).read_bytes() for module in modules]
    sources.append(Path(__file__).read_bytes())
    return f"{__version__}-{zlib.crc32(b''.join(sources)):08x}"
