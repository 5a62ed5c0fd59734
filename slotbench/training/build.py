"""Builds modules from a configuration; their weights depend on the seed alone."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from slotbench import registry
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
    are made; the objective takes the rest if all names and shapes are the same.
    """
    size = config.dataset.image_size
    sections = config.sections
    try:
        with _building(config, "core", number):
            encoder: nn.Module = _made(
                nn.Module, config.component("encoder"), sections["encoder"], size
            )
            core: Core = _made(Core, config.component("core"), sections["core"], encoder)
        if start is not None:
            _start_core(core, start)
        members = {
            part.name: _objective(config, config.part_section(part), core, teachers, number)
            for part in config.parts
        }
    except ValueError as error:
        raise UserError(f"{error}.", "Change it with --set SECTION.FIELD=VALUE.") from error
    objective = next(iter(members.values()))
    if len(members) > 1:
        from slotbench.objectives.combination import Combination

        weights = tuple(part.weight for part in config.parts)
        objective = Combination(core, members, weights)
    if start is not None:
        own = {name: value.shape for name, value in objective.state_dict().items()}
        if own == {name: value.shape for name, value in start.items()}:
            objective.load_state_dict(start)
    set_steps(objective, config.train.steps)
    return objective


def _building(config: RunConfig, purpose: str, number: int) -> AbstractContextManager[None]:
    return building(config.seed, purpose, *([number] if number else []))


def _start_core(core: Core, start: Mapping[str, Tensor]) -> None:
    own = {name: value for name, value in start.items() if name.startswith("core.")}
    try:
        core.load_state_dict({name.removeprefix("core."): value for name, value in own.items()})
    except RuntimeError as error:
        why = " ".join(str(error).partition(":")[2].split())[:200]
        raise UserError(
            f"--init: the weights do not fit this core: {why}",
            "Set the fields of core and encoder as they are in that run.",
        ) from error


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
            pieces["decoder"] = _made(
                nn.Module,
                config.component("decoder"),
                sections["decoder"],
                sections["core"].width,
                config.dataset.image_size,
            )
        if kind.takes_alignment:
            pieces["alignment"] = registry.get("alignments", str(config.alignment)).load()()
        if kind.takes_layout:
            if not config.dataset.layout:
                raise ValueError("config.json of an older slotbench has no layout")
            pieces["layout"] = Layout.from_json(json.dumps(dict(config.dataset.layout)))
        if kind.takes_teachers:
            from slotbench.cores.teachers import timm_teacher

            pieces["teachers"] = teachers or timm_teacher
        objective: Objective = _made(Objective, kind, core, sections[section], **pieces)
    return objective


def _made(base: type, kind: Any, *values: Any, **more: Any) -> Any:
    """An instance; :class:`UserError` where a plugin's class takes other arguments, or is none."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        made = kind(*values, **more)
    except TypeError as error:
        if kind.__module__.startswith("slotbench."):
            raise
        advice = "docs/own.md shows what each kind takes."
        raise UserError(f"{name} cannot be made: {error}.", advice) from error
    if not isinstance(made, base):
        advice = f"Let it inherit {base.__name__} of {base.__module__}."
        raise UserError(f"{name} is no {base.__name__}.", advice)
    return made


@torch.no_grad()
def check_core(core: Core, images: Tensor) -> None:
    """Check a core's output on a batch of images, float (B, 3, H, W).

    :class:`UserError` names the class and the fault: shapes, values that are not finite, or
    attention that does not sum to 1 over the slots.
    """
    name = f"{type(core).__module__}.{type(core).__qualname__}"
    noise = core.noise(2, torch_generator("check"))
    if noise is not None and getattr(noise, "shape", ())[:2] != (2, core.num_slots):
        said = (
            f"The core {name}: noise(2, generator) gives no (2, {core.num_slots}, D) and not None."
        )
        raise UserError(said, "Return a tensor, or None where the slots start from no noise.")
    for fault in _faults(core.eval()(images), (len(images), core.num_slots, core.config.width)):
        raise UserError(f"The core {name} breaks its contract: {fault}.", "docs/cores.md shows it.")


def check_losses(objective: Objective, losses: Any) -> None:
    """:class:`UserError` with the objective's class where its losses break the contract."""
    fault = ""
    if not (isinstance(losses, Mapping) and "loss" in losses):
        fault = "loss() returns no dictionary with the key 'loss'"
    elif wrong := [key for key, value in losses.items() if not _is_number(value)]:
        fault = f"{wrong[0]!r} of its losses is no tensor with a single real number"
    elif taken := [key for key in losses if not isinstance(key, str) or key in COLUMNS]:
        fault = f"{taken[0]!r} cannot be the name of a loss"
    elif not losses["loss"].requires_grad:
        fault = "its loss does not depend on any weight"
    if fault:
        name = f"{type(objective).__module__}.{type(objective).__qualname__}"
        said = f"The objective {name} breaks its contract: {fault}."
        raise UserError(said, "docs/objectives.md shows it.")


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape == () and not value.is_complex()


def _faults(output: Any, wanted: tuple[int, int, int]) -> Iterator[str]:
    """The faults of a core's output; the shape of its slots should be ``wanted``, (B, K, D)."""
    if not isinstance(output, SlotOutput):
        yield f"it returns {type(output).__name__}, expected SlotOutput"
        return
    for part, values in output._asdict().items():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        if kind not in FLOATS:
            yield f"{part} are {kind}, expected torch.float32"
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
