"""Small data that every test of an objective can train on."""

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from tests.objectives import tiny


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, DatasetFile]:
    """Images (False) and video (True)."""
    return tiny.write_data(tmp_path_factory.mktemp("tiny"))
