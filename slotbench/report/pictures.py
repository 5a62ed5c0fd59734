"""What a run's slots look like: image, truth, masks, and what each slot holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.schema import Array, DatasetFile
from slotbench.datasets.sheet import paint
from slotbench.evaluation.segmentation import labels_from_masks
from slotbench.files import replacing
from slotbench.objectives.base import Objective
from slotbench.report.palette import PALETTE
from slotbench.rng import torch_generator

PANEL, GAP, HEADER = 112, 4, 18


def draw_slots(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    indices: Sequence[int],
    path: Path,
    device: torch.device,
) -> Path:
    """One line an image: image, true masks, attention, decoder masks, then every slot.

    A slot has the same colour in every panel. Where there is no decoder, a slot's panel shows
    the image lit by its attention. The objective is put into evaluation mode.
    """
    indices = [index for index in indices if index < dataset.size(split)]
    lines = [
        _line(objective, dataset, split, index, device) for index in indices
    ]  # a line at a time: pictures need no batch, and memory stays small
    slots = objective.core.num_slots
    titles = ["image", "true masks", "attention"]
    titles += ["decoder"] * (len(lines[0]) - len(titles) - slots)
    titles += [f"slot {slot + 1}" for slot in range(slots)]
    sheet = _sheet(lines, titles)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        sheet.save(temporary, format="png")
    return path


@torch.no_grad()
def _line(
    objective: Objective, dataset: DatasetFile, split: str, index: int, device: torch.device
) -> list[Array]:
    objective.eval()
    batch = dataset.read(split, index, index + 1, ("image", "mask"))
    images = torch.from_numpy(batch["image"]).to(device).permute(0, 3, 1, 2).float() / 255
    noise = objective.core.noise(1, torch_generator(0, "pictures", split, index))
    output = objective.core(images, noise)
    decoded = objective.decode(output)
    panels = [batch["image"][0], paint(batch["mask"][0]), _masks(output.attention, images)]
    if decoded is not None:
        panels.append(_masks(decoded.masks, images))
        shares, parts = decoded.masks, decoded.parts[0].clamp(0, 1)
    else:
        shares = output.attention
        parts = images[0].expand(shares.shape[1], -1, -1, -1)
    size = images.shape[2:]
    light = functional.interpolate(shares, size=size, mode="bilinear")[0][:, None]
    parts = functional.interpolate(parts, size=size, mode="bilinear")
    # Where a slot holds nothing its panel is white, so that what it does hold stands out.
    for slot, panel in enumerate(light * parts + (1 - light)):
        panels.append(_framed(_bytes(panel), PALETTE[slot % len(PALETTE)]))
    return panels


def _masks(masks: Tensor, images: Tensor) -> Array:
    """Each slot's share of each pixel, blended in the slots' colours."""
    height, width = images.shape[2:]
    labels = labels_from_masks(masks, (height, width))[0].cpu().numpy()
    colors: Array = PALETTE[labels % len(PALETTE)]
    return colors


def _bytes(panel: Tensor) -> Array:
    return (panel.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _framed(panel: Array, color: Array) -> Array:
    framed = panel.copy()
    edge = max(1, len(panel) // 32)
    framed[:edge], framed[-edge:], framed[:, :edge], framed[:, -edge:] = (color,) * 4
    return framed


def _sheet(lines: list[list[Array]], titles: list[str]) -> Image.Image:
    step = PANEL + GAP
    width, height = len(titles) * step + GAP, HEADER + len(lines) * step + GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((GAP + column * step, 3), title, fill="black")
    for row, line in enumerate(lines):
        for column, panel in enumerate(line):
            picture = Image.fromarray(np.ascontiguousarray(panel))
            picture = picture.resize((PANEL, PANEL), Image.Resampling.NEAREST)
            sheet.paste(picture, (GAP + column * step, HEADER + row * step))
    return sheet
