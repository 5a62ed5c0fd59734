"""Golden guards: what slotbench makes today, stored, so that a move of files changes nothing.

``stored/`` holds expectations. One command writes them all, from the code as it is:

    python -m tests.golden.write

Type it only where a change of results is meant, and say so in the commit. The tests compare
with a little room, as NumPy and torch choose their functions by the CPU's instruction set. On
one machine, before and after a move, there is no room at all:

    python -m tests.golden.write --to /tmp/before      # before the move
    python -m tests.golden.exact /tmp/before           # after it; names what differs

Without a folder ``exact`` compares with ``stored/``. All that the guards use of slotbench is
imported in ``places.py``: where files move, that is the one file here to change.
"""
