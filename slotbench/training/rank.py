"""One of several processes of a run: ``python -m slotbench.training.rank REQUEST``, a JSON document.

Started by :mod:`slotbench.training.launch`. Rank 0 trains as a single process does, and alone writes;
the others take the same steps. Who cannot go on leaves a report and ends at once.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from slotbench.training.orphans import end_with

STOPPED = 130


def main() -> None:
    request: dict[str, Any] = json.loads(sys.argv[1])
    end_with(int(request["parent"]))
    rank = int(os.environ["RANK"])
    try:
        _carry_out(request, rank)
    except KeyboardInterrupt:
        # Rank 0 says for all that they were stopped.
        sys.exit(0 if rank else STOPPED)


def _carry_out(request: dict[str, Any], rank: int) -> None:
    import torch

    from slotbench import plugins
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.results.run import Run
    from slotbench.training import devices
    from slotbench.training.distributed import meeting
    from slotbench.training.loop import train
    from slotbench.training.trainer import Host

    plugins.load_all()
    torch.set_num_threads(request["threads"])
    device = devices.choose(request["device"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    host = Host(
        device,
        request["checkpoint_seconds"],
        request["memory_budget"],
        int(os.environ["WORLD_SIZE"]),
        tuple(request["trackers"]),
    )
    run = Run(Path(request["run"]))
    carry_out = follow if rank else train
    with DatasetFile(Path(request["data"])) as dataset, meeting(device):
        try:
            carry_out(run, run.config(), dataset, host)
        except Exception as error:
            _report(Path(request["reports"]) / f"{rank}.json", error)
            # No farewell to processes that may never answer.
            sys.stderr.flush()
            os._exit(1)


def follow(run: Any, config: Any, dataset: Any, host: Any) -> None:
    """Take the steps that rank 0 takes, and write nothing; KeyboardInterrupt where it stops."""
    from slotbench.training.signals import StopRequest, signals
    from slotbench.training.trainer import Trainer

    with signals():
        trainer = Trainer(run, config, dataset, host)
        loader = trainer.begin()
        try:
            while not trainer.at_end():
                trainer.advance(loader)
                trainer.raise_if_stopped()
        except StopRequest as stop:
            raise KeyboardInterrupt from stop


def _report(file: Path, error: Exception) -> None:
    """What went wrong; the earliest report is the cause, later ones lost the connection to it."""
    from slotbench.errors import SlotbenchError
    from slotbench.files import explain, reason_of

    known = explain(error) if isinstance(error, OSError) else error
    file.write_text(
        json.dumps(
            {
                "time": time.monotonic(),
                "kind": type(known).__name__ if isinstance(known, SlotbenchError) else "",
                "message": known.message if isinstance(known, SlotbenchError) else reason_of(error),
                "advice": known.advice if isinstance(known, SlotbenchError) else "",
                "traceback": "".join(traceback.format_exception(error)),
            }
        )
    )


if __name__ == "__main__":
    main()
