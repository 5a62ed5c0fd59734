"""Damaged and hostile TFRecord files: each is imported or refused, never more than that."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event
from hypothesis import strategies as st

from slotbench.datasets.dataset import Importer
from slotbench.datasets.originals.multi_object import clevr_importer, multi_dsprites_importer
from slotbench.datasets.originals.objects_room_import import ObjectsRoomImporter
from slotbench.datasets.sets.tetrominoes import tetrominoes_importer
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets import trees
from tests.datasets.originals import (
    clevr_record,
    frame,
    room_record,
    sprites_record,
    tetrominoes_record,
    write,
)
from tests.datasets.trees import INPUTS, fuzz


@dataclass(frozen=True)
class Format:
    """One published file: a record of it, its usual name, and what reads it."""

    record: bytes
    name: str
    importer: Callable[[Path], Importer]

    @cached_property
    def places(self) -> list[int]:
        """Where the lengths and the kinds of features stand: beside their names."""
        keys = (b"image", b"mask", b"visibility", b"shape", b"color", b"x")
        found = [self.record.find(bytes([10, len(key)]) + key) for key in keys]
        return [0, *(place for place in found if place >= 0)]


FORMATS = {
    "clevr": Format(
        clevr_record(0, 3),
        "clevr_with_masks_train",
        lambda path: clevr_importer(path, "clevr6", 16),
    ),
    "colored_on_grayscale": Format(
        sprites_record(0),
        "multi_dsprites_colored_on_grayscale",
        lambda path: multi_dsprites_importer(path, "colored_on_grayscale", 16),
    ),
    "binarized": Format(
        sprites_record(1, 2, 4, 1),
        "multi_dsprites_binarized",
        lambda path: multi_dsprites_importer(path, "binarized", 16),
    ),
    "tetrominoes": Format(
        tetrominoes_record(0), "tetrominoes_train", lambda path: tetrominoes_importer(path, 32)
    ),
    "room": Format(
        room_record(0, 3), "objects_room_train", lambda path: ObjectsRoomImporter(path, 16)
    ),
    "six_objects": Format(
        room_record(0, 6, 10),
        "objects_room_test_six_objects",
        lambda path: ObjectsRoomImporter(path.parent, 16),
    ),
}
ODD = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff" * 9 + b"\x7f",
    b"\x00\x00\xc0\x7f",
    b"\xff\xff\x7f\x7f",
)
"""Ends of ranges: of bytes, of variable-length numbers, of floats (NaN and the largest)."""
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 1 << 24),
        st.one_of(st.sampled_from(ODD), st.binary(min_size=1, max_size=3)),
        st.sampled_from(("replace", "replace", "insert", "remove")),
    ),
    min_size=1,
    max_size=4,
)
LEVELS = st.sampled_from(("record", "record", "record", "stream", "file"))
"""What is changed: a record whose checksums are right, the stream with them, or the file."""


def changed(data: bytes, places: list[int], changes: list[tuple[int, int, bytes, str]]) -> bytes:
    """``data`` with some bytes changed, most of them near one of ``places``."""
    for near, far, new, kind in changes:
        place = places[far % len(places)] + near if near else far
        start = place % (len(data) + 1)
        stop = start if kind == "insert" else start + len(new)
        data = data[:start] + (b"" if kind == "remove" else new) + data[stop:]
    return data


def damaged(
    form: Format, level: str, changes: list[tuple[int, int, bytes, str]], cut: int
) -> bytes:
    """The bytes of a file: one record that is damaged, or two in a damaged stream or file.

    Some lose their end.
    """

    def short(data: bytes) -> bytes:
        return data[: len(data) - cut % (len(data) + 1)] if cut else data

    if level == "record":
        # Alone: CLEVR's have three megabytes, and reading a good one first is tested elsewhere.
        return gzip.compress(frame(short(changed(form.record, form.places, changes))), 0)
    good = frame(form.record)
    if level == "stream":
        stream = short(changed(good + good, [0, len(good), len(good) - 4], changes))
        return gzip.compress(stream, 0)
    whole = gzip.compress(good + good, 0)
    return short(changed(whole, [0, len(whole) // 2, len(whole) - 50], changes))


def imported_or_refused(form: Format, path: Path) -> str:
    """The error's message, or nothing where the file was read and all of it is sound."""
    try:
        importer = form.importer(path)
        for _, batch in importer.batches(0, 10):
            assert len(batch.pop("record")) == importer.layout.check(batch)
            unchanged = np.zeros_like(batch["visible"])
            assert verify._problem(batch, importer.layout, unchanged) == ""
    except UserError as error:
        refusal = error.message
    else:
        return ""
    assert path.name in refusal
    return refusal


@pytest.mark.parametrize("name", FORMATS)
def test_an_undamaged_file_is_imported(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    write(tmp_path / "objects_room_train.tfrecords", [room_record(0, 3)])
    path = tmp_path / f"{form.name}.tfrecords"
    path.write_bytes(gzip.compress(frame(form.record) * 2, 0))
    assert imported_or_refused(form, path) == ""


@INPUTS
@pytest.mark.parametrize("name", FORMATS)
def test_no_input_brings_an_importer_down(inputs: int, name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    write(tmp_path / "objects_room_train.tfrecords", [room_record(0, 3)])
    path = tmp_path / f"{form.name}.tfrecords"

    def check(level: str, changes: list[tuple[int, int, bytes, str]], cut: int) -> None:
        path.write_bytes(damaged(form, level, changes, cut))
        event(level + (": refused" if imported_or_refused(form, path) else ": read"))

    cut = st.one_of(st.just(0), st.just(0), st.integers(1, 1 << 20))
    fuzz(inputs, check, level=LEVELS, changes=CHANGES, cut=cut)


def test_no_input_leaves_half_a_file(tmp_path: Path) -> None:
    form, data = FORMATS["tetrominoes"], tmp_path / "data"
    path = tmp_path / f"{form.name}.tfrecords"
    good = frame(form.record) * 4
    seen = set()

    def check(changes: list[tuple[int, int, bytes, str]]) -> None:
        bad = frame(changed(form.record, form.places, changes))
        path.write_bytes(gzip.compress(good + bad, 0))
        data.mkdir(exist_ok=True)
        seen.add(bool(trees.prepared_or_refused("tetrominoes", None, path, data)))

    fuzz(15, check, changes=CHANGES)
    assert True in seen


def test_masks_that_are_all_empty_are_not_labelled(tmp_path: Path) -> None:
    from tests.datasets.originals import single_bytes

    empty = single_bytes(np.zeros((4, 35, 35, 1), np.uint8))
    path = write(tmp_path / "tetrominoes.tfrecords", [tetrominoes_record(0, mask=empty)])
    ((_, batch),) = tetrominoes_importer(path, 32).batches(0, 10)
    assert (batch["mask"] == 255).all()
    assert not batch["visible"].any()
