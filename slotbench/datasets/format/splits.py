"""Names of splits. It imports nothing, so that commands which only need names start fast."""

SPLITS = ("train", "val", "test")
SHIFTED = "test-"
"""Prefix of the names of shifted test sets."""
SHIFT_FLAGS = "shift/changed"
"""bool (n, [T,] O): the changed objects, in test sets whose shift changes single objects."""
