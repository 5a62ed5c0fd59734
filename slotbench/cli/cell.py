"""The process of one cell: ``python -m slotbench.cli.cell REQUEST``, a JSON document.

It trains and evaluates as ``slotbench train`` does, and records why it failed in the run's
directory. When its parent dies, the kernel sends it SIGTERM: it saves and exits.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from slotbench.suites.process import ELSEWHERE
from slotbench.training.signals import end_with


def main() -> None:
    """Run the cell; exit code 130 after a signal, 75 where another process holds the run."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    end_with(int(request["parent"]))

    from slotbench.errors import RunLocked, SlotbenchError
    from slotbench.files import reason_of
    from slotbench.results.run import Run
    from slotbench.suites.state import record_failure

    try:
        _carry_out(request)
    except KeyboardInterrupt:
        sys.exit(130)
    except RunLocked:
        sys.exit(ELSEWHERE)
    except (Exception, SystemExit) as error:
        if not isinstance(error, SlotbenchError):
            traceback.print_exc()
        reason = reason_of(error)
        record_failure(Run(Path(request["run"])), reason)
        print(reason, file=sys.stderr)
        sys.exit(1)


def _carry_out(request: dict[str, Any]) -> None:
    import torch

    from slotbench import api, plugins
    from slotbench.config.resolve import Choice, dataset_info, resolve
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.datasets.format.places import locate
    from slotbench.errors import UserError
    from slotbench.results.run import Run
    from slotbench.results.work import carry_out

    plugins.load_all()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    run, given = Run(Path(request["run"])), request["choice"]
    own = {"overrides": tuple(given["overrides"]), "results_dir": str(run.results_dir)}
    choice = Choice(**{**given, **own})
    host = api.host(request["device"])
    with DatasetFile(locate(choice.dataset, Path(request["data_dir"]))) as dataset:
        config = resolve(choice, dataset_info(dataset))
        if run.id != f"{config.seed}-{config.id}":
            raise UserError(
                f"The suite was planned with other data than {dataset.path}, or by another "
                "version of slotbench.",
                "Run the suite again.",
            )
        carry_out(run, config, dataset, host, tuple(request["metrics"]))


if __name__ == "__main__":
    main()
