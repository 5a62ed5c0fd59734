"""What one vector an image says about the scene."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.registry import register

if TYPE_CHECKING:
    from slotbench.datasets.format.schema import Layout
    from slotbench.evaluation.probes import SceneData
    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result

SOURCES = ("slots", "features")


@register("metrics")
class LinearProbe(Metric):
    """``linear_probe/<slots or features>/<map or count>`` and ``knn/<slots or features>/count``.

    Logistic regression and k nearest neighbours (Wu et al. 2018, arXiv 1805.01978) on the mean
    over slots and on the mean over the encoder's features; definitions and edge cases are those
    of :mod:`slotbench.evaluation.probes`. Always on the final model. A source that is not there
    (features, for predictions from elsewhere) has no keys.
    """

    summary = "what is in the scene, from one vector an image; k-NN"
    source = "Wu et al. 2018, arXiv 1805.01978"
    name = "linear-probe"
    keys = ("linear_probe/*", "knn/*")
    needs = trains = SOURCES
    cost = 2_000.0

    def compute(self, context: Context) -> "dict[str, Result]":
        from slotbench.evaluation.probes import knn_count, linear_probe

        results: dict[str, Result] = {}
        splits = [context.made[role] for role in ("train", "val", JUDGED)]
        for index, source in enumerate(SOURCES):
            if any(source not in made.arrays for made in splits):
                continue
            train, val, test = (scenes(made, context.dataset.layout, source) for made in splits)
            found = linear_probe(
                train, val, test, seed=context.seed, progress=context.progress(index, len(SOURCES))
            )
            results |= {f"linear_probe/{source}/{name}": got for name, got in found.items()}
            results[f"knn/{source}/count"] = knn_count(train, test, seed=context.seed)
        return results or context.skip(self.name, "there are no slots and no features")


def scenes(made: "Representations", layout: "Layout", source: str) -> "SceneData":
    """One vector an image, and what is in it."""
    from slotbench.evaluation.probes import SceneData, scene_labels

    features = made.slots.mean(axis=1) if source == "slots" else made.features
    present = scene_labels(layout, made.properties, made.visible)
    return SceneData(features, present, made.visible.sum(axis=1))
