"""Do slots hold objects or places?

An objective that only asks which views belong together can be met by slots that hold nothing
but where they look. How much of the slots' variance does the place of a slot's mask explain,
and how much the object that it found?
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.targets import Encoding

PLACES = ("position", "pixel_coords")
"""Properties of the shipped datasets that say where an object is; no part of ``objects``."""
LEAST = 0.05
"""A share of less than this says nothing about the slots, and has no parts."""
_DEGREE = 3


class PositionShare(NamedTuple):
    """Shares of the variance of the slots that found an object; each in [0, 1], or NaN."""

    share: float
    """The part of the explained variance that goes to places. 0: slots hold the object's properties
    and no place; 1: the place of their mask and nothing else. Variance that either could explain
    is halved between them."""
    places: float
    """Share that the centroid of the slot's mask explains by itself."""
    objects: float
    """Share that the properties of the object explain by themselves."""
    both: float
    """Share that both explain together."""
    n: int
    """How many slots counted."""


def object_columns(layout: Layout, properties: Mapping[str, Array], visible: Array) -> Array:
    """Objects' properties without their places: float32 (n, O, P), for :func:`position_share`.

    ``properties`` maps names to float32 (n, O[, d]) or int16 (n, O), ``visible`` is bool (n, O).
    Numeric properties are standardised, classes are one-hot, :data:`PLACES` are left out.
    """
    kept = tuple(prop for prop in layout.properties if prop.name not in PLACES)
    if not kept:
        return np.zeros((*visible.shape, 0), np.float32)
    encoding = Encoding.fit(replace(layout, properties=kept), properties, visible)
    return np.asarray(encoding.encode(properties))


def position_share(slots: Array, centres: Array, objects: Array, order: Array) -> PositionShare:
    """How the variance of slots divides between the place of their mask and their object.

    ``slots`` float (n, K, D); ``centres`` float (n, K, 2), as
    :func:`slotbench.evaluation.masks.centroids`; ``objects`` float (n, O, P), the objects'
    properties as columns (one-hot for classes) without those that say where it is
    (:data:`PLACES`); ``order`` int (n, O), the slot of each object, -1 for none.

    Slots with an object and a finite centroid count. Least squares with an intercept from the
    polynomials of degree 3 of the centroid (9 columns) and from the P properties; the shares are
    adjusted for the number of columns (Ezekiel 1930) and cut to [0, 1]. The variance is summed
    over the D dimensions. ``share`` averages the two orders in which places and objects can be
    brought in (Lindeman, Merenda and Gold 1980, Section 4.12). It is NaN where both explain less
    than :data:`LEAST`, or where there are no properties to compare with; all shares are NaN where
    slots do not vary or are too few: no more than twice as many as columns.

    A slot that holds an object holds its place too, among other things: with K slots trained by
    reconstruction the share is far from both ends.
    """
    image, which = np.nonzero(order >= 0)
    slot = order[image, which]
    at = centres[image, slot].astype(np.float64)
    kept = np.isfinite(at).all(axis=1)
    rows = slots[image, slot][kept].astype(np.float64)
    place = _polynomials(at[kept])
    thing = objects[image, which][kept].astype(np.float64)
    n, columns = len(rows), place.shape[1] + thing.shape[1]
    size = (rows**2).sum()
    rows = rows - rows.mean(axis=0) if n else rows
    if n <= 2 * columns or (rows**2).sum() <= 1e-12 * size:
        return PositionShare(np.nan, np.nan, np.nan, np.nan, n)
    places, things = _explained(place, rows), _explained(thing, rows)
    both = _explained(np.concatenate([place, thing], axis=1), rows)
    share = np.nan
    if both >= LEAST and thing.shape[1]:
        share = float(np.clip((places + both - things) / (2 * both), 0, 1))
    return PositionShare(share, places, things, both, n)


def _polynomials(at: Array) -> Array:
    """x^i y^j with 0 < i + j <= 3, float64 (n, 9)."""
    x, y = at.T
    powers = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i) if i + j > 0]
    return np.stack([x**i * y**j for i, j in powers], axis=1)


def _explained(columns: Array, rows: Array) -> float:
    """The adjusted share of the variance of centred ``rows`` (n, D) that ``columns`` explain."""
    n = len(rows)
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    basis, sizes, _ = np.linalg.svd(centred / np.where(scale > 0, scale, 1), full_matrices=False)
    # One-hot columns are linearly dependent; a direction without size is none.
    basis = basis[:, sizes > 1e-9 * max(sizes.max(initial=0), 1e-300)]
    share = ((basis.T @ rows) ** 2).sum() / (rows**2).sum()
    rank = basis.shape[1]
    return float(np.clip(1 - (1 - share) * (n - 1) / (n - rank - 1), 0, 1))
