"""Where the things are that the guards use: the one file here that knows slotbench's folders."""

from slotbench import registry
from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request as PrepareRequest
from slotbench.datasets.prepare.preparation import prepare
from slotbench.datasets.shifts.kinds import SHIFTS, split_of, why_not
from slotbench.datasets.shifts.shift_images import change
from slotbench.results.judge import evaluate
from slotbench.results.judge_external import Request as JudgeRequest
from slotbench.results.judge_external import evaluate_baseline, evaluate_predictions
from slotbench.results.work import Host, start
from tests.conftest import write_blocks
from tests.objectives import tiny

__all__ = [
    "SHIFTS",
    "Choice",
    "DatasetFile",
    "DatasetInfo",
    "Host",
    "JudgeRequest",
    "PrepareRequest",
    "RunConfig",
    "change",
    "dataset_info",
    "evaluate",
    "evaluate_baseline",
    "evaluate_predictions",
    "prepare",
    "registry",
    "resolve",
    "split_of",
    "start",
    "tiny",
    "why_not",
    "write_blocks",
]
