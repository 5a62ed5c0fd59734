"""Segmentation scores of label maps: ARI, FG-ARI, mIoU, mBO, SC and mSC.

All scores come from one table an image: how many pixels have true label i and predicted label j.
Pixels labelled 255 are in no table.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from slotbench.datasets.format.schema import Array
from slotbench.evaluation.frozen_pass import DRAWS, Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result, mean_result
from slotbench.matching import assign
from slotbench.registry import register

METRICS = ("ari", "fg_ari", "miou", "mbo", "sc", "msc")
RANGES: Mapping[str, tuple[float | None, float | None]] = {
    "recon_mse*": (0, None),
    "*ari/*": (-0.5, 1),
    "*": (0, 1),
}
"""The least ARI is -0.5 (Chacón and Rastrojo 2022)."""
UNLABELLED = "no pixel of the images is labelled"
_BLOCK = 1 << 18
"""Pixels counted at a time, so that index arrays fit into the processor's cache."""


@register("metrics")
class Segmentation(Metric):
    """``<metric>/<source>`` for every mask source of the model, and ``recon_mse``.

    :func:`scores` defines the metrics, their sources and edge cases. A label map is the argmax
    over slots of masks that are resized bilinearly to the image's size; where slots tie, the
    first wins. ``recon_mse`` is the mean squared error of the decoder's image at the image's
    size, pixels in [0, 1]; it needs no label. Without a labelled pixel the rest is skipped.
    """

    name = "segmentation"
    summary = "masks against true objects: ARI, FG-ARI, mIoU, mBO, SC"
    source = "Hubert and Arabie 1985; Pont-Tuset et al. 2017; Arbelaez et al. 2011"
    version = 1
    keys = (*(f"{metric}/{source}" for metric in METRICS for source in SOURCES), "recon_mse")
    better = 1
    directions: ClassVar = {"recon_mse": -1}
    ranges = RANGES
    shown = ("fg_ari/decoder", "fg_ari/attention")
    compared = ("fg_ari/attention", "ari/attention", "miou/attention")
    needs = (*(f"labels/{source}/first" for source in SOURCES), "recon_mse", "labelled")

    def compute(self, context: Context) -> dict[str, Result]:
        made, values = context.judged, dict[str, Tensor | Array]()
        if not made.labelled:
            context.skip(self.name, UNLABELLED)
        for source in made.sources() if made.labelled else ():
            scored = mask_scores(made, source)
            values |= {f"{name}/{source}": each for name, each in scored.items()}
        if "recon_mse" in made.arrays:
            values["recon_mse"] = made.arrays["recon_mse"]
        return context.means(values)


@register("metrics")
class Draws(Metric):
    """``<metric>/<source>/draws``: the mean over three draws of the initial noise.

    Slot attention starts from noise, so the masks of an image are random. ``value`` is the mean
    over draws and images. ``spread`` is the standard deviation of the draws' means (n - 1 in the
    denominator). The interval is the bootstrap over images of their means over draws. All other
    metrics use the first draw. Cores without initial noise, and predictions from elsewhere, are
    skipped.
    """

    name = "draws"
    summary = "the same scores over three draws of the initial noise"
    source = "slotbench, docs/evaluation.md"
    version = 1
    keys = ("*/draws",)
    better = 1
    ranges = RANGES
    needs = (*(f"labels/{source}/{draw}" for source in SOURCES for draw in DRAWS), "labelled")

    def compute(self, context: Context) -> dict[str, Result]:
        made, results = context.judged, {}
        if not made.labelled:
            return context.skip(self.name, UNLABELLED)
        sources = made.sources(DRAWS[-1])
        if not sources:
            return context.skip(self.name, "the core draws no initial noise")
        for source in sources:
            drawn = [mask_scores(made, source, draw) for draw in DRAWS]
            for name in METRICS:
                values = torch.stack([scores[name] for scores in drawn])
                result = mean_result(values.mean(dim=0), context.seed)
                spread = float(values.nanmean(dim=1).std()) if result.n else None
                results[f"{name}/{source}/draws"] = replace(result, spread=spread)
        return results


def mask_scores(made: Representations, source: str, draw: str = "first") -> dict[str, Tensor]:
    """Each of :data:`METRICS` as float64 (n,), NaN where an image is left out."""
    labels = made.labels(source, draw)
    # Slots beyond the last that wins a pixel add nothing to any score.
    return scores(labels, torch.from_numpy(made.truth), int(labels.max()) + 1)


def contingency(predicted: Tensor, truth: Tensor, slots: int) -> Tensor:
    """Pixel counts int64 (B, O + 1, K): entry (b, i, j) counts true label i, predicted label j.

    ``predicted`` is int64 (B, H, W) in [0, slots); ``truth`` is uint8 (B, H, W): 0 background,
    1..O objects, O being the greatest label of the batch, and 255 for pixels that are not
    counted. ValueError where the shapes differ or a predicted label is out of range.
    """
    if predicted.shape != truth.shape or predicted.ndim != 3:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and truth {tuple(truth.shape)}: "
            "expected the same shape (B, H, W)"
        )
    # 255 + 1 wraps to 0 in uint8: unlabelled pixels become row 0, which is cut off below.
    rows = truth + 1
    labels = int(rows.max()) + 1 if rows.numel() else 2
    return joint_counts(rows, predicted, labels, slots)[:, 1:]


