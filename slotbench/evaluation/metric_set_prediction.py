"""The probe's outputs as a set of objects."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.metric_properties import slot_data, unusable
from slotbench.registry import register

if TYPE_CHECKING:
    from slotbench.evaluation.result import Result


@register("metrics")
class SetPrediction(Metric):
    """``set_prediction/linear/ap/<inf, 1, 0.5, 0.25 or 0.125>``: average precision.

    Locatello et al. 2020, arXiv 2006.15055, Section 4.2; the probe is that of
    :func:`slotbench.evaluation.set_probe.predict_sets`, the score and its edge cases are those
    of :mod:`slotbench.evaluation.set_prediction`. Skipped where the dataset has no property
    ``position`` or a split shows no object.
    """

    summary = "average precision of predicted sets of objects"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    name = "set-prediction"
    keys = ("set_prediction/*",)
    needs = trains = ("slots", "overlap")
    cost = 12_000.0

    def compute(self, context: Context) -> "dict[str, Result]":
        from slotbench.evaluation.set_prediction import COORDINATES
        from slotbench.evaluation.set_probe import predict_sets

        layout = context.dataset.layout
        reason = unusable(context)
        if not reason and COORDINATES not in {prop.name for prop in layout.properties}:
            reason = f"the dataset has no property {COORDINATES}"
        if reason:
            return context.skip(self.name, reason)
        train, val, test = (slot_data(context.made[role]) for role in ("train", "val", JUDGED))
        found = predict_sets(
            train,
            val,
            test,
            layout,
            seed=context.seed,
            steps=context.probe_steps,
            progress=context.progress(),
        )
        return {f"set_prediction/linear/{name}": value for name, value in found.items()}
