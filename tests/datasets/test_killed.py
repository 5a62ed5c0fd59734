"""Every importer and every rendered dataset, killed at ten moments, ends as a quiet run does."""

import pytest

from tests.datasets.killed import same_after_ten_kills
from tests.datasets.sources import RENDERED, SOURCES

CLIPS, IMAGES = 24, 40


@pytest.mark.slow
@pytest.mark.parametrize("case", SOURCES)
def test_an_import_that_is_killed_ten_times(case, tmp_path):
    source = SOURCES[case]
    path = source.written(tmp_path / "source", CLIPS if source.name == "movi" else IMAGES)
    same_after_ten_kills(source.name, tmp_path, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RENDERED)
def test_rendering_that_is_killed_ten_times(name, tmp_path):
    same_after_ten_kills(name, tmp_path)
