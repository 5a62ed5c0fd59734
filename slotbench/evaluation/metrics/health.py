"""Cheap numbers that explain a score."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metrics.base import Context, Metric

if TYPE_CHECKING:
    from slotbench.evaluation.result import Result


class Health(Metric):
    """``health/<name>`` of the slots and the attention.

    ``empty_slots``, ``slot_cosine``, ``attention_entropy``, ``consistency`` and
    ``effective_rank`` are those of :mod:`slotbench.evaluation.health`, which gives sources and
    edge cases. Label maps are those of the attention at the image's size. Without initial noise
    ``consistency`` has no value; without attention (predictions from elsewhere) only
    ``slot_cosine`` and ``effective_rank`` are there.
    """

    name = "health"
    keys = ("health/*",)
    needs = ("slots", "entropy", "labels/attention/first", "labels/attention/second")

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
        return results
