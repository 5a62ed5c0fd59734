"""A cache of texts: leaderboard pages of many runs, and plans of large suites.

The user's cache folder holds each text under a hash of everything that it depends on: the
request, slotbench's own files and registry, and size and modification time of all other files.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from slotbench import registry, results
from slotbench.files import write_whole

LEAST_RUNS = 500
"""With fewer runs, no page is cached: reading them is fast."""
MOST = 32
"""Most cached texts."""


def page_key(results_dir: Path, asked: object) -> str:
    """The key of a page of a folder's leaderboard; "" where there are too few runs to cache it."""
    folder = os.path.realpath(results_dir)
    runs = results.run_folders(folder)
    if len(runs) < LEAST_RUNS:
        return ""
    runs += results.published_runs(results_dir)
    files = [f"{run}/{name}" for run in runs for name in results.DOCUMENTS]
    files += [f"{bundle}/manifest.json" for bundle in results.published_bundles(results_dir)]
    files += [file for run in runs for file in results.inside(f"{run}/transfer", folders=False)]
    return key((folder, asked), [*files, *map(str, results.published_files(results_dir))])


def key(asked: object, files: Iterable[str]) -> str:
    """The key of a text that depends on ``asked``, on these files, and on slotbench."""
    own = (str(file) for form in ("*.py", "*.toml") for file in registry.INDEX.parent.rglob(form))
    parts = [repr(asked), repr([registry.entries(kind) for kind in registry.KINDS])]
    parts += sorted(_facts((*files, *own)))
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def recall(key: str) -> str:
    """The text of a key; "" where it is not cached."""
    with suppress(OSError, UnicodeDecodeError, RuntimeError):
        return (_folder() / key).read_text("utf-8") if key else ""
    return ""


def keep(key: str, text: str) -> None:
    """Cache a text and remove the oldest beyond :data:`MOST`; does nothing where it cannot."""
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
