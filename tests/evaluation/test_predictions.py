"""Files of predictions: what is read, what is refused with which words, and hostile ones."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation.evaluate import LIMITS
from slotbench.evaluation.external import from_file
from slotbench.evaluation.predictions import PredictionFile, plan
from tests.commands import held_open

TEST, SIDE, SLOTS = 24, 32, 4


@pytest.fixture(scope="module")
def dataset(blocks):
    with DatasetFile(blocks / "clevr.h5") as file:
        yield file


def perfect(dataset, split="test", slots=SLOTS):
    """The true masks, one slot an object, the background in slot 0."""
    truth = dataset.read(split)["mask"]
    return (truth[:, None] == np.arange(slots)[:, None, None]).astype(np.float32)


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, chunks=values.size > 0 or None)
    return path


def read(path, dataset, source="attention", notes=None, test=LIMITS["test"]):
    """Everything that a file says of the test images."""
    notes = [] if notes is None else notes
    with PredictionFile(path) as file:
        given = plan(file, dataset, {**LIMITS, "test": test}, source, notes)
        made = {split: from_file(file, part, dataset, notes) for split, part in given.items()}
    return made["test"]


@pytest.fixture
def said(tmp_path, dataset):
    """What a file of these arrays says."""

    def call(arrays, *given, kind="npz", **options):
        return read(write(tmp_path / f"mine.{kind}", arrays), dataset, *given, **options)

    return call


FIRST = "labels/attention/first"


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("dtype", ["float16", "bool", ">f4"])
def test_formats_and_dtypes_say_the_same(said, dataset, kind, dtype):
    slots = np.random.default_rng(0).normal(size=(TEST, SLOTS, 5)).astype(np.float32)
    made = said({"masks": perfect(dataset).astype(dtype), "slots": slots}, kind=kind)
    truth = dataset.read("test")
    np.testing.assert_array_equal(made.arrays[FIRST], truth["mask"])
    np.testing.assert_array_equal(made.slots, slots)
    whole = np.eye(3) * truth["visible"][:, None]
    np.testing.assert_allclose(made.overlap[:, 1:], whole, atol=1e-6)
    assert made.labelled == made.n == TEST


def test_label_maps_equal_the_masks_that_they_stand_for(said, dataset):
    truth = dataset.read("test")["mask"]
    ours, theirs = said({"masks": truth.astype(np.int32)}), said({"masks": perfect(dataset)})
    for name in (FIRST, "overlap", "labelled"):
        np.testing.assert_array_equal(ours.arrays[name], theirs.arrays[name])
    # Label maps of another size are resized as their masks would be.
    small, halved = said({"masks": truth[:, ::2, ::2]}), perfect(dataset)[:, :, ::2, ::2]
    np.testing.assert_array_equal(small.arrays[FIRST], said({"masks": halved}).arrays[FIRST])


def test_blocks_do_not_matter(said, dataset, monkeypatch):
    arrays = {"masks": perfect(dataset), "slots": np.ones((TEST, 4, 3))}
    whole = said(arrays)
    monkeypatch.setattr("slotbench.evaluation.predictions.BLOCK", 5 * 4 * SIDE**2)
    parts = said(arrays)
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(values, parts.arrays[name])


def test_both_sources_stay_apart_and_attention_pairs_slots(said, dataset):
    masks = perfect(dataset)
    made = said({"attention_masks": masks, "decoder_masks": masks[:, ::-1]})
    assert set(made.sources("first")) == {"attention", "decoder"}
    alone, decoder = (said({"masks": masks}, source) for source in ("attention", "decoder"))
    np.testing.assert_array_equal(made.overlap, alone.overlap)
    assert decoder.sources("first") == ("decoder",)
    assert "entropy" in alone.arrays
    assert "entropy" not in decoder.arrays
    with pytest.raises(UserError, match="both 'masks' and 'decoder_masks'"):
        said({"masks": masks, "decoder_masks": masks}, "decoder")


def test_notes_say_how_odd_masks_were_read(said, dataset):
    notes, plain = [], []
    masks = perfect(dataset)
    made = said({"masks": masks[:, :, ::2, ::2] * 3, "extra": np.ones(3)}, notes=notes)
    text = "; ".join(notes)
    assert "masks: 16x16, resized bilinearly to 32x32 before the argmax" in text
    assert "sums over slots lie in [3, 3], not at 1; read as scores" in text
    assert "arrays that are not part of the layout: extra" in text
    assert "entropy" not in made.arrays
    said({"masks": masks}, notes=plain)
    assert plain == []


def bad(value, shape=(TEST, SLOTS, SIDE, SIDE), place=(7, 1, 2, 3)):
    masks = np.full(shape, 0.25, np.float32)
    masks[place] = value
    return masks


MISTAKES = {
    "nan": ({"masks": bad(np.nan)}, r"'masks' holds NaN or infinite values in image 7"),
    "negative": ({"masks": bad(-0.1)}, r"'masks' holds negative values in image 7.*softmax"),
    "fewer images": ({"masks": bad(0.2)[:20]}, r"'masks' is float32 \(20,.*20 images, expected 24"),
    "axes": ({"masks": np.ones((TEST, SLOTS))}, r"expected float \(n, K, h, w\) or whole numbers"),
    "float labels": ({"masks": np.ones((TEST, SIDE, SIDE))}, "a label map holds whole numbers"),
    "channels last": (
        {"masks": np.ones((TEST, SIDE, SIDE, 4))},
        r"looks like \(n, h, w, K\).*transpose\(0, 3, 1, 2\)",
    ),
    "empty": ({"masks": np.ones((TEST, 0, SIDE, SIDE))}, "an axis is empty"),
    "label 255": ({"masks": np.full((TEST, SIDE, SIDE), 255)}, "holds labels 0 to 255; expected 0"),
    "label beyond K": (
        {"masks": np.full((TEST, SIDE, SIDE), 4), "slots": np.ones((TEST, 4, 8))},
        "label 4, and there are 4 slots",
    ),
    "K differs": (
        {"masks": bad(0.2), "slots": np.ones((TEST, 5, 8))},
        r"'masks' has 4, 'slots' has 5 slots an image",
    ),
    "width differs": (
        {"slots": np.ones((TEST, 4, 8)), "train_slots": np.ones((48, 4, 9))},
        "slots differ in width: slots 8, train_slots 9",
    ),
    "nothing": ({"mask": bad(0.2)}, r"neither 'masks' nor 'slots' for the test.*it has 'mask'"),
    "too wide": ({"slots": np.ones((TEST, 1, 70_000), np.float16)}, "at most 255 slots of width"),
}


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_file_and_array(tmp_path, said, mistake, kind):
    arrays, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as caught:
        said(arrays, kind=kind)
    assert str(tmp_path / f"mine.{kind}") in caught.value.message


def npy(header, body=b"", version=(1, 0)):
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + body


def header(shape, descr="<f4", fortran=False):
    return f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


class Trap:
    """Its unpickling would be noticed."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


