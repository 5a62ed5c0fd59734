"""slotbench as functions: for scripts, notebooks and the command line.

    import slotbench
    slotbench.prepare("clevr", train=6_000, val=500, test=1_000)
    run = slotbench.train(objective="simclr", preset="quick")
    slotbench.evaluate(run)
    slotbench.leaderboard()             # a pandas DataFrame
    core = slotbench.load(run)          # core(images): slots, attention, features

The command line reads its options, their defaults and their help from here, so that a function
and its command take the same. Input that the user can mend raises
:class:`slotbench.errors.UserError`. Torch is imported by the functions that need it.
"""

from slotbench.api.boards import board, cite, export, leaderboard, publish, report
from slotbench.api.data import dataset, export_model, find, host, load, predict, prepare
from slotbench.api.looking import evaluate, show, verify
from slotbench.api.running import bench, reproduce, speedrun, suite_run, suite_status, train, tune
from slotbench.fields import checked

__all__ = [
    "bench",
    "board",
    "cite",
    "dataset",
    "evaluate",
    "export",
    "export_model",
    "find",
    "host",
    "leaderboard",
    "load",
    "predict",
    "prepare",
    "publish",
    "report",
    "reproduce",
    "show",
    "speedrun",
    "suite_run",
    "suite_status",
    "train",
    "tune",
    "verify",
]

globals().update({name: checked(globals()[name]) for name in __all__})
