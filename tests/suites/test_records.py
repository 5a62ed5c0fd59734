"""What run directories, locks and the journal say of cells, whatever clocks and crashes do."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from slotbench.results.run import Run
from slotbench.suites import drive
from slotbench.suites.state import Journal, progress_of, record_failure
from tests.suites import tiny

HOURS = (-(10**6), -7, 7, 10**6)
"""By how much clocks jump."""


def run_with(folder, evaluated=False, **status):
    if evaluated:
        tiny.finish(folder)
    run = Run(folder)
    folder.mkdir(exist_ok=True)
    if status:
        run.write_status(**status)
    return run


FAILED = {"state": "failed", "reason": "x"}
STATES = {
    "nothing": ({}, False, "waiting", ""),
    "just begun": ({}, True, "running", ""),
    "running": ({"state": "running"}, True, "running", ""),
    "dead": ({"state": "running"}, False, "interrupted", "its process ended without a word"),
    "stopped": ({"state": "interrupted", "reason": "SIGTERM"}, False, "interrupted", "SIGTERM"),
    "begun again": (FAILED, True, "running", ""),
    "failed": (FAILED, False, "failed", "x"),
    "judged now": ({"state": "done"}, True, "evaluating", ""),
    "not judged": ({"state": "done"}, False, "interrupted", "trained, not judged by all metrics"),
    "in vain": ({"state": "done", "evaluation_error": "x"}, False, "failed", "evaluation: x"),
    "done": ({"state": "done", "evaluated": True}, False, "done", ""),
    "done, looked at": ({"state": "done", "evaluated": True}, True, "done", ""),
}


@pytest.mark.parametrize("case", STATES)
def test_the_state_of_a_cell(case, tmp_path):
    status, held, *expected = STATES[case]
    run = run_with(tmp_path / "run", **status)
    with run.lock() if held else nullcontext():
        found = progress_of(Run(run.path), ("segmentation",))
    assert [found.state, found.reason] == expected


def test_the_step_of_a_run_is_that_of_its_log(tmp_path):
    """The status is written every two minutes, the log at every few steps."""
    run = run_with(tmp_path / "run", state="running", step=3, steps=100)
    rows = [json.dumps({"step": step, "loss": 0.5}) for step in range(1, 41)]
    (run.path / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    with run.lock():
        found = progress_of(Run(run.path), ())
        (run.path / "metrics.jsonl").unlink()
        os.mkfifo(run.path / "metrics.jsonl")
        piped = progress_of(Run(run.path), ())
    assert (found.step, found.share) == (40, 0.4)
    assert piped.step == 3


def test_a_failure_is_written_once_and_not_over_one_who_is_at_work(tmp_path):
    run = run_with(tmp_path / "run", state="failed", reason="the loss is not finite")
    record_failure(run, "ended with exit code 1")
    assert run.status()["reason"] == "the loss is not finite"
    run.write_status("running")
    with Run(run.path).lock():
        record_failure(run, "killed by SIGKILL")
        assert run.status()["state"] == "running"


def test_what_a_killed_process_left_half_written_is_removed_by_the_next(tmp_path):
    run = run_with(tmp_path / "run")
    for name in (".checkpoint.pt.7-ab.tmp", ".config.json.7-ab.tmp", "notes.tmp"):
        (run.path / name).touch()
    with run.lock():
        left = {file.name for file in run.path.iterdir()} - {".lock"}
    assert left == {".config.json.7-ab.tmp", "notes.tmp"}


@pytest.mark.usefixtures("at_once")
def test_no_jump_of_a_clock_changes_what_is_run(tmp_path, blocks, monkeypatch):
    """Before the first cell, and between any two, the clock and the times of all files jump."""
    plan = tiny.planned(tiny.write(tmp_path, tiny.ONE), blocks, tmp_path / "results")
    jumps = iter(HOURS * 1000)
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + 3600 * next(jumps))
    held, other = plan.cells
    run_with(tmp_path / "results")
    held.run.path.mkdir(parents=True)
    held.run.write_status("running")
    with held.run.lock():
        for hours in HOURS:
            for file in tmp_path.rglob("*"):
                os.utime(file, (1.7e9 + 3600 * hours,) * 2)
            states = [progress.state for progress in drive.look(plan).progress.values()]
            assert states == ["running", "waiting"]
    engine = tiny.Script(tmp_path)
    picture = tiny.drive(plan, engine, tmp_path / "results")
    assert picture.counts["done"] == 2
    assert sorted(engine.given) == sorted([held.key, other.key])


def test_eight_writers_lose_no_line_of_the_journal(tmp_path):
    def write(number):
        journal = Journal(tmp_path, "tiny")
        for line in range(50):
            journal.write("submit", engine=f"e{number}", run=f"{line}", handle="x" * 400)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    journal = Journal(tmp_path, "tiny")
    assert len(journal.events()) == len(journal.file.read_text().splitlines()) == 400
    assert all(len(journal.open_handles(f"e{number}")) == 50 for number in range(8))


def test_the_journal_reads_what_it_wrote_below_a_name_that_is_not_utf8(tmp_path):
    results = tmp_path / os.fsdecode(b"r\xff")
    journal, runs = Journal(results, "tiny"), [str(results / "runs" / name) for name in "abc"]
    for run in runs:
        journal.write("submit", engine="slurm", run=run, handle="1")
    journal.write("end", run=runs[0], outcome="failed", reason=f"{runs[0]} is gone")
    assert list(journal.open_handles("slurm")) == runs[1:]
    moved = results.rename(tmp_path / "moved")
    assert list(Journal(moved, "tiny").open_handles("slurm")) == [
        str(moved / "runs" / name) for name in "bc"
    ]


def test_a_cancel_counts_once_its_line_is_whole(tmp_path):
    journal = Journal(tmp_path, "tiny")
    assert journal.cancels() == 0
    journal.write("cancel")
    journal.write("end", reason='"event": "cancel"')
    with journal.file.open("ab") as stream:
        stream.write(b'{"event": "can')
    assert journal.cancels() == 1
    with journal.file.open("ab") as stream:
        stream.write(b'cel"}\n')
    assert journal.cancels() == 2
