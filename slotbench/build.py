"""From a configuration to modules, with weights that depend on the seed alone."""

from typing import Any

from torch import nn

from slotbench import registry
from slotbench.config import RunConfig
from slotbench.cores.base import Core
from slotbench.errors import UserError
from slotbench.objectives.base import Objective
from slotbench.rng import building


def build(config: RunConfig) -> Objective:
    """The objective with its core, on the CPU.

    A core starts from the same weights under every objective of a seed. Raises
    :class:`UserError` where fields do not fit together.
    """
    size = config.dataset.image_size
    sections = config.sections
    try:
        with building(config.seed, "core"):
            encoder: nn.Module = config.component("encoder")(sections["encoder"], size)
            core: Core = config.component("core")(sections["core"], encoder)
        pieces: dict[str, Any] = {}
        kind = config.component("objective")
        with building(config.seed, "objective"):
            if kind.takes_decoder:
                pieces["decoder"] = config.component("decoder")(
                    sections["decoder"], sections["core"].width, size
                )
            if kind.takes_alignment:
                pieces["alignment"] = registry.get("alignments", str(config.alignment)).load()()
            objective: Objective = kind(core, sections["objective"], **pieces)
    except ValueError as error:
        raise UserError(f"{error}.", "Change it with --set SECTION.FIELD=VALUE.") from error
    return objective
