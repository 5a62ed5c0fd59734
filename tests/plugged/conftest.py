"""Plugins are gone after each test."""

import pytest

from slotbench import plugins, progress
from tests import commands


@pytest.fixture
def clean(monkeypatch, names):  # noqa: ARG001
    """Whatever a test loads is gone after it."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(progress, "options", [])
    monkeypatch.setenv(plugins.VARIABLE, "")


@pytest.fixture
def command(monkeypatch, tmp_path, clean):  # noqa: ARG001
    """A command in this process, in an empty folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    return commands.run_command
