"""Names of splits. It imports nothing, so that commands which only need names start fast."""

SPLITS = ("train", "val", "test")
SHIFTED = "test-"
"""Prefix of the names of shifted test sets."""
SHIFT_FLAGS = "shift/changed"
"""bool (n, [T,] O): the changed objects, in test sets whose shift changes single objects."""
_CALLED = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}


def split_called(folder: str) -> str | None:
    """The split that people mean by the name of a folder; None: it is no split's."""
    name = _CALLED.get(folder.lower(), folder.lower())
    return name if name in SPLITS or name.startswith(SHIFTED) else None
