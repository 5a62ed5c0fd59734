"""Pages of the leaderboard that were printed before, for folders with many runs.

A page is kept in the user's cache folder, under a hash of everything that it depends on: what was
asked for, slotbench's own files, its registry, and the size and the time of change of every file
of results. So it is never out of date; whatever has changed, the page is made anew.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slotbench import registry
from slotbench.files import write_whole
from slotbench.results import published_files

LEAST_RUNS = 500
"""Fewer are read so fast that keeping a page is not worth it."""
MOST_PAGES = 32
FILES = ("config.json", "status.json", "evaluation.json")


def key(results_dir: Path, asked: object) -> str:
    """Names the page; "" where there are too few runs to keep one."""
    folder = os.path.realpath(results_dir)
    runs = _below(f"{folder}/runs", 3)
    if len(runs) < LEAST_RUNS:
        return ""
    others = [*_below(f"{folder}/baselines", 2), *_below(f"{folder}/external", 2)]
    parts = [repr(asked), folder, repr([registry.entries(kind) for kind in registry.KINDS])]
    parts += _facts(f"{run}/{name}" for run in (*runs, *others) for name in FILES)
    own = registry.INDEX.parent.rglob("*.py")
    parts += _facts(map(str, (*own, *published_files(results_dir))))
    return hashlib.sha256("\n".join(sorted(parts)).encode(errors="surrogateescape")).hexdigest()


def recall(key: str) -> str:
    """The page of that name; "" where it is not kept."""
    with suppress(OSError, UnicodeDecodeError, RuntimeError):
        return (_folder() / key).read_text("utf-8") if key else ""
    return ""


def keep(key: str, page: str) -> None:
    """Keep a page, and remove the oldest of many; nothing happens where that is not possible."""
    with suppress(OSError, RuntimeError):
        if key:
            _folder().mkdir(parents=True, exist_ok=True)
            write_whole(_folder() / key, page.encode())
            pages = sorted(_folder().iterdir(), key=lambda file: file.stat().st_mtime)
            for file in pages[:-MOST_PAGES]:
                file.unlink(missing_ok=True)


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "slotbench" / "leaderboard"


def _below(folder: str, depth: int) -> list[str]:
    """The folders ``depth`` levels below, hidden ones left out."""
    level = [folder]
    for _ in range(depth):
        level = [inside for path in level for inside in _inside(path)]
    return level


def _inside(folder: str) -> list[str]:
    with suppress(OSError), os.scandir(folder) as found:
        return [item.path for item in found if item.name[0] != "." and item.is_dir()]
    return []


def _facts(files: Iterator[str]) -> Iterator[str]:
    for file in files:
        with suppress(OSError):
            found = os.stat(file)  # noqa: PTH116  # thousands of files
            yield f"{file} {found.st_mtime_ns} {found.st_size} {found.st_ino}"
