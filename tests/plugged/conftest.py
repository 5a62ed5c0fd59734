"""Commands of a user who has plugins."""

import pytest

from tests import commands


@pytest.fixture
def command(monkeypatch, tmp_path):
    """A command in this process, in an empty folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    return commands.run_command
