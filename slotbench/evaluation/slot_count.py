"""The number of slots in use, compared with the number of things in the image."""

from typing import ClassVar

import torch
from torch import Tensor

from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result
from slotbench.evaluation.segmentation import UNLABELLED, contingency
from slotbench.registry import register


@register("metrics")
class SlotCount(Metric):
    """``slot_count/<source>/<in_use or error>`` for every mask source of the model.

    ``in_use`` is the number of slots that win a labelled pixel, a mean over images. ``error`` is
    its mean absolute difference from the number of visible objects, plus one where background is
    visible. A core that drops slots gives them no attention, so they win no pixel. Images without
    a labelled pixel are left out.
    """

    name = "slot-count"
    summary = "slots in use against the true number of objects and background"
    source = "slotbench, docs/evaluation.md"
    version = 1
    keys = ("slot_count/*",)
    better = -1
    directions: ClassVar = {"slot_count/*/in_use": 0}
    ranges: ClassVar = {"*": (0, None)}
    shown = ("slot_count/attention/error",)
    needs = (*(f"labels/{source}/first" for source in SOURCES), "labelled")

    def compute(self, context: Context) -> dict[str, Result]:
        made, values = context.judged, dict[str, Tensor]()
        if not made.labelled:
            return context.skip(self.name, UNLABELLED)
        for source in made.sources():
            found = counts(made.labels(source), torch.from_numpy(made.truth))
            values |= {f"slot_count/{source}/{name}": each for name, each in found.items()}
        return context.means(values)


def counts(labels: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """``in_use`` and ``error`` of each image, float64 (B,); NaN where no pixel is labelled.

    ``labels`` int (B, H, W) from 0; ``truth`` uint8 (B, H, W), 255 not labelled.
    """
    table = contingency(labels, truth, int(labels.max()) + 1)
    things, in_use = (table.sum(dim=axis).gt(0).sum(dim=1).double() for axis in (2, 1))
    in_use = torch.where(things > 0, in_use, torch.nan)
    return {"in_use": in_use, "error": (in_use - things).abs()}
