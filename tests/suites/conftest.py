"""What tests of suites share."""

import pytest

from slotbench.suites import drive, process
from tests.suites import tiny


@pytest.fixture
def eight(tmp_path, blocks):
    """The plan of ``tiny.toml``: two datasets, two objectives, two seeds."""
    data = tiny.data(tmp_path, blocks)
    return tiny.planned(tiny.write(tmp_path), data, tmp_path / "results")


@pytest.fixture
def at_once(monkeypatch):
    """The driver looks at everything all the time."""
    monkeypatch.setattr(drive, "TICK", 0.001)
    monkeypatch.setattr(drive, "LOOK", 0.0)


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """What a cell's process does, as a shell script: cells are then over in no time."""

    def put(script):
        # A new file each time: a shell that has been started may still be reading the last.
        file = tmp_path / f"instead-{len(list(tmp_path.glob('instead-*')))}"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setattr(process.sys, "executable", str(file))

    return put
