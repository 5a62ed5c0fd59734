"""Names of splits; imports nothing, so that names of metrics are read without h5py."""

SPLITS = ("train", "val", "test")
SHIFTED = "test-"
"""What the names of shifted test sets begin with."""
SHIFT_FLAGS = "shift/changed"
"""bool (n, [T,] O), in shifted test sets alone, where objects were changed and not the image."""
