"""A long JSON array, read one item at a time: memory stays flat whatever the array's length."""

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

CHUNK = 1 << 18
MOST_ITEM = 4 << 20
"""Characters of one item of the array, or of one value beside it."""
SPACE = " \t\n\r"
ENDS = (*SPACE, *",:]}")


def items(stream: BinaryIO, key: str) -> Iterator[Any]:
    """The items of the array that a top-level object has under ``key``.

    ValueError where the stream is no such JSON, or an item is longer than :data:`MOST_ITEM`.
    """
    text, found = _Text(stream), False
    text.take("{")
    if text.peek() == "}":
        text.take("}")
    else:
        while True:
            name = text.value()
            text.take(":")
            if name == key:
                if found:
                    raise ValueError(f"{key!r} stands twice")
                found = True
                yield from _array(text)
            else:
                text.value()
            if text.take(",}") == "}":
                break
    if text.peek():
        raise ValueError("more follows its end")
    if not found:
        raise ValueError(f"{key!r} is missing")


def _array(text: "_Text") -> Iterator[Any]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


class _Text:
    """The stream's text, of which what was read is dropped."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._place, self._ended = "", 0, False

    def _more(self) -> bool:
        """Read on; whether anything came."""
        if self._ended:
            return False
        # Pieces grow with what is there, so that an item is parsed a few times at most.
        data = self._stream.read(max(CHUNK, len(self._text) - self._place))
        self._ended = not data
        self._text = self._text[self._place :] + self._decoder.decode(data, self._ended)
        self._place = 0
        return not self._ended

    def peek(self) -> str:
        """The next character that is no space; none at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in SPACE:
                    return self._text[self._place]
                self._place += 1
            if not self._more():
                return ""

    def take(self, allowed: str) -> str:
        """The next character, which must be one of ``allowed``."""
        found = self.peek()
        if not found or found not in allowed:
            what = f"{found!r}" if found else "its end"
            raise ValueError(f"expected {' or '.join(map(repr, allowed))}, found {what}")
        self._place += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except RecursionError as error:
                raise ValueError("it is nested too deep") from error
            except ValueError:
                # Damaged, or cut off by the end of what was read so far: more text tells which.
                if len(self._text) - self._place > MOST_ITEM or not self._more():
                    raise
                continue
            # A number may go on in what was not read yet, after a point or an e.
            if self._text[end : end + 1] in ENDS or not self._more():
                if end - self._place > MOST_ITEM:
                    raise ValueError("an item is too long")
                self._place = end
                return value
