"""The dataset that most tests of evaluation use."""

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.parts import join
from tests.evaluation.test_evaluate import ATTRIBUTES, LAYOUT, squares


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Squares: 200 images to train on, 60 of val, 90 of test; do not change it."""
    path = tmp_path_factory.mktemp("data") / "squares.h5"
    splits = {"train": [squares(200, 0)], "val": [squares(60, 1)], "test": [squares(90, 2)]}
    join(path, LAYOUT, splits, ATTRIBUTES)
    with DatasetFile(path) as file:
        yield file
