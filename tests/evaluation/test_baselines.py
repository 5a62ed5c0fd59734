"""Trivial maskers: what they give, on which seed they depend, and what they refuse."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from slotbench.errors import UserError
from slotbench.evaluation.baselines import BASELINES, mask_images
from slotbench.evaluation.segmentation import scores
from slotbench.results.judge_external import Request, evaluate_baseline
from slotbench.rng import numpy_generator
from tests.conftest import blocks_batch


@pytest.mark.parametrize("name", BASELINES)
def test_labels_are_a_function_of_the_seed_and_the_image_alone(name):
    images = blocks_batch(9, 0)["image"]
    labels = mask_images(name, images, 5, seed=0)
    assert (labels.dtype, labels.shape) == (np.uint8, images.shape[:3])
    assert labels.max() < 5
    rest = mask_images(name, images[4:], 5, seed=0, start=4)
    np.testing.assert_array_equal(labels[4:], rest)
    if name == "one-segment":
        assert not labels.any()
    else:
        assert (labels != mask_images(name, images, 5, seed=1)).any()
        assert all(len(np.unique(one)) == 5 for one in labels)


def test_voronoi_cells_belong_to_the_nearest_point():
    images = np.zeros((3, 12, 20, 3), np.uint8)
    labels = mask_images("voronoi", images, 6, seed=3, start=10)
    rows, columns = np.mgrid[:12, :20]
    places = np.stack([(rows + 0.5) / 12, (columns + 0.5) / 20], axis=2)
    for index in range(3):
        points = numpy_generator(3, "baseline", "voronoi", 10 + index).random((6, 2))
        np.testing.assert_array_equal(labels[index], KDTree(points).query(places)[1])


def test_kmeans_finds_flat_squares_that_the_others_do_not():
    batch = blocks_batch(30, 1)
    truth = torch.from_numpy(batch["mask"])
    labels = {name: mask_images(name, batch["image"], 4, seed=0) for name in BASELINES}
    found = {name: scores(torch.from_numpy(of).long(), truth, 4) for name, of in labels.items()}
    means = {name: float(made["miou"].mean()) for name, made in found.items()}
    assert means["kmeans"] > means["voronoi"] > means["one-segment"]
    # One segment holds every object: foreground in one piece is right for one object alone.
    single = torch.from_numpy(batch["visible"].sum(axis=1) == 1)
    np.testing.assert_array_equal(found["one-segment"]["fg_ari"], single.double())


def test_more_clusters_than_pixels_and_one_colour_do_not_warn():
    flat = np.full((2, 3, 3, 3), 7, np.uint8)
    assert mask_images("kmeans", flat, 30, seed=0).max() <= 8
    assert len(np.unique(mask_images("kmeans", flat, 3, seed=0)[0])) == 3


def test_bad_names_and_numbers_of_slots_are_refused():
    with pytest.raises(UserError, match="Did you mean 'kmeans'"):
        evaluate_baseline("k-means", Request("clevr"))
    images = np.zeros((1, 4, 4, 3), np.uint8)
    for slots in (0, 256):
        with pytest.raises(UserError, match="--slots"):
            mask_images("voronoi", images, slots, seed=0)
