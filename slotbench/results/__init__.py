"""Run directories, and everything derived from them."""

import os
from contextlib import suppress
from pathlib import Path

SHIPPED = Path(__file__).with_name("published")
"""Published results that ship with slotbench: a JSON file a study, or a bundle with weights."""
COPIES = "copies"
"""The folder beside the bundles that holds writable copies of published runs."""
DOCUMENTS = ("config.json", "status.json", "evaluation.json", "environment.json")
"""The files of a published run that the leaderboard reads."""
VARIABLE = "SLOTBENCH_PUBLISHED"
"""Environment variable: a folder to read instead of :data:`SHIPPED`; empty: none."""


def run_folders(results_dir: Path | str) -> list[str]:
    """The directories of runs, external entries and baselines in a results folder."""
    places = {"runs": 3, "external": 2, "baselines": 2}
    return [path for name, k in places.items() for path in below(f"{results_dir}/{name}", k)]


def published_files(results_dir: Path) -> list[Path]:
    """The files of published records, in this folder and in slotbench."""
    return [file for folder in _published(results_dir) for file in sorted(folder.glob("*.json"))]


def published_bundles(results_dir: Path) -> list[str]:
    """The bundles of published runs with weights, and :data:`COPIES`."""
    return [bundle for folder in _published(results_dir) for bundle in inside(str(folder))]


def published_runs(results_dir: Path) -> list[str]:
    """The directories of published runs with weights: ``<bundle>/runs/<dataset>/<names>/<id>``."""
    bundles = published_bundles(results_dir)
    return [run for bundle in bundles for run in below(f"{bundle}/runs", 3)]


def is_published(folder: Path) -> bool:
    """Whether a folder stands among published bundles, where nothing is written."""
    published = folder.parent.name == "published" or folder.parent in _published(Path())
    return published and folder.name != COPIES


def _published(results_dir: Path) -> list[Path]:
    shipped = os.environ.get(VARIABLE, str(SHIPPED))
    return [results_dir / "published", *([Path(shipped)] if shipped else [])]


def below(folder: str, depth: int) -> list[str]:
    """The visible folders ``depth`` levels below a folder, sorted."""
    level = [folder]
    for _ in range(depth):
        level = [place for path in level for place in inside(path)]
    return level


def inside(folder: str, *, folders: bool = True) -> list[str]:
    """The visible folders in a folder, or its files; empty if it cannot be read."""
    with suppress(OSError), os.scandir(folder) as found:
        return sorted(
            item.path for item in found if item.name[0] != "." and item.is_dir() == folders
        )
    return []
