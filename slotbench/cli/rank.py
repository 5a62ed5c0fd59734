"""One of several processes of a run: ``python -m slotbench.cli.rank REQUEST``, a JSON document.

:mod:`slotbench.training.launch` starts it. A process that cannot go on leaves a report and ends.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from slotbench.training.signals import end_with

STOPPED = 130


def main() -> None:
    """Train this process's rows; exit code 130 where rank 0 was stopped."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    end_with(int(request["parent"]))
    rank = int(os.environ["RANK"])
    try:
        _carry_out(request, rank)
    except KeyboardInterrupt:
        # Rank 0 reports the stop for all of them.
        sys.exit(0 if rank else STOPPED)


def _carry_out(request: dict[str, Any], rank: int) -> None:
    from dataclasses import replace

    import torch

    from slotbench import api, plugins
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.results.run import Run
    from slotbench.results.work import train_run
    from slotbench.training.distributed import meeting

    plugins.load_all()
    torch.set_num_threads(request["threads"])
    host = api.host(
        request["device"], request["checkpoint_seconds"], track=tuple(request["trackers"])
    )
    host = replace(
        host, memory_budget=request["memory_budget"], processes=int(os.environ["WORLD_SIZE"])
    )
    if host.device.type == "cuda":
        host = replace(host, device=torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    run = Run(Path(request["run"]))
    with DatasetFile(Path(request["data"])) as dataset, meeting(host.device):
        try:
            train_run(run, run.config(), dataset, host)
        except Exception as error:
            _report(Path(request["reports"]) / f"{rank}.json", error)
            # Do not wait for processes that may never answer.
            sys.stderr.flush()
            os._exit(1)


def _report(file: Path, error: Exception) -> None:
    """Report the error; the earliest report is the cause, later ones lost the connection."""
    from slotbench.errors import SlotbenchError
    from slotbench.files import explain, reason_of

    known = explain(error) if isinstance(error, OSError) else error
    if not isinstance(known, SlotbenchError):
        known = SlotbenchError(reason_of(error))
    report = {
        "time": time.monotonic(),
        "kind": type(known).__name__,
        "message": known.message,
        "advice": known.advice,
        "traceback": "".join(traceback.format_exception(error)),
    }
    file.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
