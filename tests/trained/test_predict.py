"""``slotbench predict``: masks, slots and overlays of pictures."""

import json
import os

import h5py
import numpy as np
import pytest
from PIL import Image

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.evaluation.frozen_pass import collect
from slotbench.results.models import trained
from tests.commands import slotbench as slotbench_command


@pytest.fixture
def predict(run, results, blocks, tmp_path, monkeypatch, shown):
    """Runs the command in an empty folder; the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    where = ("--results-dir", results, "--data-dir", blocks, "--device", "cpu", "--out", "out")

    return lambda *words: shown("predict", run.id, *words, *where)


def labels_of(folder):
    """The label map of the only picture."""
    (file,) = (folder / "out" / "masks").iterdir()
    return np.asarray(Image.open(file))


def picture(path, mode="RGB", size=(48, 40)):
    shape = (size[1], size[0]) + ((3,) if mode == "RGB" else (4,) if mode == "RGBA" else ())
    kind = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, endpoint=True)
    Image.fromarray(pixels.astype(kind)).save(path)


def test_of_a_prepared_dataset_it_gives_what_the_evaluation_judges(predict, run, blocks, tmp_path):
    code, out, _ = predict("clevr", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 24
    with DatasetFile(blocks / "clevr.h5") as dataset:
        judged = collect(trained(run, run.config()), dataset, "test", 24, seed=0)
        images = dataset.read("test")["image"]
    with h5py.File(tmp_path / "out" / "predictions.h5") as file:
        assert np.array_equal(file["masks"], judged["labels/attention/first"])
        assert np.allclose(file["slots"], judged["slots"], atol=1e-5)
        assert np.allclose(file["attention"][:].astype(float).sum(axis=1), 1, atol=1e-2)
        assert file["names"].asstr()[7] == "test-000007"
        assert file.attrs["run"] == run.id
        for index in (0, 23):
            name = f"{index:06d}-test-{index:06d}.png"
            labels = np.asarray(Image.open(tmp_path / "out" / "masks" / name))
            assert np.array_equal(labels, file["masks"][index])
            overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / name)).astype(int)
            colors = {tuple(row) for row in (overlay - images[index] // 2).reshape(-1, 3).tolist()}
            assert len(colors) == len(np.unique(labels))


def test_what_it_writes_is_judged_as_predictions(predict, blocks, shown):
    assert predict("clevr")[0] == 0
    words = ("--predictions", "out/predictions.h5", "--dataset", "clevr", "--name", "mine")
    words += ("--metrics", "segmentation", "--data-dir", blocks, "--json")
    code, out, _ = shown("evaluate", *words)
    assert code == 0
    assert "fg_ari/attention" in out


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16", "1", "P"])
def test_odd_pictures_are_read(predict, tmp_path, mode):
    if mode in ("1", "P"):
        Image.new("RGB", (48, 40), (200, 0, 0)).convert(mode).save(tmp_path / "odd.png")
    else:
        picture(tmp_path / "odd.png", mode)
    assert predict("odd.png")[0] == 0
    labels = labels_of(tmp_path)
    assert labels.shape == (40, 48)
    assert (labels[:, :4] == 255).all()  # beyond the square that the core sees
    assert labels[:, 4:44].max() < 4


def test_a_stretched_picture_has_a_label_everywhere(predict, tmp_path):
    picture(tmp_path / "wide.jpg", size=(2500, 20))
    assert predict("wide.jpg", "--fit", "stretch", "--slots", "6", "--seed", "3")[0] == 0
    assert labels_of(tmp_path).shape == (20, 2500)
    assert labels_of(tmp_path).max() < 6


def test_many_slots_have_labels_of_their_own(predict, tmp_path):
    assert predict("clevr", "--slots", "300", "--images", "1")[0] == 0
    with h5py.File(tmp_path / "out" / "predictions.h5") as stored:
        assert stored["masks"].dtype == np.uint16
        assert stored["slots"].shape[:2] == (1, 300)
        assert np.array_equal(labels_of(tmp_path), stored["masks"][0])


def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(run, results, blocks, tmp_path):
    where = ("--results-dir", results, "--data-dir", blocks, "--device", "cpu")
    words = ("predict", run.id, "clevr", *where, "--out", tmp_path / "out")
    for limit in (9_000, 20_000):
        done = slotbench_command(*words, limit=limit)
        assert done.returncode == 2, done.stderr
        assert "The disk is full" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_never_become_paths_and_other_files_are_passed_over(predict, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    for name in ("..\\..\\up.png", "[bold]é.png", "same.png", "same.jpg", "x" * 200 + ".png"):
        picture(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "film.GIF").write_bytes(b"GIF89a")
    (folder / "more").mkdir()
    code, _, said = predict("in")
    assert code == 0
    assert "Passed over: folders in in (1). To predict one, name it." in said
    assert "Warning: Left out: 1 that are no PNG or JPEG, such as film.GIF" in said
    names = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert len(names) == 6
    assert all(set(name) <= set("0123456789abcdefghijklmnopqrstuvwxyz_-.") for name in names)
    assert ".." not in "".join(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_damaged_picture_is_named_and_nothing_is_written(predict, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    code, _, said = predict("in")
    assert code == 2
    assert "in/b.png: the image is damaged or truncated" in said
    assert "--skip-damaged" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert predict("in", "--skip-damaged")[0] == 0
    with h5py.File(tmp_path / "out" / "predictions.h5") as file:
        assert file["names"].asstr()[:].tolist() == ["a.png"]
        assert len(file["slots"]) == 1
    assert predict("in", "--skip-damaged")[0] == 2
    assert predict("in", "--skip-damaged", "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.png",), "nothing.png does not exist"),
        (("clevrr",), "Unknown picture, folder or dataset 'clevrr'. Did you mean 'clevr'"),
        (("no/folder",), "Error: no/folder does not exist."),
        (("empty",), "the folder holds no picture"),
        (("notes.txt",), "expected a PNG or JPEG"),
        (("clevr", "--split", "tset"), "has no split 'tset'"),
        (("clevr", "--source", "predictor"), "has no predictor"),
        (("clevr", "--source", "atention"), "Did you mean 'attention'"),
        (("clevr", "--images", "0"), "--images 0: expected 1 or above"),
        (("clevr", "--fit", "corp"), "Did you mean 'crop'"),
        (("clevr", "--slots", "1025"), "less than or equal to 1024"),
    ],
)
def test_a_mistake_is_explained(predict, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    code, out, said = predict(*words)
    assert (code, out) == (2, "")
    assert message in said
    assert not (tmp_path / "out").exists()
