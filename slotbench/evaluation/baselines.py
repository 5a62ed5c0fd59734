"""Trivial maskers that a method must beat. They learn nothing and know no label.

Each maps images to label maps of at most K labels. The draws for an image depend on (seed,
baseline, index of the image) alone, so that batches and the number of images change nothing.
"""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError
from slotbench.registry import unknown
from slotbench.rng import numpy_generator, seed_of

VERSION = 1
POSITION_WEIGHT = 1.0
"""Weight in k-means of a step over the whole frame; a channel's step from 0 to 255 has 1."""
ITERATIONS = 30
GREATEST = 255
"""Greatest number of labels: 255 itself means not labelled."""
_BLOCK = 128


def mask_images(name: str, images: Array, slots: int, *, seed: int, start: int = 0) -> Array:
    """Label maps uint8 (n, H, W) in [0, slots) of images uint8 (n, H, W, 3).

    - ``one-segment``: everything is one segment; ``slots`` and ``seed`` change nothing.
    - ``voronoi``: the cells of ``slots`` points, drawn uniformly in the frame.
    - ``kmeans``: k-means on colour and position (Lloyd 1982, k-means++), one start an image; each
      channel is scaled to [0, 1], and so is each coordinate.

    ``start`` is the index of the first image within its split. :class:`UserError` for an
    unknown name or a number of slots outside [1, 255].
    """
    if name not in BASELINES:
        raise unknown("baseline", name, tuple(BASELINES))
    if not 1 <= slots <= GREATEST:
        raise UserError(f"--slots {slots}: expected 1 to {GREATEST}.")
    labels = np.zeros(images.shape[:3], np.uint8)
    for first in range(0, len(images), _BLOCK):
        block = slice(first, first + _BLOCK)
        labels[block] = BASELINES[name](images[block], slots, seed, start + first)
    return labels


def _one_segment(images: Array, slots: int, seed: int, start: int) -> Array:
    del slots, seed, start
    return np.zeros(images.shape[:3], np.uint8)


def _voronoi(images: Array, slots: int, seed: int, start: int) -> Array:
    points = np.stack(
        [
            numpy_generator(seed, "baseline", "voronoi", start + index).random((slots, 2))
            for index in range(len(images))
        ]
    )
    grid = _grid(*images.shape[1:3])
    # The squared distance without the pixel's own norm, which is the same for all points.
    distance = (points**2).sum(axis=2)[:, :, None] - 2 * points @ grid.T
    labels: Array = distance.argmin(axis=1).reshape(images.shape[:3]).astype(np.uint8)
    return labels


def _kmeans(images: Array, slots: int, seed: int, start: int) -> Array:
    place = (_grid(*images.shape[1:3]) * POSITION_WEIGHT).astype(np.float32)
    clusters = min(slots, len(place))
    labels = np.zeros(images.shape[:3], np.uint8)
    # Threads add up in an order of their own: the last digits would not be reproducible.
    with threadpool_limits(limits=1, user_api="openmp"):
        for index, image in enumerate(images):
            color = image.reshape(-1, 3).astype(np.float32) / 255
            state = seed_of(seed, "baseline", "kmeans", start + index) % 2**32
            model = KMeans(clusters, n_init=1, max_iter=ITERATIONS, random_state=state)
            found = model.fit_predict(np.concatenate([color, place], axis=1))
            labels[index] = found.reshape(image.shape[:2])
    return labels


def _grid(height: int, width: int) -> Array:
    """Centres of pixels (H W, 2), y and x, the frame being [0, 1] x [0, 1]."""
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=2).reshape(-1, 2)


Masker = Callable[[Array, int, int, int], Array]
BASELINES: dict[str, Masker] = {"one-segment": _one_segment, "voronoi": _voronoi, "kmeans": _kmeans}
