"""The masks of an image, judged by the objects of another: what regions of the frame score."""

from typing import ClassVar

import torch
from torch import Tensor

from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result
from slotbench.evaluation.segmentation import RANGES, UNLABELLED, scores
from slotbench.registry import register

METRICS = ("fg_ari", "ari", "miou")


@register("metrics")
class Swapped(Metric):
    """``<metric>/<source>/swapped`` and ``.../gain`` for FG-ARI, ARI and mIoU.

    FG-ARI asks nothing of the background, so regions of the frame that ignore the image score high:
    random Voronoi cells have 0.51 on clevr6. ``swapped`` judges the masks of each image by the
    truth of the next one in the split (of a video, by the same frame of the next clip), and the
    masks of the last image by the truth of the first. ``gain`` is the image's own score minus
    ``swapped``: 0 in expectation for masks that do not depend on the image. Where one of the two
    scores leaves an image out, ``gain`` does too. A split of one image or clip is skipped.
    """

    name = "swapped"
    summary = "masks judged by another image's objects: do they depend on the image?"
    source = "slotbench, docs/evaluation.md"
    version = 1
    keys = ("*/swapped", "*/gain")
    better = 1
    directions: ClassVar = {"*/swapped": 0}
    ranges: ClassVar = {"*/gain": (-1.5, 1.5), **RANGES}
    needs = (*(f"labels/{source}/first" for source in SOURCES), "labelled")

    def compute(self, context: Context) -> dict[str, Result]:
        made, values = context.judged, dict[str, Tensor]()
        if not made.labelled:
            return context.skip(self.name, UNLABELLED)
        step = made.dataset.layout.row_images
        if made.n <= step:
            return context.skip(self.name, "there is one image, and no other to judge its masks by")
        for source in made.sources():
            own, other = both(made.labels(source), torch.from_numpy(made.truth), step)
            for name in METRICS:
                values[f"{name}/{source}/swapped"] = other[name]
                values[f"{name}/{source}/gain"] = own[name] - other[name]
        return context.means(values)


def both(
    labels: Tensor, truth: Tensor, step: int = 1
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """:func:`scores` of each image by its own truth, and by the truth of the image ``step`` later.

    float64 (B,) by metric; the last ``step`` images are judged by the first ones.

    ``labels`` int (B, H, W) from 0; ``truth`` uint8 (B, H, W), 255 not labelled.
    """
    slots = int(labels.max()) + 1
    return scores(labels, truth, slots), scores(labels, truth.roll(-step, 0), slots)
