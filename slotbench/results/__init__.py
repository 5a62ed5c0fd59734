"""Run directories, and everything derived from them."""

import os
from contextlib import suppress
from pathlib import Path

SHIPPED = Path(__file__).with_name("published")
"""The published records that come with slotbench: one JSON file a study."""
VARIABLE = "SLOTBENCH_PUBLISHED"
"""Names a folder of records to read instead of :data:`SHIPPED`; empty: none."""


def published_files(results_dir: Path) -> list[Path]:
    """The files of published records that stand on the leaderboard of a folder."""
    shipped = os.environ.get(VARIABLE, str(SHIPPED))
    folders = [results_dir / "published", *([Path(shipped)] if shipped else [])]
    return [file for folder in folders for file in sorted(folder.glob("*.json"))]


def below(folder: str, depth: int) -> list[str]:
    """The folders ``depth`` levels below a folder, sorted; hidden ones are left out."""
    level = [folder]
    for _ in range(depth):
        level = [place for path in level for place in inside(path)]
    return level


def inside(folder: str, *, folders: bool = True) -> list[str]:
    """The folders in a folder, or its files; none where it cannot be read."""
    with suppress(OSError), os.scandir(folder) as found:
        return sorted(
            item.path for item in found if item.name[0] != "." and item.is_dir() == folders
        )
    return []
