"""slotbench: train any slot core with any objective, and judge them all alike.

``slotbench.train``, ``evaluate``, ``leaderboard`` and ``prepare`` are the functions of
:mod:`slotbench.api`; they are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slotbench.api import evaluate, leaderboard, prepare, train

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "leaderboard", "prepare", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from slotbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'slotbench' has no attribute {name!r}")
