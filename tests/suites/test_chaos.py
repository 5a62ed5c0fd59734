"""What is killed, full or begun twice costs no more than it must: real processes, real signals."""

import json
import os
import signal
import subprocess

import pytest

from slotbench import api
from slotbench.results import work as workflow
from tests.commands import wait_for
from tests.small import assert_same_weights
from tests.suites import tiny

pytestmark = pytest.mark.slow
LONG = tiny.FIXED.replace("steps = 4", "steps = 800")


@pytest.fixture
def plan(tmp_path, blocks):
    """Two cells that train long enough to be killed."""
    tiny.data(tmp_path, blocks)
    text = tiny.ONE.replace("random", "byol")
    return tiny.planned(tiny.write(tmp_path, text, LONG), tmp_path / "data", tmp_path / "results")


def until(so, process):
    def alive():
        assert process.poll() is None, process.communicate()[1]
        return so()

    wait_for(alive, 300)


def said(process):
    _, err = process.communicate(timeout=900)
    return process.returncode, " ".join(err.split())


def at_work(cells):
    found = [cell.progress() for cell in cells]
    return all(progress.state == "running" and progress.step >= 5 for progress in found)


def let_go(cells):
    """Wait until nobody has a cell in hand."""
    wait_for(lambda: not any(cell.run.locked() for cell in cells), 60)


def as_if_never_killed(cells, folder):
    """The weights are those of a run that nobody killed, bit for bit."""
    host = api.host("cpu")
    for cell in cells:
        whole = workflow.start(cell.choice, host, folder / "data", folder / "other", evaluate=False)
        assert_same_weights(whole, cell.run)


def test_a_worker_is_killed(plan, tmp_path):
    """It costs one cell, which says why; ``suite retry`` does it again."""
    killed, other = plan.cells
    process = tiny.command(tmp_path, "run", "tiny.toml", "--workers", "2")
    until(lambda: at_work(plan.cells), process)
    os.kill(int(killed.run.status()["pid"]), signal.SIGKILL)
    code, text = said(process)
    assert code == 1
    assert "1 of 2 runs failed" in text
    assert "suite retry" in text
    assert "SIGKILL" in killed.run.status()["reason"]
    assert (killed.progress().state, other.progress().state) == ("failed", "done")
    assert said(tiny.command(tmp_path, "retry", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)
    as_if_never_killed(plan.cells, tmp_path)


def test_the_driver_is_killed(plan, tmp_path):
    """Its cells save and leave; nothing is stuck; the next driver goes on."""
    process = tiny.command(tmp_path, "run", "tiny.toml", "--workers", "2")
    until(lambda: at_work(plan.cells), process)
    process.kill()
    process.communicate()
    let_go(plan.cells)
    for cell in plan.cells:
        assert cell.progress().state == "interrupted"
        assert cell.run.status()["reason"] == "stopped by SIGTERM"
    asked = tiny.command(tmp_path, "status", "tiny.toml", "--json")
    document = json.loads(asked.communicate(timeout=300)[0])
    assert document["counts"]["interrupted"] == 2
    assert document["drivers"] == []
    assert said(tiny.command(tmp_path, "run", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)
    as_if_never_killed(plan.cells, tmp_path)


def test_a_full_disk(plan, tmp_path):
    """No file may grow beyond 4 KB: no run can be begun, and none is left half written."""
    code, text = said(tiny.command(tmp_path, "run", "tiny.toml", limit=4096))
    assert code in (1, 2)
    assert "disk is full" in text
    assert not list((tmp_path / "results").rglob("*.tmp"))
    assert all(cell.progress().state in ("waiting", "failed") for cell in plan.cells)
    assert said(tiny.command(tmp_path, "retry", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)


def descendants(pid):
    """Every process that a process has started, directly or not, with its name."""
    words = ["ps", "-A", "-o", "ppid=,pid=,comm="]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    parents = [line.split(maxsplit=2) for line in lines]
    for parent, child, name in parents:
        if int(parent) == pid:
            yield int(child), name
            yield from descendants(int(child))


def test_the_raylet_is_killed(plan, tmp_path):
    """Ray's own process on a node: its cells end or save, none is stuck, and a suite goes on."""
    pytest.importorskip("ray")
    words = ("run", "tiny.toml", "--engine", "ray", "--workers", "2")
    process = tiny.command(tmp_path, *words)
    until(lambda: at_work(plan.cells), process)
    (raylet,) = [pid for pid, name in descendants(process.pid) if name == "raylet"]
    os.kill(raylet, signal.SIGKILL)
    code, text = said(process)
    assert code == 0 or "slotbench suite run" in text or "Run the suite again" in text, text
    let_go(plan.cells)
    assert {cell.progress().state for cell in plan.cells} <= {"interrupted", "done"}
    code, text = said(tiny.command(tmp_path, *words))
    assert code == 0, text
    tiny.whole(plan.cells)
