"""``folder``: any images, with or without masks and properties."""

import io
import json
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare.preparation import prepare
from slotbench.datasets.sets.folder import TABLE, UNKNOWN
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets.contents import Held
from tests.datasets.originals_images import grey, palette, rgb
from tests.datasets.whole import (
    evaluated,
    fingerprint,
    killed_after,
    read_all,
    refused,
    requests_of,
)

request = requests_of("folder", 16)


def squares(index):
    """Image and labels (24, 32): object k is a square of 8 pixels in colour (index, k, 200)."""
    image = np.full((24, 32, 3), 90, np.uint8)
    labels = np.zeros((24, 32), np.uint8)
    for label in range(1, index % 3 + 2):
        place = (slice(8, 16), slice(8 * label - 4, 8 * label + 4))
        image[place], labels[place] = (index % 256, label, 200), label
    return image, labels


def held(index):
    """The middle 24 columns; object 3 is cut off."""
    image, labels = squares(index)
    names = ("red", "blue", "green")[: index % 3 + 1]
    sizes = [index + (label + 1) / 4 for label in range(len(names))]
    return Held(image[:, 4:28], labels[:, 4:28], {"color": names, "size": sizes})


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def table(count, folder=""):
    lines = ["image,object,color,size"]
    for index in range(count):
        for label in range(1, index % 3 + 2):
            color = ("red", "blue", "green")[label - 1]
            lines.append(f"{folder}{index:02d}.png,{label},{color},{index + label / 4}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Ten images, masks beside them, and a table."""
    root = tmp_path / "mine"
    for index in range(10):
        image, labels = squares(index)
        write(root / f"{index:02d}.png", rgb(image))
        write(root / f"{index:02d}_mask.png", palette(labels) if index % 2 else grey(labels))
    (root / "properties.csv").write_text(table(10))
    return root


COMPOSED, DECOMPOSED = "caf\u00e9{}", "cafe\u0301{}"


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.png", "{}_mask.png"),
        ("a/b/{}.png", "a/b/masks/{}.png"),
        ("images/{}.jpg", "masks/{}.PNG"),
        ("{}.png", "{}_mask.PNG"),
        (f"images/{COMPOSED}.png", f"masks/{DECOMPOSED}.png"),
        (f"{DECOMPOSED}.png", f"{COMPOSED}_mask.png"),
        ("a/b/{}.JPG", "masks/a/b/{}.png"),
        ("a/images/{}.png", "a/masks/{}.png"),
    ],
)
def test_masks_and_rows_are_found_by_the_names_of_images(tmp_path, image, mask):
    root = tmp_path / "mine"
    for index in range(7):
        pixels, labels = squares(index)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG" if image.endswith("png") else "JPEG")
        write(root / image.format(index), stream.getvalue())
        write(root / mask.format(index), grey(labels))
    listed = [unicodedata.normalize("NFC", image.format(index)) for index in range(7)]
    lines = [f"{name},{label},{index}" for index, name in enumerate(listed) for label in (1, 2, 3)]
    (root / TABLE).write_text("\n".join(["image,object,a", *lines]))
    found = read_all(prepare(request(root)))
    assert found["train/visible"].any(axis=1).all()
    assert found["test/property/a"][:, 0].tolist() == [5, 6]


def test_numbers_with_gaps_become_labels_in_a_row_and_are_kept(folder):
    plain = read_all(prepare(request(folder)))
    numbers = np.array([0, 7, 200, 3000])
    for index in range(10):
        write(folder / f"{index:02d}_mask.png", grey(numbers[squares(index)[1]], 16))
    lines = [line.split(",") for line in table(10).splitlines()]
    lines[1:] = [[image, str(numbers[int(k)]), *rest] for image, k, *rest in lines[1:]]
    (folder / TABLE).write_text("\n".join(map(",".join, lines)))
    path = prepare(request(folder, force=True))
    with DatasetFile(path) as dataset:
        assert json.loads(dataset.attributes["label_ids"]) == [7, 200, 3000]
        assert dataset.layout.objects == 3
    for key, array in read_all(path).items():
        np.testing.assert_array_equal(array, plain[key])
    (folder / TABLE).write_text((folder / TABLE).read_text().replace("02.png,3000", "02.png,4"))
    with pytest.raises(UserError, match=r"no row for image 02\.png, object 3000"):
        prepare(request(folder, force=True))


def test_without_masks_nothing_is_labelled(folder, tmp_path):
    for mask in folder.glob("*_mask.png"):
        mask.unlink()
    found = read_all(prepare(request(folder)))
    assert (found["train/mask"] == 255).all()
    # The table alone says which objects are there.
    assert found["train/visible"].sum(axis=1).tolist() == [1, 2, 3, 1, 2, 3, 1]
    (folder / "properties.csv").unlink()
    path = prepare(request(folder, force=True))
    verify.dataset(path)
    with DatasetFile(path) as dataset:
        assert not dataset.read("train")["visible"].any()
        assert dataset.layout.objects == UNKNOWN
    assert evaluated(path, tmp_path / "results")


def test_an_image_without_a_mask_among_others_is_not_labelled(folder):
    (folder / "03_mask.png").unlink()
    path = prepare(request(folder))
    verify.dataset(path)
    found = read_all(path)
    unlabelled = (found["train/mask"] == 255).all(axis=(1, 2))
    assert unlabelled.tolist() == [False, False, False, True, False, False, False]
    assert not found["train/visible"][3].any()


