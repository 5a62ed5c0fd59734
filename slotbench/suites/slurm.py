"""The engine ``slurm``: job arrays through submitit.

Jobs continue when the driver ends, and the next driver takes them over. When a job is preempted or
reaches its time limit, its cell saves and the job is queued again.
"""

import importlib
import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from slotbench.datasets.prepare.workers import cores
from slotbench.errors import UserError
from slotbench.registry import optional, register
from slotbench.suites.engines import Ended, Engine, Settings, Task, environment
from slotbench.suites.process import SAVE_SECONDS, CellProcess

HOURS = 24
REQUEUES = 100
ASK_SECONDS = 10.0
PAUSE = 0.2
STOPPED = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "TIMEOUT")
WHY = {"OUT_OF_MEMORY": "killed by Slurm: out of memory", "DEADLINE": "Slurm: DEADLINE"}


@register("engines")
class Slurm(Engine):
    """One job a cell; cells submitted together are one array.

    ``--option`` takes the parameters of submitit's executors, such as ``slurm_partition=gpu``,
    ``timeout_min=600``, ``mem_gb=8`` or ``cpus_per_task=4``. ``cluster=local`` runs the jobs on
    this machine, without Slurm.
    """

    summary = "job arrays through submitit, queued again when preempted"
    source = "Yoo et al. 2003; submitit"
    name = "slurm"
    takes = ("option",)
    detached = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.submitit = submitit = optional("submitit", "The engine 'slurm'", self.name)
        options: dict[str, Any] = {key: _number(value) for key, value in settings.options.items()}
        self.cluster = options.pop("cluster", None)
        self.jobs = settings.folder / "slurm"
        try:
            self.executor = submitit.AutoExecutor(
                self.jobs, cluster=self.cluster, slurm_max_num_timeout=REQUEUES
            )
        except RuntimeError as error:
            raise UserError(
                "Slurm is not installed here: sbatch is not found.",
                "Type it on a login node, or name another --engine.",
            ) from error
        self.detached = self.executor.cluster == "slurm"
        self.threads = int(options.get("cpus_per_task", 2))
        here = settings.workers or max(1, cores() // self.threads)
        self.capacity = None if self.detached else here
        one = {"name": "slotbench", "nodes": 1, "tasks_per_node": 1, "timeout_min": 60 * HOURS}
        one |= {"cpus_per_task": self.threads, "gpus_per_node": int(settings.device == "cuda")}
        if settings.workers is not None:
            options["slurm_array_parallelism"] = settings.workers
        try:
            self.executor.update_parameters(**{**one, **options})
        except (NameError, TypeError, ValueError, AssertionError) as error:
            raise UserError(f"--option: submitit does not take this: {error}.") from error
        self._running: dict[str, Any] = {}
        """Run -> job."""
        self._asked, self._cancelled = -ASK_SECONDS, False
        self._missing: set[str] = set()

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        self.jobs.mkdir(parents=True, exist_ok=True)
        with self.executor.batch():
            jobs = [self.executor.submit(Attempt(), vars(task), self.threads) for task in tasks]
        self._running |= {task.run: job for task, job in zip(tasks, jobs, strict=True)}
        return [str(job.job_id) for job in jobs]

    def adopt(self, task: Task, handle: str) -> bool:
        if not self.detached:
            return False
        job = self.submitit.SlurmJob(folder=self.jobs, job_id=handle, tasks=[0])
        queue = _queue()
        if queue is not None and handle not in queue and not _left(job):
            return False
        self._running[task.run] = job
        return True

    def poll(self) -> list[Ended]:
        gone, running = self._gone(), self._running
        over = [run for run, job in running.items() if _left(job) or job.job_id in gone]
        return [self._ended(run, running.pop(run)) for run in over]

    def _gone(self) -> set[str]:
        """Jobs that are missing from the queue for the second time."""
        if not self.detached:
            return {job.job_id for job in self._running.values() if job.done()}
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS:
            return set()
        queue, self._asked = _queue(), now
        if queue is None:
            return set()
        missing = {job.job_id for job in self._running.values()} - queue
        # The files of a job may be visible here only after its end.
        gone, self._missing = missing & self._missing, missing
        return gone

    def _ended(self, run: str, job: Any) -> Ended:
        utils = self.submitit.core.utils
        # Without a result, `job.result()` would wait for ever where Slurm has no accounting.
        if _left(job):
            try:
                return Ended(*job.result())
            except utils.FailedJobError as error:
                said = str(error).strip().splitlines()
                return Ended(run, "failed", said[-1] if said else "the job failed")
            except (utils.UncompletedJobError, OSError, EOFError):
                pass
        state = str(job.state).split(" ")[0].upper()
        if self._cancelled or state in STOPPED:
            return Ended(run, "stopped", f"Slurm: {state}")
        return Ended(run, "failed", WHY.get(state, f"its job left nothing (Slurm: {state})"))

    def cancel(self) -> None:
        self._cancelled = True
        for job in self._running.values():
            job.cancel(check=False)
        until = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < until and not self._all_gone():
            time.sleep(PAUSE)
        self._asked = -ASK_SECONDS
        self._missing = {job.job_id for job in self._running.values()}

    def _all_gone(self) -> bool:
        queue = _queue() if self.detached else None
        return all(
            _left(job) or (job.done() if queue is None else job.job_id not in queue)
            for job in self._running.values()
        )


def _left(job: Any) -> bool:
    """Whether a job has left a result."""
    found: bool = job.paths.result_pickle.exists()
    return found


def _queue() -> set[str] | None:
    """The jobs in Slurm's queue; None where it does not answer."""
    words = ["squeue", "--noheader", "--array", "--format=%i"]
    try:
        quiet = subprocess.DEVNULL
        return set(subprocess.check_output(words, stderr=quiet, text=True, timeout=60).split())
    except (OSError, subprocess.SubprocessError):
        return None


class Attempt:
    """The function of a job. It is pickled, so it must have a name in a module."""

    def __init__(self) -> None:
        self.process: CellProcess | None = None

    def __call__(self, task: dict[str, Any], threads: int) -> tuple[str, str, str]:
        self.process = CellProcess(Task(**task), environment(threads))
        ended = self.process.wait()
        if ended.outcome == "stopped" and "SLURM_JOB_ID" in os.environ:
            # Preempted or cancelled: Slurm ends the job and may queue it again.
            time.sleep(SAVE_SECONDS)
        return ended.run, ended.outcome, ended.reason

    def checkpoint(self, task: dict[str, Any], threads: int) -> Any:
        """Save the cell and queue the job again; called at preemption or timeout."""
        if self.process is not None:
            self.process.stop()
        helpers: Any = importlib.import_module("submitit.helpers")
        return helpers.DelayedSubmission(Attempt(), task, threads)


def _number(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text
