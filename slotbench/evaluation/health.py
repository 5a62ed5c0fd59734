"""Slot health: cheap numbers that explain a score.

K slots of width D an image. A score over pairs of slots, or over the choice among slots, means
nothing for one slot: those images are left out (NaN).
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.position import object_columns, position_share
from slotbench.evaluation.result import Result, finite
from slotbench.evaluation.segmentation import adjusted_rand, joint_counts
from slotbench.matching import assign
from slotbench.registry import register


@register("metrics")
class Health(Metric):
    """``health/<name>`` of the slots and the attention.

    ``empty_slots``, ``slot_cosine``, ``consistency`` and ``effective_rank`` are the functions of
    this file; ``attention_entropy`` is :func:`slotbench.evaluation.masks.attention_entropy`;
    ``position_share``, ``position_places`` and ``position_objects`` come from
    :mod:`slotbench.evaluation.position`. Label maps are the attention's at the image's size.
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
        made, values = context.judged, {}
        slots, count = torch.from_numpy(made.slots), made.slots.shape[1]
        labels, again, entropy = map(made.tensor, (*self.needs[4:], "entropy"))
        if labels is not None:
            values["empty_slots"] = empty_slots(labels.long(), count)
        values["slot_cosine"] = slot_cosine(slots)
        if entropy is not None:
            values["attention_entropy"] = entropy
        if labels is not None and again is not None:
            values["consistency"] = consistency(labels, again, count)
        elif labels is not None:
            context.skip("health/consistency", "the core draws no initial noise")
            values["consistency"] = torch.full((made.n,), torch.nan, dtype=torch.float64)
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
            context.skip(
                "health/position_share",
                "places and properties explain too little of the slots, or slots are too few",
            )
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
    # The sum over all pairs is the squared norm of the sum; each slot with itself is taken off.
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
