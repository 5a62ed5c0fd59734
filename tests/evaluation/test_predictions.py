"""Files of predictions: what is read, what is refused with which words, and hostile ones."""

import io
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
                file.create_dataset(name, data=values, chunks=True)
    return path


def read(path, dataset, source="attention", notes=None):
    """Everything that a file says, by split."""
    notes = [] if notes is None else notes
    with PredictionFile(path) as file:
        given = plan(file, dataset, LIMITS, source, notes)
        return {split: from_file(file, part, dataset, notes) for split, part in given.items()}


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("dtype", ["float16", "bool", ">f4"])
def test_formats_and_dtypes_say_the_same(tmp_path, dataset, kind, dtype):
    slots = np.random.default_rng(0).normal(size=(TEST, SLOTS, 5)).astype(np.float32)
    path = write(tmp_path / f"a.{kind}", {"masks": perfect(dataset).astype(dtype), "slots": slots})
    made = read(path, dataset)["test"]
    np.testing.assert_array_equal(
        made.arrays["labels/attention/first"], dataset.read("test")["mask"]
    )
    np.testing.assert_array_equal(made.slots, slots)
    visible = dataset.read("test")["visible"]
    np.testing.assert_allclose(made.overlap[:, 1:], np.eye(3) * visible[:, None], atol=1e-6)
    assert made.labelled == made.n == TEST


def test_label_maps_equal_the_masks_that_they_stand_for(tmp_path, dataset):
    truth = dataset.read("test")["mask"]
    maps = write(tmp_path / "maps.npz", {"masks": truth.astype(np.int32)})
    masks = write(tmp_path / "masks.npz", {"masks": perfect(dataset)})
    ours, theirs = read(maps, dataset)["test"], read(masks, dataset)["test"]
    for name in ("labels/attention/first", "overlap", "labelled"):
        np.testing.assert_array_equal(ours.arrays[name], theirs.arrays[name])
    # Label maps of another size are resized as their masks would be.
    small = write(tmp_path / "small.npz", {"masks": truth[:, ::2, ::2]})
    halved = write(tmp_path / "halved.npz", {"masks": perfect(dataset)[:, :, ::2, ::2]})
    ours, theirs = read(small, dataset)["test"], read(halved, dataset)["test"]
    np.testing.assert_array_equal(
        ours.arrays["labels/attention/first"], theirs.arrays["labels/attention/first"]
    )


def test_blocks_do_not_matter(tmp_path, dataset, monkeypatch):
    path = write(tmp_path / "a.npz", {"masks": perfect(dataset), "slots": np.ones((TEST, 4, 3))})
    whole = read(path, dataset)["test"]
    monkeypatch.setattr("slotbench.evaluation.predictions.BLOCK", 5 * 4 * SIDE**2)
    parts = read(path, dataset)["test"]
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(values, parts.arrays[name])


def test_both_sources_stay_apart_and_attention_pairs_slots(tmp_path, dataset):
    masks = perfect(dataset)
    arrays = {"attention_masks": masks, "decoder_masks": masks[:, ::-1]}
    made = read(write(tmp_path / "a.npz", arrays), dataset)["test"]
    assert set(made.sources("first")) == {"attention", "decoder"}
    alone = read(write(tmp_path / "b.npz", {"masks": masks}), dataset)["test"]
    np.testing.assert_array_equal(made.overlap, alone.overlap)
    decoder = read(write(tmp_path / "c.npz", {"masks": masks}), dataset, "decoder")["test"]
    assert decoder.sources("first") == ("decoder",)
    assert "entropy" in alone.arrays
    assert "entropy" not in decoder.arrays
    with pytest.raises(UserError, match="both 'masks' and 'decoder_masks'"):
        read(
            write(tmp_path / "d.npz", {"masks": masks, "decoder_masks": masks}), dataset, "decoder"
        )


def test_notes_say_how_odd_masks_were_read(tmp_path, dataset):
    notes = []
    masks = perfect(dataset)[:, :, ::2, ::2] * 3
    path = write(tmp_path / "a.npz", {"masks": masks, "extra": np.ones(3)})
    made = read(path, dataset, notes=notes)["test"]
    text = "; ".join(notes)
    assert "masks: 16x16, resized bilinearly to 32x32 before the argmax" in text
    assert "sums over slots lie in [3, 3], not at 1; read as scores" in text
    assert "arrays that are not part of the layout: extra" in text
    assert "entropy" not in made.arrays
    plain = []
    read(write(tmp_path / "b.npz", {"masks": perfect(dataset)}), dataset, notes=plain)
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
def test_a_mistake_names_file_and_array(tmp_path, dataset, mistake, kind):
    arrays, message = MISTAKES[mistake]
    path = tmp_path / f"mine.{kind}"
    if kind == "h5" and mistake == "empty":
        with h5py.File(path, "w") as file:
            file.create_dataset("masks", data=arrays["masks"])
    else:
        write(path, arrays)
    with pytest.raises(UserError, match=message) as caught:
        read(path, dataset)
    assert str(path) in caught.value.message


def npy(header, body=b"", version=(1, 0)):
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + body


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def header(shape, descr="<f4", fortran=False):
    return f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


class Trap:
    """Its unpickling would be noticed."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def pickled():
    stream = io.BytesIO()
    stream.write(npy(header((1,), "|O")))
    pickle.dump(np.array([Trap()], object), stream)
    return stream.getvalue()


HOSTILE = {
    "object array": (pickled(), "holds Python objects, which are never unpickled"),
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
    path = zipped(tmp_path / "evil.npz", {"slots": content})
    with pytest.raises(UserError, match=message) as caught:
        read(path, dataset)
    assert "'slots'" in caught.value.message
    assert not (tmp_path / "unpickled").exists()


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path, dataset):
    import resource

    size = TEST * 4 * 2048 * 4  # stands for gigabytes: what is declared is refused, not read
    body = b"\0" * (size * 4)
    path = zipped(tmp_path / "bomb.npz", {"slots": npy(header((TEST * 4 * 2048, 4, 1)), body)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="images, more than there are"):
        read(path, dataset)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 64 << 20


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


def test_what_is_no_file_of_arrays_is_refused_by_name(tmp_path, dataset):
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


def test_a_file_that_another_program_has_open_is_in_use(tmp_path, dataset):
    path = write(tmp_path / "mine.h5", {"masks": perfect(dataset)})
    with held_open(path), pytest.raises(UserError, match="is in use: another program"):
        read(path, dataset)
    read(path, dataset)


def test_a_file_may_hold_the_first_images_that_an_evaluation_uses(tmp_path, dataset):
    path = write(tmp_path / "a.npz", {"masks": perfect(dataset)[:10]})
    with PredictionFile(path) as file:
        given = plan(file, dataset, {**LIMITS, "test": 10}, "attention", [])
        assert given["test"].count == 10
        assert from_file(file, given["test"], dataset, []).n == 10
    whole = write(tmp_path / "b.npz", {"masks": perfect(dataset)})
    with PredictionFile(whole) as file:
        given = plan(file, dataset, {**LIMITS, "test": 10}, "attention", [])
        made = from_file(file, given["test"], dataset, [])
    assert len(made.arrays["labels/attention/first"]) == 10
