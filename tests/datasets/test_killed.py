"""Every importer and every rendered dataset, killed at ten moments, ends as a quiet run does."""

from pathlib import Path

import pytest

from tests.datasets.killed import same_after_ten_kills
from tests.datasets.sources import RENDERED, SOURCES

CLIPS, IMAGES = 24, 40


@pytest.mark.slow
@pytest.mark.parametrize("case", SOURCES)
def test_an_import_that_is_killed_ten_times(case: str, tmp_path: Path) -> None:
    source = SOURCES[case]
    path = source.written(tmp_path / "source", CLIPS if source.name == "movi" else IMAGES)
    same_after_ten_kills(source.name, tmp_path, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RENDERED)
def test_rendering_that_is_killed_ten_times(name: str, tmp_path: Path) -> None:
    same_after_ten_kills(name, tmp_path)
