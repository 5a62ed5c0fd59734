"""Controls: what a number means is seen beside the untrained core."""

from torch import Tensor

from slotbench.cores.core import Core
from slotbench.fields import NoOptions
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.registry import register


@register("objectives")
class Random(Objective):
    """The floor: the core as it was initialised. Nothing is trained."""

    name = "random"
    summary = "the untrained core: the floor"
    source = "control"
    family = "control"

    trains = False

    def __init__(self, core: Core, config: NoOptions) -> None:
        super().__init__(core)
        self.config = config

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        """A constant: there is nothing to learn."""
        return {"loss": batch.images.new_zeros(())}
