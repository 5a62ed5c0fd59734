"""Segmentation scores from several draws of the slots' initial noise."""

from dataclasses import replace

import torch

from slotbench.evaluation.frozen_pass import DRAWS
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.result import Result, mean_result
from slotbench.evaluation.segmentation import UNLABELLED, mask_scores
from slotbench.registry import register


@register("metrics")
class Draws(Metric):
    """``<metric>/<source>/draws``: the mean over three draws of the initial noise.

    Slot attention starts from noise, so the masks of one image are a random variable. ``value``
    is the mean over the draws of the mean over images; ``spread`` is the standard deviation of
    the draws' means (n - 1 in the denominator); the interval is the bootstrap over images, each
    image being the mean of its draws. The first draw is the one that all other metrics use.
    Cores without initial noise, and predictions from elsewhere, are skipped.
    """

    name = "draws"
    summary = "the same scores over three draws of the initial noise"
    source = "slotbench, docs/evaluation.md"
    version = 1
    keys = ("*/draws",)
    better = 1
    needs = (*(f"labels/{source}/{draw}" for source in SOURCES for draw in DRAWS), "labelled")

    def compute(self, context: Context) -> dict[str, Result]:
        made, results = context.judged, {}
        if not made.labelled:
            return context.skip(self.name, UNLABELLED)
        sources = [source for source in made.sources(DRAWS[0]) if source in made.sources(DRAWS[-1])]
        if not sources:
            return context.skip(self.name, "the core draws no initial noise")
        for source in sources:
            drawn = [mask_scores(made, source, draw) for draw in DRAWS]
            for name in drawn[0]:
                values = torch.stack([scores[name] for scores in drawn])
                result = mean_result(values.mean(dim=0), context.seed, self.version)
                spread = float(values.nanmean(dim=1).std()) if result.n else None
                results[f"{name}/{source}/draws"] = replace(result, spread=spread)
        return results
