"""From a configuration to modules, with weights that depend on the seed alone."""

import json
from typing import Any

from torch import nn

from slotbench import registry
from slotbench.config.run_config import RunConfig
from slotbench.cores.core import Core
from slotbench.datasets.format.schema import Layout
from slotbench.errors import UserError
from slotbench.objectives.combination import Combination
from slotbench.objectives.objective import Objective
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
        members = {
            part.name: _objective(config, config.part_section(part), core) for part in config.parts
        }
    except ValueError as error:
        raise UserError(f"{error}.", "Change it with --set SECTION.FIELD=VALUE.") from error
    objective = next(iter(members.values()))
    if len(members) > 1:
        weights = tuple(part.weight for part in config.parts)
        objective = Combination(core, members, weights)
    set_steps(objective, config.train.steps)
    return objective


def set_steps(objective: Objective, steps: int) -> None:
    """Tell an objective, and each part of a combination, how many steps there are."""
    for module in objective.modules():
        if isinstance(module, Objective):
            module.steps = steps


def _objective(config: RunConfig, section: str, core: Core) -> Objective:
    kind, sections = config.component(section), config.sections
    pieces: dict[str, Any] = {}
    with building(config.seed, section):
        if kind.takes_decoder:
            pieces["decoder"] = config.component("decoder")(
                sections["decoder"], sections["core"].width, config.dataset.image_size
            )
        if kind.takes_alignment:
            pieces["alignment"] = registry.get("alignments", str(config.alignment)).load()()
        if kind.takes_layout:
            if not config.dataset.layout:
                raise ValueError("config.json is of an older slotbench and tells no layout")
            pieces["layout"] = Layout.from_json(json.dumps(dict(config.dataset.layout)))
        objective: Objective = kind(core, sections[section], **pieces)
    return objective
