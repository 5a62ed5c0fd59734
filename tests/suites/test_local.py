"""The engine ``local``: a process a cell, with its share of the machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slotbench.results.run import Run
from slotbench.suites import commands, local, process
from slotbench.suites.engines import Settings, Task
from slotbench.suites.local import Local
from tests.commands import wait_for
from tests.suites import tiny


def task(folder, name="run"):
    return Task(str(folder / name), {}, "data", "cpu", ("segmentation",))


def ended(engine, count):
    found = []
    wait_for(lambda: found.extend(engine.poll()) or len(found) >= count, 60)
    return found


def end_of(folder, workers=1):
    """How a cell ends."""
    engine = Local(settings(folder, workers))
    engine.submit([task(folder)])
    (found,) = ended(engine, 1)
    return found


def settings(folder, workers=None, device="cpu"):
    return Settings(workers, device, None, folder)


ENDS = {
    "done": ("exit 0", "done", ""),
    "out of memory": (
        "kill -KILL $$",
        "failed",
        "killed by SIGKILL: the machine ran out of memory",
    ),
    "elsewhere": ("exit 75", "elsewhere", ""),
    "saved and left": ("exit 130", "stopped", "stopped"),
    "terminated": ("kill -TERM $$", "stopped", "stopped"),
    "killed": ("kill -KILL $$", "failed", "killed by SIGKILL, as the system does when memory"),
    "crashed": ("kill -SEGV $$", "failed", "killed by SIGSEGV"),
    "says why": ("echo first; echo ' the loss is not finite ' >&2; exit 1", "failed", "the loss"),
    "says nothing": ("exit 7", "failed", "ended with exit code 7"),
}


@pytest.mark.parametrize("case", ENDS)
def test_how_a_process_ended_is_told_and_a_failure_is_written_down(
    case, tmp_path, instead, monkeypatch
):
    script, outcome, reason = ENDS[case]
    kills = iter((3, 4 if case == "out of memory" else 3))  # of Linux, before and after
    monkeypatch.setattr(process, "oom_kills", lambda: next(kills))
    instead(script)
    found = end_of(tmp_path)
    assert (found.run, found.outcome) == (task(tmp_path).run, outcome)
    assert found.reason.startswith(reason)
    status = Run(tmp_path / "run").status()
    written = ("failed", found.reason) if outcome == "failed" else ("new", "")
    assert (status["state"], status["reason"]) == written


def test_a_failure_does_not_undo_a_training(tmp_path, instead):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.write_status("done", step=4)
    instead("echo 'no such metric'; exit 1")
    end_of(tmp_path)
    assert (run.status()["state"], run.status()["step"]) == ("done", 4)
    assert run.status()["evaluation_error"] == "no such metric"


def test_cores_are_shared_and_threads_pinned(tmp_path, instead, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    instead("echo $OMP_NUM_THREADS $MKL_NUM_THREADS $CUDA_VISIBLE_DEVICES-")
    for workers, threads in ((1, 8), (3, 2), (8, 1), (20, 1)):
        folder = tmp_path / str(workers)
        end_of(folder, workers)
        said = (folder / "run" / process.LOG).read_text()
        assert said.startswith(f"{threads} {threads} ")


def test_as_many_at_once_as_there_are_cores_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    for memory, workers in ((3 * 2**30, 1), (9 * 2**30, 4), (2**40, 8), (0, 1)):
        monkeypatch.setattr("slotbench.datasets.format.loader.available_memory", lambda m=memory: m)
        assert Local(settings(tmp_path)).capacity == workers


def test_a_gpu_each(tmp_path, instead, monkeypatch):
    """On a machine with two GPUs: two at once, each sees its own; the next takes the free one."""
    monkeypatch.setattr(local, "choose", lambda _: type("Device", (), {"type": "cuda"}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b")
    engine = Local(settings(tmp_path, device="cuda"))
    assert engine.capacity == 2
    instead("echo $CUDA_VISIBLE_DEVICES; until [ -e $(dirname $0)/stop ]; do sleep 0.01; done")
    engine.submit([task(tmp_path / "runs", "a")])
    instead("echo $CUDA_VISIBLE_DEVICES")
    for name in "bc":
        engine.submit([task(tmp_path / "runs", name)])
        assert [end.outcome for end in ended(engine, 1)] == ["done"]
    (tmp_path / "stop").touch()
    engine.cancel()
    seen = [(tmp_path / "runs" / name / process.LOG).read_text().strip() for name in "abc"]
    assert seen == ["3", "GPU-b", "GPU-b"]


def test_a_process_that_cannot_be_started_is_a_failure_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(process.sys, "executable", str(tmp_path / "nothing"))
    found = end_of(tmp_path)
    assert found.outcome == "failed"
    assert Run(tmp_path / "run").status()["reason"] == found.reason != ""


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_log_that_is_no_file_is_replaced_and_stops_no_other_cell(tmp_path, instead, kind):
    """The run's directory may come from anyone."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run").mkdir()
    make = {"link": lambda log: log.symlink_to(tmp_path / "mine"), "pipe": os.mkfifo}
    make.get(kind, os.mkdir)(tmp_path / "run" / process.LOG)
    instead("echo said")
    found = end_of(tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"
    assert found.outcome == ("failed" if kind == "folder" else "done")


def test_cells_are_asked_to_save_and_made_to_leave(tmp_path, instead, monkeypatch):
    monkeypatch.setattr(local, "SAVE_SECONDS", 0.5)
    engine = Local(settings(tmp_path, 2))
    wait = "touch ready; while :; do sleep 0.02; done"
    instead(f"cd $(dirname $0)/saves; trap 'touch saved; exit 130' TERM; {wait}")
    engine.submit([task(tmp_path, "saves")])
    instead(f"cd $(dirname $0)/hangs; trap '' TERM; {wait}")
    engine.submit([task(tmp_path, "hangs")])
    wait_for(lambda: len(list(tmp_path.glob("*/ready"))) == 2, 60)
    engine.cancel()
    assert (tmp_path / "saves" / "saved").is_file()
    outcomes = {Path(end.run).name: end.outcome for end in engine.poll()}
    assert outcomes == {"saves": "stopped", "hangs": "failed"}


def test_a_log_keeps_its_last_lines(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%d \xff\n" % line for line in range(5000)))  # in any encoding
    assert process.trim(log) == [f"{line} \ufffd" for line in range(4800, 5000)]
    assert log.read_bytes().splitlines() == [b"%d \xff" % line for line in range(4800, 5000)]
    assert process.trim(tmp_path / "none") == []


SUBMITIT = {"cluster": "local", "cpus_per_task": "1", "timeout_min": "20"}
ENGINES = [("local", {}), pytest.param("slurm", SUBMITIT, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("name", "options"), ENGINES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # submitit leaves its logs open
def test_a_suite_by_processes(tmp_path, blocks, name, options):
    """Two cells by real processes; the second time there is nothing to do."""
    suite = commands.find(str(tiny.write(tmp_path, tiny.ONE)), tmp_path)
    where = commands.Where(blocks, tmp_path / "results", "cpu")
    for _ in range(2):
        picture = commands.run(suite, where, name, workers=2, options=options)
        assert picture.counts["done"] == 2
    tiny.whole(picture.plan.cells)
    keys = sorted(cell.key for cell in picture.plan.cells)
    assert sorted(tiny.submitted(where.results_dir)) == keys
    for cell in picture.plan.cells:
        assert cell.run.config().id == cell.run.id.partition("-")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the end of a parent")
def test_a_cell_whose_parent_has_died_does_not_begin():
    words = [sys.executable, "-m", "slotbench.cli.cell", json.dumps({"parent": 1})]
    assert subprocess.run(words, check=False).returncode == 256 - signal.SIGTERM
