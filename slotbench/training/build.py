"""Builds modules from a configuration; their weights depend on the seed alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from slotbench import plugins, registry
from slotbench.config.run_config import RunConfig
from slotbench.cores.core import Core, SlotOutput
from slotbench.datasets.format.schema import Layout
from slotbench.errors import UserError
from slotbench.objectives.objective import Objective
from slotbench.rng import building, torch_generator

if TYPE_CHECKING:
    from slotbench.cores.teachers import Teachers

SUM_TOLERANCE = 0.02
"""Tolerance of the sum of attention over slots: bfloat16 has two to three digits."""
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
COLUMNS = ("step", "gradient", "learning_rate", "val_loss", "finite")
"""What the loop logs beside the losses."""


def build(
    config: RunConfig,
    teachers: "Teachers | None" = None,
    start: Mapping[str, Tensor] | None = None,
    number: int = 0,
) -> Objective:
    """The objective with its core, on the CPU; :class:`UserError` where fields do not fit together.

    A core starts from the same weights under every objective of a seed; another ``number`` draws
    others. ``teachers`` loads the frozen network of an objective that asks for one.

    ``start`` holds the weights of another run. The core takes its weights before momentum copies
    are made; the objective takes the rest if all names, shapes and types are the same.
    """
    size = config.dataset.image_size
    sections = config.sections
    try:
        with _building(config, "core", number):
            given = {"config": sections["encoder"], "image_size": size}
            encoder: nn.Module = _made(config.component("encoder"), given)
            given = {"config": sections["core"], "encoder": encoder}
            core: Core = _made(config.component("core"), given, keeps=("config", "encoder"))
        if start is not None:
            _start_core(core, start)
        members = {
            part.name: _objective(config, config.part_section(part), core, teachers, number)
            for part in config.parts
        }
    except ValueError as error:
        said, advice = f"{error}.", "Change it with --set SECTION.FIELD=VALUE"
        if fault := plugins.blamed(error):
            said, advice = fault.message, f"{advice}, or mend the plugin"
        raise UserError(said, f"{advice}.") from error
    objective = next(iter(members.values()))
    if len(members) > 1:
        from slotbench.objectives.combination import Combination

        weights = tuple(part.weight for part in config.parts)
        objective = Combination(core, members, weights)
    if start is not None:
        own, given = (
            {name: (value.shape, value.dtype) for name, value in state.items()}
            for state in (objective.state_dict(), start)
        )
        if own == given:
            objective.load_state_dict(start)
    set_steps(objective, config.train.steps)
    return objective


def _building(config: RunConfig, purpose: str, number: int) -> AbstractContextManager[None]:
    return building(config.seed, purpose, *([number] if number else []))


def _start_core(core: Core, start: Mapping[str, Tensor]) -> None:
    own = {name: value for name, value in start.items() if name.startswith("core.")}
    try:
        fill(core, {name.removeprefix("core."): value for name, value in own.items()})
    except RuntimeError as error:
        said = str(error).removeprefix(f"Error(s) in loading state_dict for {type(core).__name__}:")
        why = " ".join(said.split())[:200]
        raise UserError(
            f"--init: the weights do not fit this core: {why}",
            "Set the fields of core and encoder as they are in that run.",
        ) from error


def fill(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights; RuntimeError where a name, shape or type differs. torch converts types."""
    for name, own in module.state_dict().items():
        if name in weights and weights[name].dtype != own.dtype:
            raise RuntimeError(f"{name} is {weights[name].dtype}, not {own.dtype}")
    module.load_state_dict(weights)


def set_steps(objective: Objective, steps: int) -> None:
    """Tell an objective, and each part of a combination, how many steps there are."""
    for module in objective.modules():
        if isinstance(module, Objective):
            module.steps = steps


def _objective(
    config: RunConfig, section: str, core: Core, teachers: "Teachers | None", number: int
) -> Objective:
    kind, sections = config.component(section), config.sections
    pieces: dict[str, Any] = {}
    with _building(config, section, number):
        if kind.takes_decoder:
            given = {"config": sections["decoder"], "width": sections["core"].width}
            given |= {"image_size": config.dataset.image_size}
            pieces["decoder"] = _made(config.component("decoder"), given)
        if kind.takes_alignment:
            pieces["alignment"] = registry.get("alignments", str(config.alignment)).load()()
        if kind.takes_layout:
            if not config.dataset.layout:
                raise ValueError("config.json of an older slotbench has no layout")
            pieces["layout"] = Layout.from_json(json.dumps(dict(config.dataset.layout)))
        if kind.takes_teachers:
            from slotbench.cores.teachers import timm_teacher

            pieces["teachers"] = teachers or timm_teacher
        given = {"core": core, "config": sections[section]}
        objective: Objective = _made(kind, given, keeps=("core",), **pieces)
    return objective