PICKLED = npy(header((1,), "|O")) + pickle.dumps(np.array([Trap()], object))
HOSTILE = {
    "object array": (PICKLED, "holds Python objects, which are never unpickled"),
    # A bomb is refused by its declared size: reading it would find it cut short.
    "more images than there are": (npy(header((TEST << 20, 4, 8)), b"\0" * 64), "more than there"),
    "says more than it has": (
        npy(header((TEST, 4, 1 << 20, 1 << 20)), b"\0" * 64),
        "more than 8 GiB",
    ),
    "cut short": (npy(header((TEST, 4, 8)), b"\0" * 64), "cannot be read"),
    "negative shape": (npy(header((TEST, -4, 8)), b""), "an axis is empty"),
    "long header": (npy("{" * 60_000 + "\n"), "cannot be read"),
    "gigabytes of header": (npy(" " * 200_000, version=(2, 0)), "cannot be read"),
    "code as header": (npy("__import__('os').system('touch unpickled')\n"), "cannot be read"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_npz_files_are_refused_before_anything_is_read(
    tmp_path, dataset, case, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[case]
    with zipfile.ZipFile("evil.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("slots.npy", content)
    with pytest.raises(UserError, match=message) as caught:
        read(Path("evil.npz"), dataset)
    assert "'slots'" in caught.value.message
    assert not Path("unpickled").exists()


def test_hdf5_files_cannot_lead_elsewhere(tmp_path, dataset):
    shape = (TEST, 4, 8)
    secret = write(tmp_path / "secret.h5", {"slots": np.ones(shape)})
    layout, outside = h5py.VirtualLayout(shape, "f8"), [(str(secret), 0, h5py.h5f.UNLIMITED)]
    layout[:] = h5py.VirtualSource(str(secret), "slots", shape)
    elsewhere = {
        "link": lambda file: file.update(slots=h5py.ExternalLink(str(secret), "slots")),
        "outside": lambda file: file.create_dataset("slots", shape, "f4", external=outside),
        "virtual": lambda file: file.create_virtual_dataset("slots", layout),
        "folder": lambda file: file.create_group("slots"),
    }
    for name, make in elsewhere.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            make(file)
        with pytest.raises(UserError, match=r"'slots'.* (a link to|no array|other files)"):
            read(tmp_path / f"{name}.h5", dataset)


def test_what_is_no_file_of_arrays_or_in_use_is_refused_by_name(tmp_path, dataset):
    """Damage is tested in tests/fuzz."""
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "text.npz").write_text("masks")
    for name, message in (
        ("pipe.npz", "is no regular file"),
        ("none.npz", "there is no such file"),
        ("text.npz", r"text\.npz is neither an \.npz file nor HDF5"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path / name, dataset)
    path = write(tmp_path / "mine.h5", {"masks": perfect(dataset)})
    with held_open(path), pytest.raises(UserError, match="is in use: another program"):
        read(path, dataset)
    read(path, dataset)


def test_a_file_may_hold_the_first_images_that_an_evaluation_uses(said, dataset):
    masks = perfect(dataset)
    for given in (masks[:10], masks):
        made = said({"masks": given}, test=10)
        assert made.n == len(made.arrays[FIRST]) == 10
