"""Processes that another launcher started, as two machines would: they meet over loopback."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from slotbench.config.resolve import Choice
from slotbench.errors import UserError
from slotbench.results import work as workflow
from slotbench.results.finding import find
from slotbench.training.distributed import launched
from tests.commands import meeting_place, sets, start_command, wait_for
from tests.small import CPU, SMALL, started
from tests.training import ranks
from tests.training.test_distributed_train import assert_close
from tests.training.test_launch import ended, steps_done

SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def start_nodes(blocks, folder, names, steps):
    """Two processes with a GPU's place each on a machine of its own."""
    meet = meeting_place()
    words = "train --preset quick --objective simclr --device cpu --no-evaluate"
    places = ("--steps", steps, "--data-dir", blocks, "--results-dir", folder)
    every = (*words.split(), "--checkpoint-every", 0, *places, *sets(*SMALL, *ranks.OFTEN))
    told = [dict(zip(names, (str(rank), "2", "0"), strict=True)) for rank in range(2)]
    return [start_command(*every, cwd=folder, **each, **meet) for each in told]


def test_two_nodes_train_what_one_process_trains(blocks, tmp_path):
    processes = start_nodes(blocks, tmp_path, SLURM, 3)
    (code, out, err), (other, said, more) = (ended(process) for process in processes)
    assert (code, other) == (0, 0), err + more
    assert said == ""
    assert "Next, type: slotbench evaluate" in err
    assert "done already" not in err
    assert "Next" not in more
    run = find("0-", tmp_path)
    assert str(run.path) in out
    assert run.status()["device"].startswith("2 x ")
    assert_close(ranks.alone("simclr", blocks, tmp_path / "one"), run)


def test_when_one_is_killed_the_other_ends_and_says_why(blocks, tmp_path):
    first, second = start_nodes(blocks, tmp_path, TORCHRUN, 5000)
    wait_for(lambda: steps_done(tmp_path) > 3)
    second.send_signal(signal.SIGKILL)
    code, _, err = ended(first)
    ended(second)
    assert code == 1
    assert "Rank 0 of 2 has lost another rank" in err
    assert "Traceback" not in err
    status = find("0-", tmp_path).status()
    assert status["state"] == "failed"
    assert status["reason"] == "another process is lost"


THREADS = """
import os, torch
from slotbench.training.distributed import meeting

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
with meeting(torch.device("cpu")):
    joined = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))
    joined(torch.ones(2, 3)).sum().backward()
    assert threads() > before
    del joined
assert threads() == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_thread_of_a_group_is_left_when_python_ends():
    """Such a thread may abort the process: "terminate called without an active exception"."""
    environment = {**os.environ, **{key: str(value) for key, value in meeting_place().items()}}
    subprocess.run([sys.executable, "-c", THREADS], env=environment, check=True, timeout=120)


def launch_as(monkeypatch, rank, world=2):
    """Make this process one of several, as torchrun does; they never meet."""
    for name, value in zip(TORCHRUN, (rank, world, rank), strict=True):
        monkeypatch.setenv(name, str(value))
    for name, value in meeting_place().items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_0_alone_names_the_preset(blocks, tmp_path, monkeypatch, capsys, rank):
    launch_as(monkeypatch, rank)
    monkeypatch.setattr(workflow, "begin", lambda run, *_, **__: run)
    workflow.start(Choice(), CPU, blocks, tmp_path, evaluate=False)
    assert ("Preset:" in capsys.readouterr().err) == (rank == 0)


def test_a_batch_that_launched_processes_cannot_share_is_refused(blocks, tmp_path, monkeypatch):
    launch_as(monkeypatch, 1, world=3)
    with pytest.raises(UserError, match=r"3 processes cannot share train\.batch_size=8 equally"):
        started(blocks, tmp_path)


def test_processes_of_a_launcher_start_no_others(blocks, tmp_path, monkeypatch):
    launch_as(monkeypatch, 0)
    monkeypatch.setattr("slotbench.training.launch.train", None)
    with pytest.raises(UserError, match="--gpus: the launcher has started all processes"):
        started(blocks, tmp_path, host=replace(CPU, processes=2))


def test_rank_0_alone_copies_the_checkpoint_that_an_extended_run_begins_with(
    blocks, tmp_path, monkeypatch
):
    short = started(blocks, tmp_path)
    launch_as(monkeypatch, 1)
    monkeypatch.setattr(workflow, "_train_with_others", lambda *_: None)
    longer = workflow.resume(short.id, CPU, blocks, tmp_path, evaluate=False, steps=5)
    assert longer.config().extended == {"run": short.id, "step": 3}
    assert not longer.checkpoint.exists()


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        ((), (), None),
        (TORCHRUN, "120", (1, 2, 0)),
        (SLURM, "341", (3, 4, 1)),
        (SLURM[:2], "01", None),
        (TORCHRUN[:2], "x2", "no whole numbers"),
        (TORCHRUN[:2], "52", "RANK 5: expected 0 to 1"),
        (TORCHRUN[:2], ("-1", "2"), "RANK -1"),
    ],
)
def test_what_launchers_say_counts_only_with_a_place_to_meet(monkeypatch, names, given, expected):
    for name in (*SLURM, *TORCHRUN, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in zip(names, given, strict=True):
        monkeypatch.setenv(name, value)
    assert launched() is None
    monkeypatch.setenv("MASTER_ADDR", "a")
    monkeypatch.setenv("MASTER_PORT", "1")
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            launched()
    else:
        assert launched() == expected
