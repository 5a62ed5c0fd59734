"""Several objectives on one core: ``reconstruction+simclr:0.1``."""

from dataclasses import replace

from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.views import Views
from slotbench.fields import NoOptions
from slotbench.objectives.objective import Objective, TrainBatch


class Combination(Objective):
    """The weighted sum of objectives on one core, each with views of its own.

    The parts share the core, which belongs to the combination's ``state_dict`` alone; each
    part's own weights stand under ``members.<number>``.
    """

    Config = NoOptions

    def __init__(self, core: Core, parts: dict[str, Objective], weights: tuple[float, ...]) -> None:
        super().__init__(core)
        self.names, self.weights = tuple(parts), weights
        self.members = nn.ModuleList(parts.values())
        for part in parts.values():
            # No second entry in the state dict for what is one and the same module.
            del part._modules["core"]
            part.__dict__["core"] = core
        self.views = sum(part.views for part in parts.values())  # type: ignore[misc]
        self.temporal = any(part.temporal for part in parts.values())  # type: ignore[misc]
        self.reads = tuple(dict.fromkeys(key for part in parts.values() for key in part.reads))

    @property
    def parts(self) -> list[Objective]:
        return [part for part in self.members if isinstance(part, Objective)]

    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        total = batch.images.new_zeros(())
        logged: dict[str, Tensor] = {}
        first = 0
        for name, weight, part in zip(self.names, self.weights, self.parts, strict=True):
            own = slice(first, first := first + part.views)
            views = Views(*(values[own] for values in batch.views)) if batch.views else None
            made = part.loss(replace(batch, views=views if part.views else None))
            total = total + weight * made["loss"]
            logged |= {f"{name}/{key}": value.detach() for key, value in made.items()}
        return {"loss": total, **logged}

    def after_step(self, step: int) -> None:
        for part in self.parts:
            part.after_step(step)

    def decode(self, output: SlotOutput, images: Tensor) -> Decoded | None:
        decoded = (part.decode(output, images) for part in self.parts)
        return next((made for made in decoded if made is not None), None)

    def predictor_masks(self, images: Tensor, output: SlotOutput | None = None) -> Tensor | None:
        masks = (part.predictor_masks(images, output) for part in self.parts)
        return next((made for made in masks if made is not None), None)
