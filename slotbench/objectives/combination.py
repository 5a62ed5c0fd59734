"""Several objectives on one core: ``reconstruction+simclr:0.1``."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.views import Views
from slotbench.objectives.objective import Objective, TrainBatch


class Combination(Objective):
    """The weighted sum of objectives on one core, each with views of its own.

    The state dict holds the core once, under ``core``, and each part's own weights under
    ``members.<number>``.
    """

    def __init__(self, core: Core, parts: dict[str, Objective], weights: tuple[float, ...]) -> None:
        super().__init__(core)
        self.names, self.weights, self.parts = tuple(parts), weights, tuple(parts.values())
        self.members = nn.ModuleList(self.parts)
        self.register_state_dict_post_hook(_drop_copies)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_restore_copies)  # type: ignore[no-untyped-call]
        self.views = sum(part.views for part in parts.values())  # type: ignore[misc]
        self.temporal = any(part.temporal for part in parts.values())  # type: ignore[misc]
        self.reads = tuple(dict.fromkeys(key for part in parts.values() for key in part.reads))

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


def _copies(module: nn.Module, prefix: str, keys: Iterable[str]) -> dict[str, str]:
    """Keys of the parts' cores in a state dict -> the core's own key of the same value."""
    assert isinstance(module, Combination)
    own = f"{prefix}core."
    return {
        f"{prefix}members.{number}.core.{key.removeprefix(own)}": key
        for key in keys
        if key.startswith(own)
        for number in range(len(module.members))
    }


def _drop_copies(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for copied in _copies(module, prefix, list(state)):
        state.pop(copied, None)


def _restore_copies(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state.update({copied: state[key] for copied, key in _copies(module, prefix, state).items()})
