"""Tetrominoes, drawn by their definition, and from files that the tests write."""

import numpy as np
import pytest

from slotbench.datasets.sets import tetrominoes
from tests.datasets.originals import TETROMINOES, record, single_bytes, write


def fixed_tetrominoes():
    """All shapes of four joined cells that no shift makes alike, grown cell by cell."""

    def grown(cells):
        for x, y in cells:
            for one in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if one not in cells:
                    more = cells | {one}
                    left, top = (min(values) for values in zip(*more, strict=True))
                    yield frozenset((a - left, b - top) for a, b in more)

    found = {frozenset({(0, 0)})}
    for _ in range(3):
        found = {bigger for cells in found for bigger in grown(cells)}
    return found


def test_the_shapes_are_all_turned_pieces():
    ours = [frozenset(map(tuple, (blocks // 5).tolist())) for blocks in tetrominoes.BLOCKS]
    assert len(ours) == len(set(ours)) == 19
    assert set(ours) == fixed_tetrominoes()


@pytest.fixture(scope="module")
def images():
    return tetrominoes.Tetrominoes("default", 35, seed=0).render("train", 0, 1500)


def test_each_piece_is_its_shape_at_its_place_in_its_colour(images):
    colors = 255 * np.array(list(tetrominoes.COLORS.values()))
    assert images["visible"].all()
    assert (images["image"][images["mask"] == 0] == 0).all()
    for row in range(200):
        for slot in range(3):
            expected = np.zeros((35, 35), bool)
            x, y = images["property/position"][row, slot].astype(int)
            for left, top in tetrominoes.BLOCKS[images["property/shape"][row, slot]]:
                expected[y + top : y + top + 5, x + left : x + left + 5] = True
            # None is hidden by another: every piece shows all of its 100 pixels.
            assert expected.sum() == 100
            np.testing.assert_array_equal(images["mask"][row] == slot + 1, expected)
            color = colors[images["property/color"][row, slot]]
            assert (images["image"][row][expected] == color).all()


def test_shapes_colours_and_places_are_spread_as_defined(images):
    for key, classes in (("shape", len(tetrominoes.SHAPES)), ("color", 6)):
        counts = np.bincount(images[f"property/{key}"].ravel(), minlength=classes)
        expected = images["visible"].sum() / classes
        assert len(counts) == classes
        assert (abs(counts - expected) < 5 * expected**0.5).all()
    # Those are the values that users find in the original file.
    assert np.unique(images["property/position"]).tolist() == list(range(30))


def test_other_sizes_are_the_middle_and_whole_multiples(images):
    for size, factor, rows in ((32, 1, slice(2, 34)), (64, 2, slice(2, 34)), (70, 2, slice(35))):
        batch = tetrominoes.Tetrominoes("default", size, seed=0).render("train", 0, 20)
        for key in ("image", "mask"):
            middle = images[key][:20, rows, rows]
            np.testing.assert_array_equal(batch[key], middle.repeat(factor, 1).repeat(factor, 2))
        shows = [(batch["mask"] == label).any(axis=(1, 2)).all() for label in (1, 2, 3)]
        assert all(shows)


def test_masks_that_are_all_empty_are_not_labelled(tmp_path):
    empty = single_bytes(np.zeros((4, 35, 35, 1), np.uint8))
    path = write(tmp_path / "tetrominoes.tfrecords", [record(TETROMINOES, 0, 3, mask=empty)])
    ((_, batch),) = tetrominoes.Tetrominoes("default", 32, 0).importer(path).batches(0, 10)
    assert (batch["mask"] == 255).all()
    assert not batch["visible"].any()
