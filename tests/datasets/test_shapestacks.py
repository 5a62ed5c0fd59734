"""ShapeStacks, from folders that the tests write."""

import shutil

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import prepare
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets import originals_shapestacks as stacks
from tests.datasets.originals_images import grey
from tests.datasets.whole import fingerprint, read_all, refused, requests_of

request = requests_of("shapestacks", 28)
"""28 pixels stay of 32; at this size nothing is resized."""
FIRST = stacks.TOWERS["train"][0]


@pytest.fixture
def folder(tmp_path):
    return stacks.write(tmp_path / "shapestacks")


def test_variants_are_the_published_splits(folder):
    stacks.write(folder, "ccs_all")
    lists = folder / "splits" / "ccs_all"
    (lists / "train.txt").write_text(FIRST)  # no line feed at the end
    path = prepare(request(folder, "ccs_all"))
    assert path.name == "shapestacks-ccs_all.h5"
    assert verify.dataset(path)["images"] == {"train": 3, "val": 3, "test": 6}
    with pytest.raises(UserError, match=r"splits/blocks_all/train\.txt does not exist"):
        prepare(request(folder, "blocks_all"))


def test_labels_may_lie_beside_the_views(folder, tmp_path):
    expected = fingerprint(prepare(request(folder)))
    beside = stacks.write(tmp_path / "other" / "shapestacks", labels_in="recordings")
    assert not (beside / "iseg").exists()
    assert fingerprint(prepare(request(beside))) == expected


def test_labels_of_shapes_that_are_not_there_are_not_labelled(folder):
    values = stacks.labels(2, 1)
    values[20, 9:11], values[21, 9] = (4, 7), 6
    _map(stacks.label_image(values))(folder)
    row = sorted(stacks.CAMERAS, key=stacks.view_name).index(1)
    mask = read_all(prepare(request(folder)))["train/mask"][row]
    expected = np.where(values > 2, 255, values)[2:30, 2:30]
    np.testing.assert_array_equal(mask, expected)
    assert (mask == 255).sum() == 3


def test_matplotlibs_rounding_is_allowed_for(folder):
    expected = fingerprint(prepare(request(folder)))
    values = stacks.labels(2, 1) * 32
    _map(grey(np.maximum(values - 1, 0)))(folder)
    assert fingerprint(prepare(request(folder, force=True))) == expected


def test_a_view_fewer_is_no_mistake(folder):
    (folder / "recordings" / FIRST / stacks.view_name(1)).unlink()
    assert verify.dataset(prepare(request(folder)))["images"]["train"] == 8


def _list(text):
    return lambda root: (root / "splits/default/eval.txt").write_text(text)


def _map(data):
    return lambda root: (root / "iseg" / FIRST / stacks.label_name(1)).write_bytes(data)


BAD = {
    r"eval\.txt, line 1: '\.\./\.\./etc' is not the name of a tower": _list("../../etc\n"),
    r"eval\.txt: .* is in train\.txt too": _list(FIRST),
    "a tower has 1 to 6 shapes": _list(stacks.tower(7, 1)),
    "cam_1-mono-0.map: (cannot be read|there is no)": lambda root: shutil.rmtree(root / "iseg"),
    "cam_1.*are not multiples of 32": _map(grey(np.full((32, 32), 17))),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_is_named(folder, message):
    BAD[message](folder)
    refused(request(folder), message)
