"""Results to tables: what ``slotbench leaderboard`` reads, compares and shows.

``records`` one run · ``runs`` all of them · ``grouping`` rows over seeds · ``comparisons``
self-supervision against reconstruction · ``filters`` · ``board`` all of it together ·
``documents``, ``wording``, ``tables``, ``terminal`` the formats. Everything is derived
from the run directories, each time anew.
"""

from slotbench.results.leaderboard.board import Board, leaderboard
from slotbench.results.leaderboard.collect import collect
from slotbench.results.leaderboard.grouping import Row, rows
from slotbench.results.leaderboard.index import Index

__all__ = ["Board", "Index", "Row", "collect", "leaderboard", "rows"]
