"""Controls: what a number means is seen beside the untrained core."""

from torch import Tensor

from slotbench.cores.core import Core
from slotbench.objectives.objective import NoOptions, Objective, TrainBatch


class Random(Objective):
    """The floor: the core as it was initialised. Nothing is trained."""

    trains = False

    def __init__(self, core: Core, config: NoOptions) -> None:
        super().__init__(core)
        self.config = config

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        """A constant: there is nothing to learn."""
        return {"loss": batch.images.new_zeros(())}
