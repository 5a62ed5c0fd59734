"""Mutations of bytes and of JSON documents, drawn from an explicit generator."""

import copy
import json

import numpy as np

PLAIN = (None, True, -1, 0, 1.5, 2**70, "", "x" * 1000, [], {}, [[]] * 3, {"": None})
VALUES = (*PLAIN, "../../etc", "[bold]$x$=cmd|'!A1</b>", "\x1b[2J\x00\u202e")
"""Values that take the place of a value."""
NUMBERS = ("NaN", "-Infinity", "1e400", "9" * 400, "9" * 5000)
TEXTS = (*NUMBERS, '"\\ud800"', "[" * 5000, '{"a":' * 2000, "", "\ufeff", "'")
"""Texts that take the place of a value in a document; mostly no JSON."""


def mutants(data, seed, count):
    """``count`` mutations of a file's content."""
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    for number in range(count):
        draw = np.random.default_rng((seed, number))
        if document is not None and draw.random() < 0.7:
            yield of_document(document, draw)
        else:
            yield of_bytes(data, draw)


def of_bytes(data, draw):
    """Flip, cut, repeat, insert or lose some bytes."""
    found = bytearray(data)
    for _ in range(draw.integers(1, 4)):
        place = int(draw.integers(0, max(1, len(found))))
        end = min(len(found), place + int(draw.integers(1, 64)))
        kind = draw.integers(0, 6)
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << int(draw.integers(0, 8))
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            del found[place:end]
        elif kind == 3:
            found[place:place] = found[place:end] * int(draw.integers(1, 50))
        elif kind == 4:
            found[place:place] = draw.bytes(int(draw.integers(1, 16)))
        else:
            found[place:end] = draw.choice([b"\xff", b"\x00", b"\xed\xa0\x80"]) * (end - place)
    return bytes(found)


def of_document(document, draw):
    """Replace, lose or rename a value of a JSON document, or write it as no JSON."""
    made = copy.deepcopy(document)
    places = list(_places(made))
    if not places:
        return b"[]"
    parent, key = places[int(draw.integers(len(places)))]
    kind = draw.integers(0, 4)
    if kind == 0:
        parent[key] = copy.deepcopy(VALUES[int(draw.integers(len(VALUES)))])
    elif kind == 1:
        del parent[key]
    elif kind == 2 and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    else:
        parent[key] = "\0here\0"
        text = TEXTS[int(draw.integers(len(TEXTS)))]
        return json.dumps(made).replace('"\\u0000here\\u0000"', text).encode()
    return json.dumps(made).encode()


def _places(document):
    """(container, key) of every value."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)
