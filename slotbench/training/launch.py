"""``--gpus N``: one run in N processes, started and watched by torchrun's elastic agent.

Each process is :mod:`slotbench.cli.rank`. When one fails, the agent ends the others, and the run
has failed for the reason of the first. After Ctrl-C or SIGTERM all stop at the same step, and rank
0 saves.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import available_memory
from slotbench.errors import RunLocked, SlotbenchError, TrainingError, UserError
from slotbench.files import write_whole
from slotbench.progress import say
from slotbench.training.distributed import check_batch
from slotbench.training.loop import Host, Record

MEMBER, STOPPED = "slotbench.cli.rank", 130
"""The module that each process runs, and its exit code after Ctrl-C."""
SAVE_SECONDS, TOGETHER = 120, 5.0
"""Seconds to save after Ctrl-C; failures within so many seconds may have one cause."""
KINDS: Mapping[str, type[SlotbenchError]] = {
    kind.__name__: kind for kind in (UserError, RunLocked, TrainingError)
}
TRACEBACK = "traceback.txt"


def train(run: Record, config: RunConfig, dataset: DatasetFile, host: Host) -> None:
    """:func:`slotbench.training.loop.train` in ``host.processes`` processes."""
    check_batch(config.train.batch_size, host.processes)
    say(f"{host.processes} processes share each batch of {config.train.batch_size}.")
    with tempfile.TemporaryDirectory(prefix="slotbench-") as name:
        folder = Path(name)
        memory = host.memory_budget or available_memory() // 4
        request = {
            "run": str(run.path),
            "data": str(dataset.path),
            "device": host.device.type,
            "checkpoint_seconds": host.checkpoint_seconds,
            "trackers": host.trackers,
            "memory_budget": memory // host.processes,
            "parent": os.getpid(),
            "reports": name,
            "threads": max(1, torch.get_num_threads() // host.processes),
        }
        codes = _supervise(host.processes, request, folder)
        if codes and run.status()["state"] != "done":
            if codes.get(0) == STOPPED:
                raise KeyboardInterrupt
            raise _failure(run, codes, host.processes, folder)


def _supervise(processes: int, request: dict[str, Any], folder: Path) -> dict[int, int]:
    """Run all processes; returns the exit codes of those that failed first, by rank."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # It logs every process that it ends; the run's own reason is enough.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    shown = {0: Std.NONE, **dict.fromkeys(range(1, processes), Std.ALL)}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        max_restarts=0,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        monitor_interval=0.1,
        signals_to_handle="SIGTERM,SIGINT",
        shutdown_timeout=SAVE_SECONDS,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs"), redirects=shown),
    )
    with _own_signals():
        try:
            elastic_launch(config, sys.executable)("-m", MEMBER, json.dumps(request))
        except SignalException as stopped:
            raise KeyboardInterrupt from stopped
        except ChildFailedError as error:
            first = min(failure.timestamp for failure in error.failures.values())
            return {
                rank: failure.exitcode
                for rank, failure in error.failures.items()
                if failure.timestamp - first <= TOGETHER
            }
    return {}


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore this process's signal handlers, which the agent replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread, where the agent set none
            for number, handler in before.items():
                signal.signal(number, handler)


def _failure(run: Record, codes: Mapping[int, int], processes: int, folder: Path) -> SlotbenchError:
    """The reason why the processes ended; writes it to the run's directory."""
    reports = {
        int(file.stem): json.loads(file.read_text()) for file in sorted(folder.glob("[0-9]*.json"))
    }
    # A rank that was killed or crashed left no report. Then the others lost the connection to it,
    # or ended by the agent's SIGTERM.
    mute = [rank for rank in sorted(codes) if rank not in reports]
    crashed = [rank for rank in mute if codes[rank] != -signal.SIGTERM]
    if crashed or not reports:
        rank = (crashed or mute)[0]
        reason = f"rank {rank} of {processes} {_ending(codes[rank])}"
        # Rank 0 writes to the terminal, the others to logs.
        logs = folder.glob(f"logs/*/*/{rank}/*.log")
        trace = "".join(file.read_text(errors="replace") for file in logs)
    else:
        rank, report = min(reports.items(), key=lambda item: float(item[1]["time"]))
        if report["kind"] in KINDS:
            return KINDS[report["kind"]](report["message"], report["advice"])
        reason = f"rank {rank} of {processes}: {report['message']}"
        trace = report["traceback"]
    with contextlib.suppress(OSError, RunLocked), run.lock():
        run.write_status("failed", reason)
        write_whole(run.path / TRACEBACK, trace.encode(errors="replace"))
    return SlotbenchError(f"{reason}.", f"More is in {run.path / TRACEBACK}")


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    why = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{why}"
