"""slotbench: train any slot core with any objective, and judge them all alike.

    run = slotbench.train(objective="simclr")       # or: run = slotbench.find("0-ed55acbc")
    core = slotbench.load(run)                      # core(images): slots, attention, features
    slotbench.leaderboard()                         # a pandas DataFrame
    slotbench.dataset("clevr", "test")              # a torch.utils.data.Dataset

These are functions of :mod:`slotbench.api`, which is imported when one of them is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slotbench.api import (
        dataset,
        evaluate,
        find,
        leaderboard,
        load,
        predict,
        prepare,
        show,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "dataset",
    "evaluate",
    "find",
    "leaderboard",
    "load",
    "predict",
    "prepare",
    "show",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from slotbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'slotbench' has no attribute {name!r}")
