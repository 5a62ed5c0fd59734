"""Run directories, and everything derived from them."""

import os
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