def _made(kind: Any, given: Mapping[str, Any], keeps: Iterable[str] = (), **more: Any) -> Any:
    """An instance, whose constructor gets the values ``given`` by place and ``more`` by name.

    :class:`UserError` where a plugin's class takes others, or does not keep these attributes.
    """
    try:
        made = kind(*given.values(), **more)
    except TypeError as error:
        if kind.__module__.startswith("slotbench.") or plugins.blamed(error):
            raise
        said = f"{registry.called(kind)} cannot be made: {error}."
        advice = f"Write: def __init__(self, {', '.join([*given, *more])})"
        raise UserError(said, advice) from error
    for name in keeps:
        if getattr(made, name, None) is not given[name]:
            said = f"{registry.called(kind)} does not keep its {name!r}."
            raise UserError(said, "Pass it to super().__init__(), first thing in the constructor.")
    return made


@torch.no_grad()
def check_core(core: Core, images: Tensor) -> None:
    """Check a core's output on a batch of images, float (B, 3, H, W).

    :class:`UserError` names the class and the fault: shapes, values that are not finite, or
    attention that does not sum to 1 over the slots.
    """
    name = registry.called(type(core))
    noise = core.noise(2, torch_generator("check"))
    if noise is not None and getattr(noise, "shape", ())[:2] != (2, core.num_slots):
        said = f"The core {name}: noise(2, generator) gives {_kind(noise)}, "
        said += f"expected a tensor (2, {core.num_slots}, D), or None."
        raise UserError(said, "None means that the slots start from no noise.")
    for fault in _faults(core.eval()(images), (len(images), core.num_slots, core.config.width)):
        raise UserError(f"The core {name} breaks its contract: {fault}.", "docs/cores.md shows it.")


def check_losses(objective: Objective, losses: Any) -> None:
    """:class:`UserError` with the objective's class where its losses break the contract."""
    fault = ""
    if not (isinstance(losses, Mapping) and "loss" in losses):
        fault = "loss() returns no dictionary with the key 'loss'"
    elif wrong := {key: value for key, value in losses.items() if not _is_number(value)}:
        key, value = next(iter(wrong.items()))
        fault = f"{key!r} of its losses is {_kind(value)}, expected a real tensor of shape ()"
    elif taken := [key for key in losses if not isinstance(key, str) or key in COLUMNS]:
        fault = f"{taken[0]!r} cannot be the name of a loss"
    elif not losses["loss"].requires_grad:
        fault = "its loss does not depend on any weight"
    if fault:
        said = f"The objective {registry.called(type(objective))} breaks its contract: {fault}."
        raise UserError(said, 'For example: return {"loss": tensor, "part": tensor}')


def _kind(value: Any) -> str:
    """``torch.float32 (2, 3)``, or the type of what is no tensor."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    return type(value).__name__


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape == () and not value.is_complex()


def _faults(output: Any, wanted: tuple[int, int, int]) -> Iterator[str]:
    """The faults of a core's output; the shape of its slots should be ``wanted``, (B, K, D)."""
    if not isinstance(output, SlotOutput):
        yield f"it returns {type(output).__name__}, expected SlotOutput"
        return
    for part, values in output._asdict().items():
        if not isinstance(values, Tensor) or values.dtype not in FLOATS:
            yield f"{part} are {_kind(values)}, expected torch.float32"
            return
    slots, attention, features = output
    batch, count, _ = wanted
    if tuple(slots.shape) != wanted:
        yield f"slots have shape {tuple(slots.shape)}, expected {wanted}"
    if attention.ndim != 4 or tuple(attention.shape[:2]) != (batch, count):
        yield f"attention has shape {tuple(attention.shape)}, expected ({batch}, {count}, H', W')"
    positions = attention.shape[2] * attention.shape[3]
    if features.ndim != 3 or tuple(features.shape[:2]) != (batch, positions):
        yield f"features have shape {tuple(features.shape)}, expected ({batch}, {positions}, F)"
    for part, values in output._asdict().items():
        if not bool(torch.isfinite(values).all()):
            yield f"{part} are not finite"
    attention = attention.float()
    off = float((attention.sum(dim=1) - 1).abs().max())
    if off > SUM_TOLERANCE or float(attention.min()) < -SUM_TOLERANCE:
        yield f"attention does not sum to 1 over the slots (off by {off:.3g})"
