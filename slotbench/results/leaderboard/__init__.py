"""Results to tables: what ``slotbench leaderboard`` reads, compares and shows.

``records`` one run · ``collect`` all of them · ``grouping`` rows over seeds · ``statistics``,
``comparisons``, ``verdict`` self-supervision against reconstruction · ``filters``, ``ranks``,
``scaling`` · ``wording``, ``formats``, ``terminal`` how it is shown · ``board`` all of it together.
Everything is derived from the run directories, each time anew.
"""

from slotbench.results.leaderboard.board import Board, leaderboard
from slotbench.results.leaderboard.grouping import Row, rows

__all__ = ["Board", "Row", "leaderboard", "rows"]
