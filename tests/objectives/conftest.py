"""Small data that every test of an objective can train on."""

import pytest

from tests.objectives import tiny


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Images (False) and video (True)."""
    return tiny.write_data(tmp_path_factory.mktemp("tiny"))
