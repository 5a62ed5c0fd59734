"""``slotbench train --gpus 2 --device cpu`` as a user meets it, and what befalls its processes."""

import json
import signal
from pathlib import Path

import pytest

from slotbench.errors import SlotbenchError, UserError
from slotbench.results.finding import find
from slotbench.results.run import Run
from slotbench.training import launch
from tests.commands import sets, start_command, wait_for
from tests.small import SMALL
from tests.training.ranks import OFTEN

PLUGIN = """
import os, signal, time
from slotbench.objectives.contrastive import SimCLR
from slotbench.registry import register

class Breaks(SimCLR):
    def loss(self, batch):
        if batch.rank == 1 and batch.step == 2 and batch.purpose == "train":
            what = os.environ.get("BREAKS", "")
            if what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "raises":
                raise RuntimeError("the cosmic ray came")
            if what == "ends":
                print("last words", flush=True)
                os._exit(7)
        if os.environ.get("BREAKS") == "slow":
            time.sleep(0.02)
        return super().loss(batch)

register("objectives", "breaks", "-", "-", f"{__name__}:Breaks", family="self-supervised")
"""
SECONDS = 240


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "breaks.py"
    file.write_text(PLUGIN)
    return file


def start(blocks, plugin, what, steps=6, *words):
    """The command in a folder of its own, ``plugin``'s."""
    train = "train --preset quick --objective breaks --device cpu --gpus 2 --no-evaluate"
    places = ("--steps", steps, "--checkpoint-every", "0", "--data-dir", blocks)
    every = ("--plugin", plugin, *train.split(), *places, *sets(*SMALL, *OFTEN), *words)
    return start_command(*every, cwd=plugin.parent, BREAKS=what, COLUMNS="200")


def ended(process):
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, err


def only_run(folder):
    return find("0-", folder / "results")


def ranks_of(folder):
    """Processes that train a run below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            inside = (process / "cwd").resolve() == folder.resolve()
        except (OSError, UnicodeDecodeError):
            continue
        if inside and launch.MEMBER in words:
            found.append(int(process.name))
    return found


def steps_done(folder):
    return sum(len(file.read_text().splitlines()) for file in folder.rglob("metrics.jsonl"))


LOST = {"kind": "", "message": "RuntimeError: connection closed", "advice": "", "traceback": "t"}
MISTAKE = {"kind": "UserError", "message": "train.x: no", "advice": "Type y", "traceback": ""}


@pytest.mark.parametrize(
    ("codes", "reports", "said"),
    [
        ({0: 1, 1: -signal.SIGKILL}, {0: LOST}, "rank 1 of 3 was killed by SIGKILL"),
        ({0: 1, 1: 1}, {0: LOST, 1: MISTAKE}, "train.x: no Type y"),
        ({0: -signal.SIGTERM, 1: 1}, {1: MISTAKE}, "train.x: no"),
        ({0: 1, 1: 9}, {0: LOST}, "rank 1 of 3 ended with exit code 9"),
        ({0: 1}, {0: LOST}, "rank 0 of 3: RuntimeError: connection closed"),
        ({2: -signal.SIGTERM}, {}, "rank 2 of 3 was killed by SIGTERM"),
    ],
)
def test_the_reason_is_that_of_the_process_that_failed_first(tmp_path, codes, reports, said):
    folder, run = tmp_path / "reports", Run(tmp_path / "run")
    folder.mkdir()
    run.path.mkdir()
    for rank, report in reports.items():
        # Who reports a mistake does so before the others lose the connection.
        told = {**report, "time": 1.0 if report is MISTAKE else 2.0}
        (folder / f"{rank}.json").write_text(json.dumps(told))
    error = launch._failure(run, codes, 3, folder)
    mistake = MISTAKE in reports.values()
    assert type(error) is (UserError if mistake else SlotbenchError)
    assert said in str(error)
    assert mistake or said in run.status()["reason"]


FAILURES = {
    "killed": ("rank 1 of 2 was killed by SIGKILL, as the system does when memory runs out", None),
    "raises": ("rank 1 of 2: RuntimeError: the cosmic ray came", "in loss"),
    "ends": ("rank 1 of 2 ended with exit code 7", "last words"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FAILURES)
def test_a_rank_that_fails_fails_the_run_with_its_reason_and_it_goes_on(blocks, plugin, what):
    code, out, err = ended(start(blocks, plugin, what))
    run, (reason, last) = only_run(plugin.parent), FAILURES[what]
    failed = {"state": "failed", "reason": reason, "step": 2}
    assert (code, out) == (1, ""), err
    assert run.status() | failed == run.status()
    assert reason in err
    assert "Traceback" not in err
    assert str(run.path.name) in err
    assert last is None or last in (run.path / "traceback.txt").read_text()
    assert ranks_of(plugin.parent) == []
    assert not run.locked()
    code, out, err = ended(start(blocks, plugin, ""))
    assert code == 0, err
    assert out.strip() == str(run.path.relative_to(plugin.parent))
    assert "Going on from step 2" in err
    assert err.count("Training") == 1
    assert run.status()["state"] == "done"
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5, 6]


def started_slowly(blocks, plugin):
    """A process that trains 5,000 slow steps, after the first five."""
    process = start(blocks, plugin, "slow", 5000)
    wait_for(lambda: steps_done(plugin.parent) > 5)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_with_a_checkpoint(blocks, plugin, number):
    process = started_slowly(blocks, plugin)
    process.send_signal(number)
    code, _, err = ended(process)
    assert code == 130, err
    run = only_run(plugin.parent)
    status = run.status()
    assert (status["state"], status["reason"]) == ("interrupted", f"stopped by {number.name}")
    assert f"Saved at step {status['step']:,}" in err
    assert "Traceback" not in err
    assert ranks_of(plugin.parent) == []
    assert len(run.metrics()) == status["step"]


@pytest.mark.slow
def test_nothing_outlives_a_launcher_that_is_killed(blocks, plugin):
    process = started_slowly(blocks, plugin)
    assert len(ranks_of(plugin.parent)) == 2
    assert only_run(plugin.parent).status()["state"] == "running"
    process.kill()
    ended(process)
    wait_for(lambda: ranks_of(plugin.parent) == [], 60)
    status = only_run(plugin.parent).status()
    assert status["state"] == "interrupted"
    assert status["step"] > 5


@pytest.mark.slow
def test_a_run_that_is_held_is_left_alone(blocks, plugin):
    first = started_slowly(blocks, plugin)
    code, _, err = ended(start(blocks, plugin, "slow", 5000))
    assert code == 2
    assert "by another process" in err
    assert only_run(plugin.parent).status()["state"] == "running"
    first.terminate()
    assert ended(first)[0] == 130
