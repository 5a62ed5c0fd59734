"""PNG files written byte by byte; nothing here uses Pillow or the code under test."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, width, height, bits, color, *between):
    """``rows`` have a filter byte each; ``between`` are chunks, kind and data."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [
        (b"IHDR", header),
        *((part[:4], part[4:]) for part in between),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    ]
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def rows_of(values, bits):
    """Numbers (h, w) of that many bits each, as rows without a filter."""
    lines = []
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        lines.append(b"\0" + int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(lines)


def grey(values, bits=8):
    """Numbers (h, w) as a grey PNG."""
    return png(rows_of(values, bits), values.shape[1], values.shape[0], bits, 0)


def palette(values, bits=8):
    """Indices (h, w) as a PNG whose palette has the same colour everywhere."""
    colors = b"PLTE" + bytes(7 for _ in range(3 * 2**bits))
    return png(rows_of(values, bits), values.shape[1], values.shape[0], bits, 3, colors)


def rgb(image, alpha=False):
    """uint8 (h, w, 3 or 4) as a PNG in colours."""
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in image)
    return png(rows, image.shape[1], image.shape[0], 8, 6 if alpha else 2)


def with_checksums(data):
    """A PNG whose chunks' checksums are made right again, as far as its lengths allow."""
    out, place = data[:8], 8
    while place + 12 <= len(data):
        length = min(struct.unpack(">I", data[place : place + 4])[0], len(data) - place - 12)
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return out
