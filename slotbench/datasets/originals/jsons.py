"""Long JSON files, read one item at a time: memory stays flat."""

from collections.abc import Iterator
from typing import Any, Protocol

import ijson
import numpy as np

DEEPEST = 2000
"""Brackets within brackets; the memory that ijson takes grows with their square."""


class Readable(Protocol):
    """A binary stream."""

    def read(self, count: int = ..., /) -> bytes: ...


def json_items(stream: Readable, key: str) -> Iterator[Any]:
    """The items of the array that a top-level object has under ``key``.

    ValueError where the stream is no JSON. An array that is missing has no items.
    """
    try:
        yield from ijson.items(_Shallow(stream), f"{key}.item", use_float=True)
    except ijson.JSONError as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(text.splitlines()[0]) from error


class _Shallow:
    """Refuses deep nesting; brackets in texts count too, and seldom are as many."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._depth = stream, 0

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        letters = np.frombuffer(data, np.uint8) | 32  # [ and {, ] and } differ by this bit
        depths = self._depth + np.cumsum((letters == ord("{")) * 1 - (letters == ord("}")))
        if len(depths):
            self._depth = max(int(depths[-1]), 0)
            if depths.max() > DEEPEST:
                raise ValueError("it is nested too deep")
        return data
