"""Golden guards: what slotbench makes today, stored, so that a move of files changes nothing.

``stored/`` holds expectations. ``python -m tests.golden`` compares them with what the code makes,
to the last bit, and prints what differs; the exit code is 1 where anything does. The tests leave
a little room, as NumPy and torch choose their functions by the CPU's instruction set.

``python -m tests.golden --write`` stores what the code makes. Type it only where a change of
results is meant, and say so in the commit. Before a move, ``--write --to FOLDER`` stores it
elsewhere; after it, ``--to FOLDER`` compares.
"""
