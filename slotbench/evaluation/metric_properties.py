"""What each slot says about the object it stands for, by a linear and by a small MLP probe."""

from typing import TYPE_CHECKING, ClassVar

from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.registry import register

if TYPE_CHECKING:
    from slotbench.evaluation.properties import SlotData
    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result

PROTOCOLS = ("loss", "mask")
ARRAYS = ("slots", "overlap", "labelled")


@register("metrics")
class LinearProperties(Metric):
    """``properties/linear/<protocol>/<property or mean>[/dropped]``.

    Dittadi et al. 2022, arXiv 2107.00637, Section 3 and Appendix B; protocols, training and the
    objects that are left over are those of
    :func:`slotbench.evaluation.properties.predict_properties`. ``/dropped`` is the paper's own
    variant, which leaves out objects that have no slot. Skipped where the dataset has no
    properties or a split shows no object; the protocol ``mask`` alone where a split has no
    labelled pixel or no masks.
    """

    summary = "a linear probe of each object's properties, shared by all slots"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    name = "properties"
    keys = ("properties/linear/*",)
    needs = trains = ARRAYS
    cost = 16_000.0
    probe: ClassVar[str] = "linear"
    hidden: ClassVar[int] = 0

    def compute(self, context: Context) -> "dict[str, Result]":
        from typing import get_args

        from slotbench.evaluation.properties import Protocol, predict_properties

        reason = unusable(context)
        if reason:
            return context.skip(self.name, reason)
        splits = [context.made[role] for role in ("train", "val", JUDGED)]
        train, val, test = (slot_data(made) for made in splits)
        results: dict[str, Result] = {}
        for index, protocol in enumerate(get_args(Protocol)):
            prefix = f"properties/{self.probe}/{protocol}"
            if protocol == "mask" and not all(made.labelled for made in splits):
                context.skip(prefix, "a split has no labelled pixel")
                continue
            found = predict_properties(
                train,
                val,
                test,
                context.dataset.layout,
                seed=context.seed,
                protocol=protocol,
                hidden=self.hidden,
                steps=context.probe_steps,
                progress=context.progress(index, len(PROTOCOLS)),
            )
            results |= {f"{prefix}/{name}": value for name, value in found.items()}
        return results


@register("metrics")
class MlpProperties(LinearProperties):
    """``properties/mlp/<protocol>/<property or mean>[/dropped]``.

    As the linear probe, with one hidden layer of 256 units and LeakyReLU (Dittadi et al. 2022,
    Appendix B, use MLPs of one to three such layers beside the linear probe).
    """

    summary = "the same with one hidden layer of 256"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    name = "properties-mlp"
    keys = ("properties/mlp/*",)
    cost = 40_000.0
    probe = "mlp"
    hidden = 256


def unusable(context: Context) -> str:
    """Why no probe of properties can be trained; "" where one can."""
    if not context.dataset.layout.properties:
        return "the dataset has no properties"
    made = [context.made[role] for role in ("train", "val", JUDGED)]
    if any("slots" not in split.arrays for split in made):
        return "there are no slots"
    return "" if all(split.visible.any() for split in made) else "a split shows no object"


def slot_data(made: "Representations") -> "SlotData":
    """What a probe of slots is trained on."""
    from slotbench.evaluation.properties import SlotData

    return SlotData(made.slots, made.overlap, made.visible, made.properties)
