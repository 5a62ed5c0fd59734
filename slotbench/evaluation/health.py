"""Slot health: cheap numbers that explain a score.

Scores over pairs of slots, or over the choice among slots, are NaN for a single slot.

``position_share`` asks whether slots hold objects or places. Slots that hold only the place they
look at can solve an objective that only asks which views belong together.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.frozen_pass import DRAWS
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result, finite
from slotbench.evaluation.segmentation import adjusted_rand, joint_counts
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.registry import register

PLACES = ("position", "pixel_coords")
"""Properties of the shipped datasets that say where an object is; no part of ``objects``."""
LEAST_SHARE = 0.05
"""Below this share of explained variance there is no ``share``."""


@register("metrics")
class Health(Metric):
    """``health/<name>`` of the slots and the attention.

    ``empty_slots``, ``slot_cosine``, ``consistency`` and ``effective_rank`` are the functions of
    this file; ``attention_entropy`` is :func:`slotbench.evaluation.masks.attention_entropy`;
    ``position_share``, ``position_places`` and ``position_objects`` are from
    :func:`position_share`. Label maps are the attention's at the image's size.
    Without initial noise ``consistency`` has no value; without attention (predictions from
    elsewhere) only ``slot_cosine`` and ``effective_rank`` are there.
    """

    name = "health"
    summary = "empty slots, similarity, rank, entropy, consistency"
    source = "Roy and Vetterli 2007; slotbench, docs/evaluation.md"
    version = 2
    keys = ("health/*",)
    better = 0
    needs = (
        "slots",
        "overlap",
        "centroids",
        "entropy",
        "labels/attention/first",
        "labels/attention/second",
    )

    def compute(self, context: Context) -> dict[str, Result]:
        made, values = context.judged, dict[str, Tensor | Array]()
        slots, count = torch.from_numpy(made.slots), made.slots.shape[1]
        attention, again = ("attention" in made.sources(draw) for draw in DRAWS[:2])
        if attention:
            values["empty_slots"] = empty_slots(made.labels("attention").long(), count)
        values["slot_cosine"] = slot_cosine(slots)
        if "entropy" in made.arrays:
            values["attention_entropy"] = made.arrays["entropy"]
        if again:
            first, second = (made.labels("attention", draw) for draw in DRAWS[:2])
            values["consistency"] = consistency(first, second, count)
        elif attention:
            context.skip("health/consistency", "the core draws no initial noise")
            values["consistency"] = np.full(made.n, np.nan)
        results = context.means({f"health/{name}": each for name, each in values.items()})
        results["health/effective_rank"] = Result(effective_rank(slots), made.n)
        return results | self._position(context)

    def _position(self, context: Context) -> dict[str, Result]:
        """Whether slots hold objects or places."""
        made = context.judged
        if not {"centroids", "overlap"} <= made.arrays.keys():
            return {}
        order = assign(-torch.from_numpy(made.overlap).mT, torch.from_numpy(made.visible))
        objects = object_columns(made.dataset.layout, made.properties, made.visible)
        found = position_share(made.slots, made.arrays["centroids"], objects, order.numpy())
        if np.isnan(found.share):
            reason = "places and properties explain too little of the slots, or slots are too few"
            context.skip("health/position_share", reason)
        return {
            f"health/position_{name}": Result(finite(getattr(found, name)), found.n)
            for name in ("share", "places", "objects")
        }


def empty_slots(labels: Tensor, slots: int) -> Tensor:
    """Share of slots that win no pixel, float64 (B,) in [0, 1).

    ``labels`` int64 (B, H, W) in [0, slots).
    """
    won = torch.zeros(len(labels), slots, dtype=torch.bool, device=labels.device)
    won.scatter_(1, labels.flatten(1), True)
    return 1 - won.double().mean(dim=1)


def slot_cosine(slots: Tensor) -> Tensor:
    """Mean cosine similarity over the pairs of different slots, float64 (B,) in [-1, 1].

    ``slots`` float (B, K, D).
    """
    count = slots.shape[1]
    if count < 2:
        return torch.full((len(slots),), torch.nan, dtype=torch.float64, device=slots.device)
    unit = functional.normalize(slots.double(), dim=2)
    # The sum over all pairs is the squared norm of the sum, minus each slot with itself.
    everything = unit.sum(dim=1).square().sum(dim=1)
    own = unit.square().sum(dim=(1, 2))
    return (everything - own) / (count * (count - 1))


def effective_rank(slots: Tensor) -> float:
    """Effective rank of the covariance of all slots of a dataset, in [1, D]; 0 if all are equal.

    ``slots`` float (n, K, D). The exponential of the entropy of the covariance's normalised
    eigenvalues (Roy and Vetterli 2007, Definition 1).
    """
    rows = slots.flatten(0, 1).double()
    centred = rows - rows.mean(dim=0)
    covariance = centred.T @ centred / max(1, len(rows))
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
    # Where all slots are equal, rounding still leaves a small trace.
    if float(eigenvalues.sum()) <= 1e-12 * float(rows.square().sum()) / max(1, len(rows)):
        return 0.0
    shares = eigenvalues / eigenvalues.sum()
    return math.exp(float(torch.special.entr(shares).sum()))


def consistency(first: Tensor, second: Tensor, slots: int) -> Tensor:
    """Adjusted Rand index of two label maps of the same images, float64 (B,).

    ``first`` and ``second`` are int64 (B, H, W) in [0, slots): the core's masks from two draws
    of its initial noise. All pixels count.
    """
    return adjusted_rand(joint_counts(first, second, slots, slots))


class PositionShare(NamedTuple):
    """Shares of the variance of the slots that found an object; each in [0, 1], or NaN."""

    share: float
    """The part of the explained variance that goes to places. 0: slots hold properties of the
    object and no place. 1: they hold the place of their mask and nothing else. Variance that both
    explain counts half for each."""
    places: float
    """Share that the centroid of the slot's mask explains alone."""
    objects: float
    """Share that the properties of the object explain alone."""
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

    Slots with an object and a finite centroid count. Least squares with an intercept predicts them
    from the monomials of the centroid up to degree 3 (9 columns) and from the P properties. Shares
    are of the variance summed over the D dimensions, adjusted for the number of columns (Ezekiel
    1930) and cut to [0, 1]. ``share`` averages both orders of adding places and objects (Lindeman,
    Merenda and Gold 1980, Section 4.12). It is NaN where both together explain less than
    :data:`LEAST_SHARE`, or without properties. All shares are NaN where slots do not vary, or are
    at most twice as many as columns.

    A slot that holds an object also holds its place. For slots trained by reconstruction the share
    is far from 0 and 1.
    """
    image, which = np.nonzero(order >= 0)
    slot = order[image, which]
    at = centres[image, slot].astype(np.float64)
    kept = np.isfinite(at).all(axis=1)
    rows = slots[image, slot][kept].astype(np.float64)
    place = _monomials(at[kept])
    thing = objects[image, which][kept].astype(np.float64)
    n, columns = len(rows), place.shape[1] + thing.shape[1]
    size = (rows**2).sum()
    rows = rows - rows.mean(axis=0) if n else rows
    if n <= 2 * columns or (rows**2).sum() <= 1e-12 * size:
        return PositionShare(np.nan, np.nan, np.nan, np.nan, n)
    places, things = _explained(place, rows), _explained(thing, rows)
    both = _explained(np.concatenate([place, thing], axis=1), rows)
    share = np.nan
    if both >= LEAST_SHARE and thing.shape[1]:
        share = float(np.clip((places + both - things) / (2 * both), 0, 1))
    return PositionShare(share, places, things, both, n)


def _monomials(at: Array) -> Array:
    """x^i y^j with 0 < i + j <= 3, float64 (n, 9)."""
    x, y = at.T
    powers = [(i, j) for i in range(3 + 1) for j in range(3 + 1 - i) if i + j > 0]
    return np.stack([x**i * y**j for i, j in powers], axis=1)


def _explained(columns: Array, rows: Array) -> float:
    """The adjusted share of the variance of centred ``rows`` (n, D) that ``columns`` explain."""
    n = len(rows)
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    centred /= np.where(scale > 0, scale, 1)
    # One-hot columns are linearly dependent: the rank counts the independent ones.
    weights, _, rank, _ = np.linalg.lstsq(centred, rows, rcond=1e-9)
    share = ((centred @ weights) ** 2).sum() / (rows**2).sum()
    return float(np.clip(1 - (1 - share) * (n - 1) / (n - rank - 1), 0, 1))
