"""``slotbench export-model``: a trained core as safetensors, with a model card.

The card's code builds the core from its classes, without ``config.json`` or the registry, and
reads the outputs of the encoder's layers.
"""

import dataclasses
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.files import read_document, replacing_folder
from slotbench.results.documents import Evaluation
from slotbench.results.leaderboard.formats import markdown_text
from slotbench.results.leaderboard.wording import DEFAULT_METRICS
from slotbench.trained.frozen import FrozenCore

MODEL, CARD = "model.safetensors", "README.md"
_CARD = """---
library_name: slotbench
tags: [object-centric-learning, slot-attention]
---

# {title}

A {core} core with the encoder {encoder}, trained by the objective {objective} on {data}:
{steps:,} steps of {batch} images of {size} pixels, seed {seed}. It turns an image into
{slots} slots of width {width}. Run {run} of slotbench {version}.

{scores}

## Use

`pip install slotbench safetensors`. In the folder of `{model}`:

```python
{code}
```

`output.slots` is (B, {slots}, {width}). `output.attention` sums to 1 over the slots at each
position. `output.features` is the encoder's output at each position.

## Features of the encoder

```python
{hooks}
```

For one image:

{layers}
"""
_CODE = """import torch
from safetensors.torch import load_file
{imports}

encoder = {encoder}
core = {core}
core.load_state_dict(load_file("{model}"))
core.eval().requires_grad_(False)

images = torch.rand(2, 3, {size}, {size})  # in [0, 1]
noise = core.noise(len(images), torch.Generator().manual_seed(0))
output = core(images, noise)"""
_HOOKS = """def features(images, *names):
    found, layers = {}, dict(core.encoder.named_modules())

    def keep(name):
        return lambda layer, inputs, output: found.update({name: output})

    handles = [layers[name].register_forward_hook(keep(name)) for name in names]
    core.encoder(images)
    for handle in handles:
        handle.remove()
    return found"""


def export(model: FrozenCore, out: Path, *, force: bool = False) -> list[Path]:
    """Write the weights of the core and its card into the folder ``out``, whole or not at all.

    :class:`UserError` where a class of the core comes from a plugin's file, which nobody else
    can import.
    """
    card = _card(model)
    state = {name: value.contiguous().cpu() for name, value in model.core.state_dict().items()}
    facts = {"format": "pt", "run": model.run.id, "slotbench": __version__}
    with replacing_folder(out, (MODEL, CARD), force=force) as made:
        # save_file() would make a file that its owner alone can read.
        (made / MODEL).write_bytes(safetensors.torch.save(state, facts))
        (made / CARD).write_text(card, encoding="utf-8")
    return [out / MODEL, out / CARD]


def _card(model: FrozenCore) -> str:
    config, core = model.config, model.core
    names = {key: markdown_text(str(value)) for key, value in config.names.items()}
    classes = [type(core), type(core.config), type(core.encoder), type(config.sections["encoder"])]
    for kind in classes:
        if kind.__module__.startswith("slotbench_plugin_"):
            raise UserError(
                f"{kind.__name__} comes from a plugin's file; no one could load the exported core.",
                "Make the plugin a package (examples/plugin) and install it.",
            )
    size = model.image_size
    code = _CODE.format(
        imports="\n".join(
            sorted({f"from {kind.__module__} import {kind.__name__}" for kind in classes})
        ),
        encoder=f"{classes[2].__name__}({_call(_own_weights(config.sections['encoder']))}, {size})",
        core=f"{classes[0].__name__}({_call(core.config)}, encoder)",
        model=MODEL,
        size=size,
    )
    data = markdown_text(config.dataset.reference)
    return _CARD.format(
        title=f"{names['core']} + {names['objective']} on {data}",
        **{key: names[key] for key in ("core", "encoder", "objective")},
        data=f"{data} ({markdown_text(config.dataset.origin)})",
        steps=config.train.steps,
        batch=config.train.batch_size,
        seed=config.seed,
        size=size,
        slots=core.num_slots,
        width=core.config.width,
        run=model.run.id,
        version=__version__,
        scores=_scores(model),
        model=MODEL,
        code=code,
        hooks=_HOOKS,
        layers=_layers(core.encoder, size),
    )


def _call(options: Any) -> str:
    """The expression for a section of the configuration."""
    values = {item.name: getattr(options, item.name) for item in dataclasses.fields(options)}
    given = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return f"{type(options).__name__}({given})"


def _own_weights(options: Any) -> Any:
    """The encoder's section without pretrained weights: the exported file holds all."""
    changed = {"pretrained": False, "weights": None}
    known = {name: value for name, value in changed.items() if hasattr(options, name)}
    return dataclasses.replace(options, **known)


def _scores(model: FrozenCore) -> str:
    file = model.run.evaluation
    if not file.is_file():
        return "It was not evaluated."
    judged = read_document(file, Evaluation)
    lines = [
        f"| {key} | {value:.3f} |"
        for key, found in judged.metrics.items()
        if key in DEFAULT_METRICS and (value := found["value"]) is not None
    ]
    head = f"| {judged.split}, {judged.images:,} images | value |"
    return "\n".join([head, "|---|---|", *lines])


@torch.no_grad()
def _layers(encoder: nn.Module, size: int) -> str:
    """A table of the encoder's layers that give one tensor, with its shape for one image."""
    shapes: dict[str, str] = {}

    def note(name: str, output: object) -> None:
        if name and isinstance(output, Tensor):
            shapes[name] = str(tuple(output.shape))

    handles = [
        layer.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, layer in encoder.named_modules()
    ]
    encoder(torch.zeros(1, 3, size, size, device=next(encoder.parameters()).device))
    for handle in handles:
        handle.remove()
    lines = [f"| `{name}` | {shape} |" for name, shape in shapes.items()]
    return "\n".join(["| name | shape |", "|---|---|", *lines])