@pytest.mark.parametrize("inner", ["", "images/"])
def test_folders_are_the_splits(tmp_path, inner):
    root = tmp_path / "mine"
    counts = {"train": 3, "val": 2, "test": 1, "test-night": 2}
    for split, count in counts.items():
        for index in range(count):
            image, labels = squares(index)
            write(root / f"{inner}{split}/{index}.png", rgb(image + len(split)))
            if split != "test-night":
                write(root / f"masks/{split}/{index}.png", grey(labels))
    write(root / f"{inner}other/1.png", rgb(squares(0)[0]))
    path = prepare(request(root))
    assert verify.dataset(path)["images"] == counts
    with DatasetFile(path) as dataset:
        for split in counts:
            assert (dataset.read(split)["image"][:, 0, 0] == 90 + len(split)).all()
        assert "folders" in dataset.attributes["split_rule"]


OTHERS = [("train", "valid", "test"), ("Training", "Validation", "Testing")]
OTHERS += [("deep/train/images", "deep/dev/images", "deep/test/images")]
OTHERS += [("cats/train", "cats/val", "cats/test")]


@pytest.mark.parametrize("folders", OTHERS)
def test_folders_of_splits_have_other_names_too(folders, tmp_path):
    for index, folder in enumerate(folders):
        write(tmp_path / "mine" / folder / "x.png", rgb(squares(index)[0]))
    found = read_all(prepare(request(tmp_path / "mine")))
    assert [found[f"{name}/image"][0, 8, 4, 0] for name in SPLITS] == [0, 1, 2]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test"), "none is the val split"),
        (("test", "cats"), "none is the train split"),
        (("train", "val", "valid", "test"), "several are val"),
        (("train", "val", "test", "test-a\\b"), "a test set cannot be called"),
        (("train", "val", "test", "test-\x1b[2J"), "a test set cannot be called"),
    ],
)
def test_images_of_a_test_folder_are_never_trained_on(folders, message, tmp_path):
    for folder in folders:
        for index in range(5):
            write(tmp_path / "mine" / folder / f"{index}.png", rgb(squares(index)[0]))
    refused(request(tmp_path / "mine"), message)


def test_formats_of_others_are_named_with_what_to_type(folder):
    write(folder / "VOC" / "JPEGImages" / "1.png", rgb(squares(0)[0]))
    write(folder / "VOC" / "SegmentationObject" / "1.png", palette(squares(0)[1]))
    advice = refused(request(folder), "a folder of Pascal VOC").advice
    words = advice.removeprefix("Type: ").split("; slotbench")[0]
    subprocess.run(words, shell=True, check=True, cwd=folder.parent)
    shutil.rmtree(folder / "VOC")
    write(folder / "_annotations.coco.json", b"{}")
    advice = refused(request(folder), "annotations in COCO's format").advice
    assert f"slotbench prepare coco --from {folder}" in advice
    assert sorted(path.name for path in (folder.parent / "voc").iterdir()) == ["images", "masks"]


def test_damaged_images_and_masks_are_left_out_where_asked(folder, monkeypatch):
    write(folder / "02.png", (folder / "02.png").read_bytes()[:-20])
    write(folder / "09_mask.png", b"nothing")
    refused(request(folder), "--skip-damaged")
    asked = request(folder, skip_damaged=True)
    assert len(killed_after(asked, 3, monkeypatch)) == 3  # images 0 to 5
    path = prepare(asked)
    facts = verify.dataset(path)
    assert facts["images"] == {"train": 6, "val": 1, "test": 1}
    with DatasetFile(path) as dataset:
        damaged = json.loads(dataset.attributes["damaged"])
    assert damaged["count"] == 2
    assert [Path(name).name for name in damaged["files"]] == ["02.png", "09_mask.png"]
    for image in folder.glob("??.png"):
        write(image, b"nothing")
    with pytest.raises(UserError, match="All 10 images are damaged"):
        prepare(request(folder, skip_damaged=True, force=True))


def test_what_is_no_image_is_left_out(folder, capsys):
    expected = fingerprint(prepare(request(folder)))
    of_systems = (".DS_Store", "._00.png", "__MACOSX/00.png", "Thumbs.db", "a/desktop.ini")
    for name in (*of_systems, ".git/x.png", "notes.txt", "x.webp"):
        write(folder / name, b"nothing")
    assert fingerprint(prepare(request(folder, force=True))) == expected
    assert "Left out, being neither PNG nor JPEG: 1 .txt, 1 .webp" in capsys.readouterr().err


def test_data_may_be_prepared_below_the_folder_itself(folder):
    asked = request(folder, data_dir=folder / "data")
    path = prepare(asked)
    path.with_suffix(".png").write_bytes(rgb(squares(0)[0]))  # the contact sheet
    expected = fingerprint(path)
    assert prepare(asked) == path
    assert fingerprint(prepare(replace(asked, force=True))) == expected
    write(folder / "more.png", rgb(squares(0)[0]))
    with pytest.raises(UserError, match="exists, with folder"):
        prepare(asked)


def test_links_are_followed_once(folder):
    expected = fingerprint(prepare(request(folder)))
    shutil.move(folder / "00.png", folder.parent / "elsewhere.png")
    (folder / "00.png").symlink_to(folder.parent / "elsewhere.png")
    (folder / "loop").symlink_to(folder)
    assert fingerprint(prepare(request(folder, force=True))) == expected


def test_parts_of_a_folder_that_has_changed_are_not_taken(folder, monkeypatch):
    killed_after(request(folder), 2, monkeypatch)
    image, labels = squares(2)
    write(folder / "00.png", rgb(image + 1))
    write(folder / "00_mask.png", grey(labels))
    (folder / "properties.csv").write_text(
        table(10).replace("red", "pink") + "00.png,2,blue,1\n00.png,3,blue,1\n"
    )
    with DatasetFile(prepare(request(folder))) as dataset:
        assert dataset.read("train")["visible"][0].tolist() == [True, True, True]
        assert dataset.layout.properties[0].classes == ("blue", "green", "pink")
