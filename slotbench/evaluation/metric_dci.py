"""Disentanglement, completeness and informativeness of slots."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.metric_properties import unusable
from slotbench.registry import register

if TYPE_CHECKING:
    from slotbench.evaluation.dci import Codes
    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result


@register("metrics")
class Dci(Metric):
    """``dci/<disentanglement, completeness or informativeness>`` of the slot of each object.

    Eastwood and Williams 2018; definitions and edge cases are those of
    :mod:`slotbench.evaluation.dci`. Objects and slots are paired by their masks, so it is
    skipped where a split has no labelled pixel or no masks.
    """

    summary = "disentanglement, completeness and informativeness of slots"
    source = "Eastwood and Williams 2018"
    name = "dci"
    keys = ("dci/*",)
    needs = trains = ("slots", "overlap", "labelled")
    cost = 8_000.0

    def compute(self, context: Context) -> "dict[str, Result]":
        from slotbench.evaluation.dci import dci

        splits = [context.made[role] for role in ("train", JUDGED)]
        reason = unusable(context)
        if not reason and not all(made.labelled for made in splits):
            reason = "a split has no labelled pixel"
        if reason:
            return context.skip(self.name, reason)
        train, test = (_codes(made) for made in splits)
        properties = context.dataset.layout.properties
        found = dci(train, test, properties, seed=context.seed, progress=context.progress())
        return {f"dci/{name}": value for name, value in found.items()}


def _codes(made: "Representations") -> "Codes":
    from slotbench.evaluation.dci import matched_codes

    return matched_codes(made.slots, made.overlap, made.visible, made.properties)
