"""The wire format, against the `tfrecord` package and against every kind of damage."""

import contextlib
import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from tfrecord.reader import tfrecord_loader

from slotbench.datasets.originals import tfrecord
from slotbench.errors import UserError
from tests.datasets.originals import (
    example,
    field,
    frame,
    loose_floats,
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


@pytest.mark.parametrize(
    ("feature", "reader", "expected"),
    [
        (single_bytes(BYTES), tfrecord.read_bytes, BYTES),
        (whole_bytes(BYTES), tfrecord.read_bytes, BYTES),
        (MIXED, tfrecord.read_bytes, BYTES),
        (packed_floats(FLOATS), tfrecord.read_floats, FLOATS),
        (loose_floats(FLOATS), tfrecord.read_floats, FLOATS),
    ],
)
def test_lists_are_read_in_every_form(feature, reader, expected):
    np.testing.assert_array_equal(
        reader(tfrecord.parse_example(example({"a": feature}))["a"]), expected
    )


@pytest.mark.parametrize("packed", [True, False])
def test_integers_are_read_in_either_form(tmp_path, packed):
    numbers = [varint(value % 2**64) for value in INTS]
    content = field(1, b"".join(numbers)) if packed else b"\x08" + b"\x08".join(numbers)
    feature, theirs = only_feature(tmp_path, field(3, content))
    assert tfrecord.read_ints(feature).tolist() == theirs == INTS


ENTRIES = [b"", b"one", b"\x0a\x01\x05", bytes(300)]


def test_entries_of_any_length_are_read(tmp_path):
    content = field(1, b"".join(field(1, entry) for entry in ENTRIES))
    feature, theirs = only_feature(tmp_path, content)
    assert [bytes(entry) for entry in tfrecord.read_entries(feature, 4)] == ENTRIES
    # The package's NumPy strings lose zero bytes at the end.
    assert theirs == [entry.rstrip(b"\0") for entry in ENTRIES]
    with pytest.raises(ValueError, match="more than 3 entries"):
        tfrecord.read_entries(feature, 3)
    with pytest.raises(ValueError, match="4 entries, expected 5"):
        tfrecord.read_entries(feature, 5)
    with pytest.raises(ValueError, match="not a bytes_list"):
        tfrecord.read_entries(memoryview(field(2, b"")), 1)


def test_a_list_of_another_kind_is_an_error():
    kinds = {"a": single_bytes(BYTES), "f": packed_floats(FLOATS), "i": field(3, b"\x08\x01")}
    feature = tfrecord.parse_example(example(kinds))
    readers = {"a": tfrecord.read_bytes, "f": tfrecord.read_floats, "i": tfrecord.read_ints}
    for key, reader in readers.items():
        for other in readers:
            if other != key:
                with pytest.raises(ValueError, match="not a"):
                    reader(feature[other])
    with pytest.raises(ValueError, match="not a bytes_list"):
        tfrecord.read_bytes(memoryview(field(1, b"\x08\x05")))  # an entry that is a number
    with pytest.raises(ValueError, match="cut off"):
        tfrecord.read_floats(memoryview(field(2, field(1, b"12345"))))


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


def test_every_cut_and_every_flipped_byte_of_the_compressed_file_is_found(path):
    whole, records = path.read_bytes(), list(tfrecord.RecordFile(path))
    for place in range(len(whole)):
        path.write_bytes(whole[:place])
        with pytest.raises(UserError, match=r"record \d+, byte [\d,]+"):
            list(tfrecord.RecordFile(path))
        path.write_bytes(flipped(whole, place))
        # The time stamp and such in gzip's header change nothing; all else is an error.
        with contextlib.suppress(UserError):
            assert list(tfrecord.RecordFile(path)) == records
            assert place < 10


@pytest.mark.parametrize("plain", [True, False])
def test_a_file_is_read_plain_or_gzipped_and_hashed_as_it_is(path, plain):
    records = list(tfrecord.RecordFile(path))
    if plain:
        path.write_bytes(gzip.decompress(path.read_bytes()))
    file, stored = tfrecord.RecordFile(path), path.read_bytes()
    assert list(file) == records
    assert (file.sha256, file.bytes_read) == (hashlib.sha256(stored).hexdigest(), len(stored))


def test_a_length_that_looks_like_gzip_is_a_length(tmp_path):
    data = bytes(0x00088B1F)  # its length begins with gzip's magic bytes
    (tmp_path / "plain").write_bytes(frame(data))
    assert (tmp_path / "plain").read_bytes().startswith(b"\x1f\x8b\x08")
    assert list(tfrecord.RecordFile(write(tmp_path / "gzipped", [data]))) == [data]
    assert list(tfrecord.RecordFile(tmp_path / "plain")) == [data]


def test_every_cut_and_every_flipped_byte_of_a_plain_file_is_found(path):
    whole = gzip.decompress(path.read_bytes())
    size = len(whole) // 5
    for place in range(len(whole)):
        where = f"record {place // size}, byte {place // size * size}:"
        damaged = [flipped(whole, place)]
        if place % size or not place:  # of whole records only a count could tell
            damaged.append(whole[:place])
        for data in damaged:
            path.write_bytes(data)
            with pytest.raises(UserError, match=where):
                list(tfrecord.RecordFile(path))


def test_what_is_no_tfrecord_is_named(tmp_path):
    path = tmp_path / "x.tfrecords"
    for content in (b"", gzip.compress(b"")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="record 0, byte 0: "):
            list(tfrecord.RecordFile(path))
    path.write_bytes(b"not a TFRecord file at all")
    with pytest.raises(UserError, match="record 0, byte 0: this is not a TFRecord file"):
        list(tfrecord.RecordFile(path))
    with pytest.raises(UserError, match="no such file"):
        tfrecord.RecordFile(tmp_path / "none")


def test_an_absurd_length_is_refused_before_memory_is_asked_for(tmp_path):
    header = struct.pack("<Q", 1 << 60)
    path = tmp_path / "x.tfrecords"
    path.write_bytes(gzip.compress(frame(b"") + header + masked(header)))
    with pytest.raises(UserError, match="record 1, byte 16: a record of"):
        list(tfrecord.RecordFile(path))


@pytest.mark.parametrize(
    "data", [b"\x0a\xff", b"\xff" * 12, b"\x0b", b"\x0a\x05ab", b"\x0a\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_a_malformed_message_is_an_error(data):
    with pytest.raises(ValueError, match=r"cut off|ten bytes|wire type"):
        tfrecord.parse_example(data)


def test_a_message_of_countless_features_is_an_error():
    data = example({str(index): b"" for index in range(tfrecord.MAX_FEATURES + 1)})
    with pytest.raises(ValueError, match="more than 1,000 features"):
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
