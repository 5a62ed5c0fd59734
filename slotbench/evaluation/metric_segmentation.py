"""How well masks agree with the true objects, from each mask source."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import Context, Metric
from slotbench.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result

NAMES = ("ari", "fg_ari", "miou", "mbo", "sc", "msc")
SOURCES = ("attention", "decoder")
UNLABELLED = "no pixel of the images is labelled"


@register("metrics")
class Segmentation(Metric):
    """``<metric>/<source>`` for every mask source that is there, and ``recon_mse``.

    The metrics, their sources and edge cases are those of
    :func:`slotbench.evaluation.segmentation.scores`. A label map is the argmax over slots of
    masks that are resized bilinearly to the image's size; where slots tie, the first wins.
    ``recon_mse`` is the mean squared error of the decoder's image at the image's size, pixels
    in [0, 1]; it needs no label. Without a labelled pixel the rest is skipped.
    """

    summary = "masks against true objects: ARI, FG-ARI, mIoU, mBO, SC"
    source = "Hubert and Arabie 1985; Pont-Tuset et al. 2017; Arbelaez et al. 2011"
    name = "segmentation"
    keys = (*(f"{name}/{source}" for name in NAMES for source in SOURCES), "recon_mse")
    needs = ("labels/attention/first", "labels/decoder/first", "recon_mse", "labelled")

    def compute(self, context: Context) -> "dict[str, Result]":
        import torch

        from slotbench.evaluation.result import mean_result

        made, results = context.judged, {}
        if not made.labelled:
            context.skip(self.name, UNLABELLED)
        else:
            for source in made.sources("first"):
                for name, values in mask_scores(made, source).items():
                    results[f"{name}/{source}"] = mean_result(values, context.seed, self.version)
        if "recon_mse" in made.arrays:
            errors = torch.from_numpy(made.arrays["recon_mse"])
            results["recon_mse"] = mean_result(errors, context.seed, self.version)
        return results


def mask_scores(made: "Representations", source: str, draw: str = "first") -> "dict[str, Tensor]":
    """Each of :data:`NAMES` as float64 (n,), NaN where an image is left out."""
    import torch

    from slotbench.evaluation.segmentation import scores

    labels = made.arrays[f"labels/{source}/{draw}"]
    # Slots beyond the last that wins a pixel add nothing to any score.
    slots = int(labels.max(initial=0)) + 1
    return scores(torch.from_numpy(labels), torch.from_numpy(made.truth), slots)
