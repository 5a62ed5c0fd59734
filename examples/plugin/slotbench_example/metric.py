"""A metric: how much the norms of an image's slots differ."""

import torch

from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result
from slotbench.registry import register


@register("metrics")
class NormSpread(Metric):
    """``norm_spread``: standard deviation of the slots' norms over their mean, by image."""

    name = "norm-spread"
    summary = "how much the norms of an image's slots differ"
    source = "an example"
    keys, needs = ("norm_spread",), ("slots",)
    version, better = 1, -1

    def compute(self, context: Context) -> dict[str, Result]:
        norms = torch.as_tensor(context.judged.slots).double().norm(dim=2)
        spread = norms.std(dim=1) / norms.mean(dim=1)
        return context.means({"norm_spread": spread})
