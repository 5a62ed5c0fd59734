"""What is killed, full or begun twice costs no more than it must: real processes, real signals."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slotbench import api
from slotbench.results import work as workflow
from slotbench.results.run import Run, read_model
from slotbench.suites import commands
from slotbench.suites.plan import Cell, Plan
from slotbench.suites.state import Journal
from tests.suites import tiny

pytestmark = pytest.mark.slow
LONG = tiny.FIXED.replace("steps = 4", "steps = 800")


@pytest.fixture
def plan(tmp_path: Path, blocks: Path) -> Plan:
    """Two cells that train long enough to be killed."""
    tiny.data(tmp_path, blocks)
    text = tiny.ONE.replace("random", "byol")
    return tiny.planned(tiny.write(tmp_path, text, LONG), tmp_path / "data", tmp_path / "results")


def until(so: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 300
    while not so():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it never came to it"
        time.sleep(0.02)


def said(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, err = process.communicate(timeout=900)
    return process.returncode, " ".join(err.split())


def at_work(cells: tuple[Cell, ...]) -> bool:
    found = [cell.progress() for cell in cells]
    return all(progress.state == "running" and progress.step >= 5 for progress in found)


def let_go(cells: tuple[Cell, ...]) -> None:
    """Wait until nobody has a cell in hand."""
    end = time.monotonic() + 60
    while any(cell.run.locked() for cell in cells):
        assert time.monotonic() < end, "somebody still has a cell in hand"
        time.sleep(0.02)


def pid_of(run: Run) -> int:
    return int(run.status()["pid"])


def as_if_never_killed(cells: tuple[Cell, ...], folder: Path) -> None:
    """The weights are those of a run that nobody killed, bit for bit."""
    host = api.host("cpu")
    for cell in cells:
        whole = workflow.start(cell.choice, host, folder / "data", folder / "other", evaluate=False)
        expected, found = read_model(whole), read_model(cell.run)
        assert expected.keys() == found.keys()
        assert all(bool((expected[name] == found[name]).all()) for name in expected)


def test_a_worker_is_killed(plan: Plan, tmp_path: Path) -> None:
    """It costs one cell, which says why; ``suite retry`` does it again."""
    killed, other = plan.cells
    process = tiny.command(tmp_path, "run", "tiny.toml", "--workers", "2")
    until(lambda: at_work(plan.cells), process)
    os.kill(pid_of(killed.run), signal.SIGKILL)
    code, text = said(process)
    assert code == 1
    assert "1 of 2 runs failed" in text
    assert "suite retry" in text
    assert "SIGKILL" in killed.run.status()["reason"]
    assert (killed.progress().state, other.progress().state) == ("failed", "done")
    assert said(tiny.command(tmp_path, "retry", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)
    as_if_never_killed(plan.cells, tmp_path)


def test_the_driver_is_killed(plan: Plan, tmp_path: Path) -> None:
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


def test_driver_and_workers_are_killed_at_one_stroke(plan: Plan, tmp_path: Path) -> None:
    """As when the power fails: nobody could say a word."""
    process = tiny.command(tmp_path, "run", "tiny.toml", "--workers", "2")
    until(lambda: at_work(plan.cells), process)
    for pid in (process.pid, *(pid_of(cell.run) for cell in plan.cells)):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    let_go(plan.cells)
    for cell in plan.cells:
        assert json.loads((cell.run.path / "status.json").read_text())["state"] == "running"
        assert cell.progress().state == "interrupted"
        assert "without a word" in cell.progress().reason
    assert said(tiny.command(tmp_path, "run", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)


def test_cancel_has_cells_save(plan: Plan, tmp_path: Path) -> None:
    process = tiny.command(tmp_path, "run", "tiny.toml", "--workers", "2")
    until(lambda: at_work(plan.cells), process)
    where = commands.Where(tmp_path / "data", tmp_path / "results", "cpu")
    assert commands.cancel(plan.suite, where) == 1
    assert said(process)[0] == 130
    assert [cell.progress().state for cell in plan.cells] == ["interrupted"] * 2
    assert said(tiny.command(tmp_path, "run", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)


def test_a_full_disk(plan: Plan, tmp_path: Path) -> None:
    """No file may grow beyond 4 KB: no run can be begun, and none is left half written."""
    code, text = said(tiny.command(tmp_path, "run", "tiny.toml", limit=4096))
    assert code in (1, 2)
    assert "disk is full" in text
    assert not list((tmp_path / "results").rglob("*.tmp"))
    assert all(cell.progress().state in ("waiting", "failed") for cell in plan.cells)
    assert said(tiny.command(tmp_path, "retry", "tiny.toml"))[0] == 0
    tiny.whole(plan.cells)


def test_two_suites_and_eight_runs_at_once(tmp_path: Path, blocks: Path) -> None:
    """Two suites of the same eight cells, four processes each: every cell is trained once."""
    tiny.data(tmp_path, blocks)
    text = tiny.TWO.replace("seeds = 2", "seeds = 2").replace("random", "byol")
    plan = tiny.planned(tiny.write(tmp_path, text), tmp_path / "data", tmp_path / "results")
    other = tmp_path / "other.toml"
    other.write_text((tmp_path / "tiny.toml").read_text().replace('"tiny"', '"other"'))
    suites = [
        tiny.command(tmp_path, "run", name, "--workers", "4") for name in ("tiny.toml", str(other))
    ]
    assert [said(process)[0] for process in suites] == [0, 0]
    tiny.whole(plan.cells)
    ends = [
        event
        for name in ("tiny", "other")
        for event in Journal(tmp_path / "results", name).events()
        if event.event == "end"
    ]
    assert {event.outcome for event in ends} <= {"done", "elsewhere"}
    done = [event.run for event in ends if event.outcome == "done"]
    assert set(done) == {cell.key for cell in plan.cells}
    assert len(list((tmp_path / "results").glob("runs/*/*/*/config.json"))) == 8


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Every process that a process has started, directly or not, with its name."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
        parents.setdefault(int(rest.split()[1]), []).append((int(stat.parent.name), name))
    left: list[Any] = [pid]
    while left:
        for child in parents.get(left.pop(), []):
            yield child
            left.append(child[0])


def test_the_raylet_is_killed(plan: Plan, tmp_path: Path) -> None:
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
