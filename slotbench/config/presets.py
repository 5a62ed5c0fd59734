"""Presets: how large a run is. Each names components and fields; the user may set any other.

Presets are made for the default components; fields that the chosen ones do not have are ignored.
Sections under ``datasets`` replace the preset's own on the dataset of that name, or NAME:VARIANT.
"""

from typing import Any

from slotbench.registry import register

Sections = dict[str, dict[str, Any]]
_SMALL: Sections = {
    "encoder": {"name": "cnn", "channels": 32, "depth": 4},
    "decoder": {"name": "broadcast-full", "channels": 32},
}
"""The paper's networks for Multi-dSprites and Tetrominoes."""


@register(
    "presets",
    name="paper",
    summary="the architecture, optimiser and schedule of the paper: GPU, days",
    source="Locatello et al. 2020, arXiv 2006.15055, Appendix E",
)
def paper() -> Sections:
    """Slot Attention as published (arXiv 2006.15055, Appendix E): GPU, days."""
    return {
        "core": {"width": 64, "mlp_width": 128, "slot_init": "gaussian"},
        "encoder": {"name": "cnn", "channels": 64, "depth": 4},
        "decoder": {"name": "broadcast", "channels": 64},
        "train": {
            "steps": 500_000,
            "batch_size": 64,
            "learning_rate": 4e-4,
            "warmup": 10_000,
            "decay": "exponential",
            "half_life": 100_000,
            "clip": 0.0,
            "val_every": 5_000,
            "picture_every": 20_000,
            "log_every": 100,
        },
        "datasets": {"multi-dsprites": _SMALL, "tetrominoes": _SMALL},
    }


def _of_one_colour(made: Sections) -> dict[str, Sections]:
    """Sections for datasets whose objects have one colour each (docs/log.md, 2026-11-30).

    Exact edges matter there, so the encoder sees single pixels and slots are seeded. Coloured
    sprites differ in colour: keys ignore the position, and attention multiplies the masks. Pieces
    of tetrominoes may share a colour: keys see the position, and the decoder alone draws the masks.
    All binarized sprites share one: they keep the preset's encoder.
    """
    pixels = {"name": "pixels", "channels": made["encoder"]["channels"], "input_deviation": 0.3}
    core = made["core"] | {"seeded": True}
    by_colour = {"iterations": 1, "eval_iterations": 1, "key_position_scale": 0.0}
    attention = {"attend": 1.0, "rise": (0.0, 0.0)}
    sprites: Sections = {
        "core": core | by_colour,
        "encoder": pixels | {"input_mean": 0.5},
        "objective": made["objective"] | attention,
    }
    return {
        "multi-dsprites:colored_on_colored": sprites,
        "multi-dsprites:colored_on_grayscale": sprites,
        "multi-dsprites:binarized": {
            "encoder": made["encoder"] | {"input_mean": 0.3, "input_deviation": 0.45}
        },
        "tetrominoes": {"core": core, "encoder": pixels | {"input_mean": 0.1}},
    }


@register("presets", name="base", summary="one GPU, minutes", source="slotbench, docs/log.md")
def base() -> Sections:
    """``quick`` with twice the width and a full-size target: one GPU, minutes."""
    made = quick()
    made["core"] |= {"width": 64, "mlp_width": 128}
    made["encoder"] |= {"channels": 64, "depth": 3}
    made["decoder"] |= {"channels": 64, "depth": 2}
    made["train"] = {
        "steps": 30_000,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "warmup": 1_000,
        "clip": 0.1,
    }
    return made | {"datasets": _of_one_colour(made)}


@register(
    "presets", name="quick", summary="two CPU cores, minutes", source="slotbench, docs/log.md"
)
def quick() -> Sections:
    """Two CPU cores, minutes; docs/log.md has the experiments behind it."""
    made: Sections = {
        "core": {
            "width": 48,
            "mlp_width": 96,
            "slot_init": "gaussian",
            "gradient": "last",
            "reading": "sum",
            "iterations": 5,
            "eval_iterations": 9,
        },
        "encoder": {"name": "strided-cnn", "channels": 32, "depth": 2},
        "decoder": {"name": "bilinear", "channels": 32, "depth": 1, "size": 32},
        "objective": {"alone": 1.0},
        "train": {
            "steps": 4_000,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "warmup": 300,
            "clip": 0.1,
            "log_every": 25,
            "val_every": 1_000,
            "picture_every": 1_000,
        },
    }
    return made | {"datasets": _of_one_colour(made)}


@register(
    "presets",
    name="background",
    summary="quick, with one slot for the background: reconstruction, two CPU cores, 13 minutes",
    source="slotbench, docs/log.md",
)
def background() -> Sections:
    """``quick``, with attention that agrees with the decoder: one slot has the background.

    Made for ``reconstruction`` of objects that have many colours. Two starts are tried, because
    one draws regions on some seeds.
    """
    made = quick()
    made["core"] |= {"iterations": 3, "seeded": True}
    made["encoder"] |= {"stride": 2}
    prices = {"gather": 0.001, "gather_attention": 0.006, "rise": (0.2, 0.5)}
    made["objective"] = {"alone": 0.3, "agree": 0.003, "plain": 0.1, "shading": 3} | prices
    made["train"] |= {"steps": 6_000, "learning_rate": 0.00389, "starts": 2, "start_steps": 800}
    return made


@register(
    "presets",
    name="tuned",
    summary="the settings that slotbench tune found for the dataset and the objective",
    source="slotbench, docs/suites.md",
)
def tuned() -> Sections:
    """The base of tuned settings, which :mod:`slotbench.config.tuned` holds."""
    return quick()
