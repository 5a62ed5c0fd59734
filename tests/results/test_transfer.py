"""``slotbench evaluate RUN --dataset OTHER``: a run on data that it was not trained on."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Layout
from slotbench.datasets.prepare.parts import join
from slotbench.files import read_json
from slotbench.results.judge import ResizedImages
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch
from tests.trained.conftest import results, run  # noqa: F401  # fixtures

SIDE = 64


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Blocks in larger images, with room for five objects."""
    path = tmp_path_factory.mktemp("other") / "large.h5"
    layout = Layout(SIDE, SIDE, 5, LAYOUT.properties)
    sizes = {"train": 16, "val": 8, "test": 12}
    splits = {split: [blocks_batch(n, n, layout)] for split, n in sizes.items()}
    named = {"name": "large", "variant": "two", "image_size": SIDE}
    join(path, layout, splits, {**ATTRIBUTES, **named})
    return path


@pytest.fixture
def judged(run, results, tmp_path, blocks, shown):  # noqa: F811
    """A copy of the run in a folder of its own, and the command that judges it."""
    folder = tmp_path / "results" / run.path.relative_to(results)
    shutil.copytree(run.path, folder)
    where = ("--results-dir", tmp_path / "results", "--data-dir", blocks)

    def evaluate(*words):
        groups = ("--metrics", "segmentation,health", "--device", "cpu")
        return shown("evaluate", folder, *groups, *words, *where)

    def board(*words):
        return shown("leaderboard", *(words or ("--json",)), *where[:2])[1]

    return folder, evaluate, board


def test_images_are_read_at_the_runs_size_and_masks_at_their_own(other):
    with DatasetFile(other) as whole, ResizedImages(other, 32) as resized:
        read, large = resized.read("test"), whole.read("test")
    assert np.array_equal(read["mask"], large["mask"])
    for image, full in zip(read["image"], large["image"], strict=True):
        expected = Image.fromarray(full).resize((32, 32), Image.Resampling.BOX)
        assert np.array_equal(image, np.asarray(expected))


def test_a_transfer_is_kept_apart_and_has_a_row_of_its_own(judged, other):
    folder, evaluate, board = judged
    assert evaluate()[0] == 0
    own = read_json(folder / "evaluation.json")
    code, out, _ = evaluate("--dataset", other)
    assert code == 0
    assert "on large:two" in " ".join(out.split())
    (file,) = (folder / "transfer").iterdir()
    document = read_json(file)
    assert document["slots"] == 6
    assert document["resolution"] == [SIDE, SIDE]
    assert read_json(folder / "evaluation.json") == own
    _, row = sorted(json.loads(board())["rows"], key=lambda row: row["family"] == "transfer")
    assert (row["dataset"], row["objective"]) == ("large:two", "reconstruction (transfer)")
    assert "trained_on=clevr:clevr6" in row["settings"]
    assert "transfer: " in board("--all")
    value = document["metrics"]["fg_ari/attention"]["value"]
    assert row["metrics"]["fg_ari/attention"]["mean"] == value
    assert "nothing is missing" in evaluate("--dataset", other)[2]
    assert evaluate("--dataset", other, "--slots", "9")[0] == 0
    assert len(json.loads(board())["rows"]) == 3
    assert evaluate("--dataset", other, "--split", "val")[0] == 0
    assert len(json.loads(board())["rows"]) == 3


def test_on_its_own_data_it_is_an_evaluation_unless_it_has_other_slots(judged):
    folder, evaluate, board = judged
    assert evaluate("--dataset", "clevr")[0] == 0
    assert (folder / "evaluation.json").is_file()
    assert not (folder / "transfer").exists()
    assert evaluate("--dataset", "clevr", "--slots", "7")[0] == 0
    documents = [row["settings"] for row in json.loads(board())["rows"]]
    assert len(documents) == 2
    assert any("judged_slots=7" in text for text in documents)
    assert "±" in evaluate("--metrics", "draws")[1]  # how far draws lie apart


def test_a_transfer_that_is_damaged_leaves_the_others(judged, other):
    folder, evaluate, board = judged
    assert evaluate()[0] == 0
    assert evaluate("--dataset", other)[0] == 0
    (file,) = (folder / "transfer").iterdir()
    for text in ("{", "{}", (folder / "evaluation.json").read_text()):
        file.write_text(text)
        found = json.loads(board())
        assert len(found["rows"]) == 1
        assert any(f"transfer/{file.name}: cannot be read" in line for line in found["warnings"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--slots", "5"), "--slots 5 goes with --dataset"),
        (("--dataset", "clevr", "--slots", "0"), "--slots=0: expected greater than"),
        (("--dataset", "clever"), "Did you mean 'clevr'"),
        (("--dataset", "clevr", "--split", "tset"), "has no split 'tset'"),
        (("--dataset", "clevr", "--name", "x"), "--name goes with --predictions, not with RUN"),
    ],
)
def test_a_mistake_is_explained(judged, words, message):
    folder, evaluate, _ = judged
    code, out, said = evaluate(*words)
    assert (code, out) == (2, "")
    assert message in said
    assert not (folder / "transfer").exists()
