"""Trivial maskers that a method must beat. They learn nothing and know no label.

Each maps images to label maps of at most K labels. The draws for an image depend on (seed,
baseline, index of the image) alone, so that batches and the number of images change nothing.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError
from slotbench.rng import numpy_generator, seed_of

VERSION = 1
ITERATIONS = 30
GREATEST = 255
"""Greatest number of labels: 255 itself means not labelled."""


def mask_images(name: str, images: Array, slots: int, *, seed: int, start: int = 0) -> Array:
    """Label maps uint8 (n, H, W) in [0, slots) of images uint8 (n, H, W, 3).

    - ``one-segment``: everything is one segment; ``slots`` and ``seed`` change nothing.
    - ``voronoi``: the cells of ``slots`` points, drawn uniformly in the frame.
    - ``kmeans``: k-means on colour and position (Lloyd 1982, k-means++), one start an image;
      channels and coordinates are scaled to [0, 1].

    ``start`` is the index of the first image within its split. :class:`UserError` for a number of
    slots outside [1, 255].
    """
    if not 1 <= slots <= GREATEST:
        raise UserError(f"--slots {slots}: expected 1 to {GREATEST}.")
    labels = np.zeros(images.shape[:3], np.uint8)
    # Several threads sum in any order, which changes the last digits.
    with threadpool_limits(limits=1, user_api="openmp"):
        for index, image in enumerate(images):
            labels[index] = BASELINES[name](image, slots, seed, start + index)
    return labels


def _one_segment(image: Array, slots: int, seed: int, index: int) -> Array:
    del slots, seed, index
    return np.zeros(image.shape[:2], np.uint8)


def _voronoi(image: Array, slots: int, seed: int, index: int) -> Array:
    points = numpy_generator(seed, "baseline", "voronoi", index).random((slots, 2))
    # The squared distance without the pixel's own norm, which is the same for all points.
    distance = (points**2).sum(axis=1)[:, None] - 2 * points @ _grid(*image.shape[:2]).T
    labels: Array = distance.argmin(axis=0).reshape(image.shape[:2])
    return labels


def _kmeans(image: Array, slots: int, seed: int, index: int) -> Array:
    place = _grid(*image.shape[:2]).astype(np.float32)
    color = image.reshape(-1, 3).astype(np.float32) / 255
    state = seed_of(seed, "baseline", "kmeans", index) % 2**32
    clusters = min(slots, len(place))
    model = KMeans(clusters, n_init=1, max_iter=ITERATIONS, random_state=state)
    labels: Array = model.fit_predict(np.concatenate([color, place], axis=1))
    return labels.reshape(image.shape[:2])


@cache
def _grid(height: int, width: int) -> Array:
    """Centres of pixels (H W, 2), y and x, the frame being [0, 1] x [0, 1]."""
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=2).reshape(-1, 2)


Masker = Callable[[Array, int, int, int], Array]
BASELINES: dict[str, Masker] = {"one-segment": _one_segment, "voronoi": _voronoi, "kmeans": _kmeans}
