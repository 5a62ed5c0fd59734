"""The wire format, against the `tfrecord` package and against every kind of damage."""

import contextlib
import gzip
import struct
import tracemalloc
from functools import partial

import numpy as np
import pytest
from tfrecord.reader import tfrecord_loader

from slotbench.datasets.originals import tfrecord
from slotbench.errors import UserError
from tests.datasets.originals import (
    entries,
    example,
    field,
    frame,
    masked,
    packed_floats,
    single_bytes,
    varint,
    whole_bytes,
    write,
)

BYTES = np.arange(9, dtype=np.uint8)
FLOATS = np.array([1.5, -2.0, 3.25])
INTS = [0, 1, 127, 128, 300, -1, -(2**63), 2**63 - 1]


def only_feature(tmp_path, content):
    """A feature from a file: as it is stored, and as the ``tfrecord`` package reads it."""
    path = write(tmp_path / "x.tfrecords", [example({"x": content})])
    (data,), (theirs,) = (
        tfrecord.RecordFile(path),
        tfrecord_loader(str(path), None, compression_type="gzip"),
    )
    return tfrecord.parse_example(data)["x"], theirs["x"].tolist()


@pytest.fixture
def path(tmp_path):
    records = [
        example({"a": single_bytes(BYTES + index), "f": packed_floats(FLOATS * index)})
        for index in range(5)
    ]
    return write(tmp_path / "small.tfrecords", records)


MIXED = field(1, field(1, bytes(BYTES[:4])) + field(1, b"") + field(1, bytes(BYTES[4:])))


@pytest.mark.parametrize("feature", [whole_bytes(BYTES), MIXED])
def test_bytes_are_read_in_every_form(feature):
    read = tfrecord.read_bytes(tfrecord.parse_example(example({"a": feature}))["a"])
    np.testing.assert_array_equal(read, BYTES)


@pytest.mark.parametrize("packed", [True, False])
def test_integers_are_read_in_either_form(tmp_path, packed):
    numbers = [varint(value % 2**64) for value in INTS]
    content = field(1, b"".join(numbers)) if packed else b"\x08" + b"\x08".join(numbers)
    feature, theirs = only_feature(tmp_path, field(3, content))
    assert tfrecord.read_ints(feature).tolist() == theirs == INTS


ENTRIES = [b"", b"one", b"\x0a\x01\x05", bytes(300)]


def test_entries_of_any_length_are_read(tmp_path):
    feature, theirs = only_feature(tmp_path, entries(ENTRIES))
    assert [bytes(entry) for entry in tfrecord.read_entries(feature, 4)] == ENTRIES
    # The package's NumPy strings lose zero bytes at the end.
    assert theirs == [entry.rstrip(b"\0") for entry in ENTRIES]


LISTS = {
    tfrecord.read_bytes: single_bytes(BYTES),
    tfrecord.read_floats: packed_floats(FLOATS),
    tfrecord.read_ints: field(3, b"\x08\x01"),
}
BAD_LISTS = [
    *((reader, LISTS[other], "not a") for reader in LISTS for other in LISTS if other != reader),
    (tfrecord.read_bytes, field(1, b"\x08\x05"), "not a bytes_list"),  # an entry that is a number
    (tfrecord.read_floats, field(2, field(1, b"12345")), "cut off"),
    (partial(tfrecord.read_entries, count=3), entries(ENTRIES), "more than 3 entries"),
    (partial(tfrecord.read_entries, count=5), entries(ENTRIES), "4 entries, expected 5"),
    (partial(tfrecord.read_entries, count=1), field(2, b""), "not a bytes_list"),
]


@pytest.mark.parametrize(("reader", "feature", "message"), BAD_LISTS)
def test_a_list_of_another_kind_is_an_error(reader, feature, message):
    with pytest.raises(ValueError, match=message):
        reader(memoryview(feature))


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


def fails(path, data, message):
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        list(tfrecord.RecordFile(path))


def test_every_cut_and_every_flipped_byte_of_the_compressed_file_is_found(path):
    whole, records = path.read_bytes(), list(tfrecord.RecordFile(path))
    for place in range(len(whole)):
        fails(path, whole[:place], r"record \d+, byte [\d,]+")
        path.write_bytes(flipped(whole, place))
        # The time stamp and such in gzip's header change nothing; all else is an error.
        with contextlib.suppress(UserError):
            assert list(tfrecord.RecordFile(path)) == records
            assert place < 10


def test_a_length_that_looks_like_gzip_is_a_length(tmp_path):
    data = bytes(0x00088B1F)  # its length begins with gzip's magic bytes
    (tmp_path / "plain").write_bytes(frame(data))
    assert (tmp_path / "plain").read_bytes().startswith(b"\x1f\x8b\x08")
    for path in (write(tmp_path / "gzipped", [data]), tmp_path / "plain"):
        file = tfrecord.RecordFile(path)
        assert list(file) == [data]
        assert file.bytes_read == file.size


def test_every_cut_and_every_flipped_byte_of_a_plain_file_is_found(path):
    whole = gzip.decompress(path.read_bytes())
    size = len(whole) // 5
    for place in range(len(whole)):
        where = f"record {place // size}, byte {place // size * size}:"
        fails(path, flipped(whole, place), where)
        if place % size or not place:  # of whole records only a count could tell
            fails(path, whole[:place], where)


def test_what_is_no_tfrecord_is_named(tmp_path):
    path, header = tmp_path / "x.tfrecords", struct.pack("<Q", 1 << 60)
    fails(path, b"", "record 0, byte 0: ")
    fails(path, gzip.compress(b""), "record 0, byte 0: ")
    fails(path, b"not a TFRecord file at all", "record 0, byte 0: this is not a TFRecord file")
    # Refused before memory is asked for.
    absurd = gzip.compress(frame(b"") + header + masked(header))
    fails(path, absurd, "record 1, byte 16: a record of")
    with pytest.raises(UserError, match="no such file"):
        tfrecord.RecordFile(tmp_path / "none")


MALFORMED = dict.fromkeys((b"\x0a\xff", b"\x0a\x05ab", b"\x0a" + b"\xff" * 6 + b"\x7f"), "cut off")
MALFORMED |= {b"\xff" * 12: "ten bytes", b"\x0b": "wire type"}
MALFORMED |= {example({str(index): b"" for index in range(1001)}): "more than 1,000 features"}


@pytest.mark.parametrize(("data", "message"), MALFORMED.items())
def test_a_malformed_message_is_an_error(data, message):
    with pytest.raises(ValueError, match=message):
        tfrecord.parse_example(data)


@pytest.mark.parametrize(
    ("reader", "feature", "size"),
    [
        (tfrecord.read_bytes, field(1, b"\x0a\x00" * 50_000), 0),
        (tfrecord.read_floats, field(2, b"\x0d\0\0\0\0" * 20_000), 20_000),
        (tfrecord.read_ints, field(3, b"\x08\x01" * 50_000), 50_000),
    ],
    ids=["bytes", "floats", "ints"],
)
def test_a_list_of_countless_entries_takes_little_memory(reader, feature, size):
    tracemalloc.start()
    found = reader(memoryview(feature))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == size
    assert peak < 12 * len(feature)  # a Python object for each would take a hundred times


def test_memory_is_flat(tmp_path):
    def peak(records):
        path = write(
            tmp_path / f"{records}",
            [example({"a": single_bytes(np.zeros(9000, np.uint8))})] * records,
        )
        tracemalloc.start()
        for _ in tfrecord.RecordFile(path):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(200) < 1.5 * peak(20)