def joint_counts(rows: Tensor, columns: Tensor, n_rows: int, n_columns: int) -> Tensor:
    """Pixel counts int64 (B, n_rows, n_columns) of two label maps (B, H, W) of whole numbers.

    ``rows`` must lie in [0, n_rows); ValueError where ``columns`` is not in [0, n_columns).
    """
    images, cells = len(rows), n_rows * n_columns
    rows, columns = rows.flatten(1), columns.flatten(1)
    if columns.numel() and not 0 <= int(columns.min()) <= int(columns.max()) < n_columns:
        raise ValueError(
            f"predicted labels {int(columns.min())} to {int(columns.max())}, "
            f"expected 0 to {n_columns - 1}"
        )
    tables = [torch.zeros(0, n_rows, n_columns, dtype=torch.int64, device=rows.device)]
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    # 32 bits take half the memory, and suffice but for thousands of labels.
    kind = torch.int32 if step * cells < 2**31 else torch.int64
    first = torch.arange(step, dtype=kind, device=rows.device)[:, None] * cells
    for start in range(0, images, step):
        block = slice(start, start + step)
        index = rows[block].to(kind) * n_columns + columns[block].to(kind)
        index += first[: len(index)]
        counts = torch.bincount(index.flatten(), minlength=len(index) * cells)
        tables.append(counts.view(-1, n_rows, n_columns))
    return torch.cat(tables)


def adjusted_rand(table: Tensor) -> Tensor:
    """The adjusted Rand index, float64 (B,), from pixel counts int64 (B, I, J).

    Hubert and Arabie 1985. It is 1 where both partitions are trivial in the same way (one cluster,
    or one pixel a cluster), else 0 where the expected index equals the greatest, and NaN where no
    pixel is counted.
    """
    together = _pairs(table).sum(dim=(1, 2))
    rows, columns = _pairs(table.sum(dim=2)).sum(dim=1), _pairs(table.sum(dim=1)).sum(dim=1)
    total = _pairs(table.sum(dim=(1, 2)))
    trivial = (rows == columns) & ((rows == 0) | (rows == total))
    expected = rows.double() * columns.double() / total.clamp(min=1).double()
    room = (rows + columns).double() / 2 - expected
    index = torch.where(room > 0, (together.double() - expected) / room, 0.0)
    index = torch.where(trivial, 1.0, index)
    return torch.where(table.sum(dim=(1, 2)) > 0, index, torch.nan)


def scores(predicted: Tensor, truth: Tensor, slots: int) -> dict[str, Tensor]:
    """Each of :data:`METRICS` as float64 (B,); NaN marks an image that is left out.

    ``predicted`` int64 (B, H, W) in [0, slots); ``truth`` uint8 (B, H, W), 0 background, 255
    not labelled. The metrics do not depend on which slot has which label.

    - ``ari``: adjusted Rand index over all labelled pixels, background being one class.
    - ``fg_ari``: the same over pixels whose true label is an object.
    - ``miou``: mean over objects of the IoU with the slot that the Hungarian algorithm gives
      them; an object without a slot scores 0 (Kuhn 1955).
    - ``mbo``: mean over objects of the best IoU with any slot (Pont-Tuset et al. 2017); on
      class masks it is mBO_c, on instance masks mBO_i.
    - ``sc``, ``msc``: segmentation covering: the best IoU averaged over objects with their
      areas as weights, and without weights (Arbelaez et al. 2011). Over objects alone, ``msc``
      is ``mbo`` by another name.

    Images without an object are left out of all but ``ari``; those without a labelled pixel
    are left out of ``ari`` too.
    """
    table = contingency(predicted, truth, slots)
    objects, iou, present = overlaps(table)
    best = iou.amax(dim=2)
    mean_best = weighted_mean(best, present.double())
    return {
        "ari": adjusted_rand(table),
        "fg_ari": adjusted_rand(objects),
        "miou": weighted_mean(matched_iou(iou, present), present.double()),
        "mbo": mean_best,
        "sc": weighted_mean(best, objects.sum(dim=2).double()),
        "msc": mean_best,
    }


def overlaps(table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Counts of objects (B, O, K), their IoU with each slot float64 (B, O, K), and whether they
    have a pixel, bool (B, O); from pixel counts int64 (B, O + 1, K)."""
    objects = table[:, 1:]
    area = objects.sum(dim=2)
    union = area[:, :, None] + table.sum(dim=1)[:, None, :] - objects
    return objects, objects.double() / union.clamp(min=1).double(), area > 0


def matched_iou(iou: Tensor, present: Tensor) -> Tensor:
    """The IoU of each present object with its slot, float64 (B, O); 0 where it has none.

    Objects and slots are paired so that the sum of IoU is greatest.
    """
    order = assign(-iou, present)
    return iou.gather(2, order.clamp(min=0)[:, :, None])[:, :, 0] * (order >= 0)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over objects, (B,) from (B, O); NaN where all weights are 0."""
    return (values * weights).sum(dim=1) / weights.sum(dim=1)


def _pairs(counts: Tensor) -> Tensor:
    return counts * (counts - 1) // 2
