"""Cheap numbers that explain a score."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import Context, Metric
from slotbench.registry import register

if TYPE_CHECKING:
    from slotbench.evaluation.result import Result


@register("metrics")
class Health(Metric):
    """``health/<name>`` of the slots and the attention.

    ``empty_slots``, ``slot_cosine``, ``attention_entropy``, ``consistency`` and
    ``effective_rank`` are those of :mod:`slotbench.evaluation.health`, which gives sources and
    edge cases; ``position_share``, ``position_places`` and ``position_objects`` are those of
    :mod:`slotbench.evaluation.position`. Label maps are those of the attention at the image's
    size. Without initial noise ``consistency`` has no value; without attention (predictions from
    elsewhere) only ``slot_cosine`` and ``effective_rank`` are there.
    """

    summary = "empty slots, similarity, rank, entropy, consistency"
    source = "Roy and Vetterli 2007; slotbench, docs/evaluation.md"
    name = "health"
    keys = ("health/*",)
    version = 2
    needs = (
        "slots",
        "overlap",
        "centroids",
        "entropy",
        "labels/attention/first",
        "labels/attention/second",
    )

    def compute(self, context: Context) -> "dict[str, Result]":
        import torch

        from slotbench.evaluation import health
        from slotbench.evaluation.result import Result, mean_result

        made, values = context.judged, {}
        slots = torch.from_numpy(made.slots)
        labels = made.tensor("labels/attention/first")
        if labels is not None:
            values["empty_slots"] = health.empty_slots(labels.long(), slots.shape[1])
        values["slot_cosine"] = health.slot_cosine(slots)
        entropy = made.tensor("entropy")
        if entropy is not None:
            values["attention_entropy"] = entropy
        if labels is not None:
            again = made.tensor("labels/attention/second")
            if again is None:
                context.skip("health/consistency", "the core draws no initial noise")
                values["consistency"] = torch.full((made.n,), torch.nan, dtype=torch.float64)
            else:
                values["consistency"] = health.consistency(labels, again, slots.shape[1])
        results = {
            f"health/{name}": mean_result(each, context.seed, self.version)
            for name, each in values.items()
        }
        rank = health.effective_rank(slots)
        results["health/effective_rank"] = Result(rank, made.n, version=self.version)
        return results | self.position(context)

    def position(self, context: Context) -> "dict[str, Result]":
        """Whether slots hold objects or places."""
        import torch

        from slotbench.evaluation.position import object_columns, position_share
        from slotbench.evaluation.result import Result, finite
        from slotbench.matching import assign

        made = context.judged
        if "centroids" not in made.arrays or "overlap" not in made.arrays:
            return {}
        order = assign(-torch.from_numpy(made.overlap).mT, torch.from_numpy(made.visible))
        objects = object_columns(made.dataset.layout, made.properties, made.visible)
        found = position_share(made.slots, made.arrays["centroids"], objects, order.numpy())
        if found.share != found.share:
            context.skip(
                "health/position_share",
                "places and properties explain too little of the slots, or slots are too few",
            )
        values = {"share": found.share, "places": found.places, "objects": found.objects}
        return {
            f"health/position_{name}": Result(finite(value), found.n, version=self.version)
            for name, value in values.items()
        }
