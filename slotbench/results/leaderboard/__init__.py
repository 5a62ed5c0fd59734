"""``slotbench leaderboard``: reads the runs, compares their rows, and shows them.

``records`` one run · ``collect`` all runs · ``grouping`` rows over seeds · ``statistics``,
``comparisons``, ``verdict`` self-supervision against reconstruction · ``filters``, ``ranks``,
``scaling`` · ``wording``, ``formats``, ``terminal`` the output · ``board`` all of it together.
"""

from slotbench.results.leaderboard.board import Board, leaderboard
from slotbench.results.leaderboard.grouping import Row, rows

__all__ = ["Board", "Row", "leaderboard", "rows"]
