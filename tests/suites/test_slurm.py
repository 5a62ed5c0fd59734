"""The engine ``slurm``: on a cluster of one node where Slurm is installed, and without Slurm."""

import subprocess

import pytest

from slotbench.errors import UserError
from slotbench.suites import slurm
from slotbench.suites.engines import Settings, Task
from slotbench.suites.slurm import Attempt, Slurm
from tests.commands import limited, wait_for
from tests.suites import cluster, tiny

pytest.importorskip("submitit")
LONG = tiny.FIXED.replace("steps = 4", "steps = 1500")


def task(folder):
    return vars(Task(str(folder / "run"), {}, "", "cpu", ()))


def engine(folder, **options):
    return Slurm(Settings(None, "cpu", None, folder, {"cluster": "local", **options}))


def test_a_job_tells_how_its_cell_ended(tmp_path, instead):
    instead("exit 0")
    assert Attempt()(task(tmp_path), 1) == (str(tmp_path / "run"), "done", "")
    instead("echo no; exit 1")
    assert Attempt()(task(tmp_path), 1) == (str(tmp_path / "run"), "failed", "no")


def test_a_job_out_of_time_has_its_cell_save_and_comes_again(tmp_path, instead):
    instead(f"trap 'touch {tmp_path}/saved; exit 130' TERM; while :; do sleep 0.02; done")
    attempt = Attempt()
    with pytest.raises(TimeoutError), limited(0.5):
        attempt(task(tmp_path), 3)
    assert (tmp_path / "saved").is_file()
    again = attempt.checkpoint(task(tmp_path), 3)
    assert again.args == (task(tmp_path), 3)


def test_options_are_those_of_submitit(tmp_path):
    with pytest.raises(UserError, match="--option: submitit does not take this"):
        engine(tmp_path, slurm_partitoin="gpu")


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch is not found"):
        Slurm(Settings(None, "cpu", None, tmp_path, {"cluster": "slurm"}))


def test_a_job_counts_as_gone_when_it_is_missing_twice(tmp_path, monkeypatch):
    """What a job leaves behind may be seen here after it has left the queue."""
    found = engine(tmp_path)
    found.detached = True
    job = type("Job", (), {"job_id": "7_0"})
    found._running = {"run": job}
    queues = [{"7_0"}, None, {"8"}, set()]
    monkeypatch.setattr(slurm, "_queue", lambda: queues.pop(0))
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.0)
    assert [found._gone() for _ in range(4)] == [set(), set(), set(), {"7_0"}]


@pytest.fixture(scope="module")
def node():
    lacking = cluster.missing()
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)} (Debian: slurm-wlm)")
    with cluster.slurm() as told:
        yield told


@pytest.fixture
def told(node, monkeypatch):
    for key, value in node.items():
        monkeypatch.setenv(key, value)
    return node


def run_words(*words):
    return ("run", "tiny.toml", "--engine", "slurm", "--option", "cpus_per_task=1", *words)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
def test_jobs_outlive_the_driver_and_the_next_one_takes_them_over(tmp_path, eight):
    """The driver is killed once all jobs are submitted."""
    first = tiny.command(tmp_path, *run_words())
    wait_for(lambda: len(tiny.submitted(tmp_path / "results")) == 8 or first.poll() is not None)
    first.kill()
    first.communicate()
    second = tiny.command(tmp_path, *run_words())
    _, said = second.communicate(timeout=900)
    assert second.returncode == 0, said
    assert len(tiny.submitted(tmp_path / "results")) == 8
    tiny.whole(eight.cells)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
def test_a_job_that_is_queued_again_goes_on_and_one_that_is_cancelled_has_saved(tmp_path, blocks):
    text = tiny.ONE.replace('"random", ', "")
    plan = tiny.planned(tiny.write(tmp_path, text, LONG), blocks, tmp_path / "results")
    (cell,) = plan.cells
    words = run_words("--data-dir", str(blocks))
    driver = tiny.command(tmp_path, *words)
    wait_for(lambda: cell.progress().step > 5 or driver.poll() is not None)
    (job,) = slurm._queue() or [""]
    for asked in (("requeue", job), ("update", f"JobId={job}", "StartTime=now")):
        subprocess.run(["scontrol", *asked], check=True)
        wait_for(lambda: cell.progress().state == "interrupted")
    saved = cell.progress().step
    wait_for(lambda: cell.progress().state == "running" or driver.poll() is not None)
    assert cell.progress().step >= saved > 5
    driver.terminate()
    _, said = driver.communicate(timeout=60)
    assert "The jobs go on" in said
    ended = tiny.command(tmp_path, "cancel", "tiny.toml", "--data-dir", str(blocks))
    _, said = ended.communicate(timeout=200)
    assert ended.returncode == 0, said
    assert cell.progress().state == "interrupted"
    assert cell.run.status()["reason"] == "stopped by SIGTERM"
    last = tiny.command(tmp_path, *words)
    _, said = last.communicate(timeout=900)
    assert last.returncode == 0, said
    tiny.whole([cell])
