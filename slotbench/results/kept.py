"""What was computed before: pages of the leaderboard of many runs, and plans of large suites.

A text is kept in the user's cache folder, under a hash of everything that it depends on: what was
asked for, slotbench's own files and registry, and the size and the time of change of every other
file. So it is never out of date: whatever has changed, it is computed anew.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from slotbench import registry
from slotbench.files import write_whole
from slotbench.results import below, inside, published_bundles, published_files, published_runs

LEAST_RUNS = 500
"""Fewer are read so fast that keeping a page is not worth it."""
MOST = 32
"""Texts that are kept."""
DOCUMENTS = ("config.json", "status.json", "evaluation.json", "environment.json")


def page_key(results_dir: Path, asked: object) -> str:
    """Names a page of a folder's leaderboard; "" where there are too few runs to keep one."""
    folder = os.path.realpath(results_dir)
    runs = below(f"{folder}/runs", 3)
    if len(runs) < LEAST_RUNS:
        return ""
    runs += [*below(f"{folder}/baselines", 2), *below(f"{folder}/external", 2)]
    runs += published_runs(results_dir)
    files = [f"{run}/{name}" for run in runs for name in DOCUMENTS]
    files += [f"{bundle}/manifest.json" for bundle in published_bundles(results_dir)]
    files += [file for run in runs for file in inside(f"{run}/transfer", folders=False)]
    return key((folder, asked), [*files, *map(str, published_files(results_dir))])


def key(asked: object, files: Iterable[str]) -> str:
    """Names a text that depends on ``asked``, on these files, and on slotbench."""
    own = (str(file) for form in ("*.py", "*.toml") for file in registry.INDEX.parent.rglob(form))
    parts = [repr(asked), repr([registry.entries(kind) for kind in registry.KINDS])]
    parts += sorted(_facts((*files, *own)))
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def recall(key: str) -> str:
    """The text of that name; "" where it is not kept."""
    with suppress(OSError, UnicodeDecodeError, RuntimeError):
        return (_folder() / key).read_text("utf-8") if key else ""
    return ""


def keep(key: str, text: str) -> None:
    """Keep a text, and remove the oldest of many; nothing happens where that is not possible."""
    with suppress(OSError, RuntimeError):
        if key:
            _folder().mkdir(parents=True, exist_ok=True)
            write_whole(_folder() / key, text.encode())
            texts = sorted(_folder().iterdir(), key=lambda file: file.stat().st_mtime)
            for file in texts[:-MOST]:
                file.unlink(missing_ok=True)


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "slotbench"


def _facts(files: Iterable[str]) -> Iterator[str]:
    for file in files:
        with suppress(OSError):
            found = os.stat(file)  # noqa: PTH116  # thousands of files
            yield f"{file} {found.st_mtime_ns} {found.st_size} {found.st_ino}"
