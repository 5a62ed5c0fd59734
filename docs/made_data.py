"""Slots whose content is known, and what slotbench's probes make of them."""

from functools import cache

import numpy as np
import torch

from slotbench.datasets.format.schema import PALETTE, Layout, Property
from slotbench.evaluation.decoder_probe import train_decoder
from slotbench.evaluation.masks import labels_from_masks
from slotbench.evaluation.properties import property_results
from slotbench.evaluation.result import Result
from slotbench.evaluation.segmentation import scores
from slotbench.evaluation.slot_probes import Kind, SlotData, predict, train_probes
from slotbench.rng import numpy_generator

Array = np.ndarray
COLORS = ("red", "green", "blue", "yellow")
LAYOUT = Layout(
    64,
    64,
    5,
    (
        Property("color", "categorical", classes=COLORS),
        Property("position", "numeric", dim=2, unit="x and y in [0, 1]"),
    ),
)
OBJECTS, SLOTS, STEPS = 5, 6, 3_000
CONTENTS = ("own", "neighbour", "noise")


def make(n: int, seed: str, content: str, slots: int = SLOTS) -> SlotData:
    """n images of three to five objects; slot i has the mask of object i.

    ``content`` says what the slot holds: the properties of its ``own`` object, those of the
    next object of the image (``neighbour``), or ``noise``. With fewer slots than objects the
    last objects have none.
    """
    draw = numpy_generator("docs", seed)
    count = draw.integers(3, OBJECTS + 1, (n, 1))
    visible = np.arange(OBJECTS) < count
    color = np.where(visible, draw.integers(0, len(COLORS), (n, OBJECTS)), -1)
    position = draw.random((n, OBJECTS, 2)) * visible[:, :, None]
    held = (
        np.concatenate([np.eye(len(COLORS) + 1)[color][:, :, :-1], 2 * position - 1], axis=2)
        * visible[:, :, None]
    )
    if content == "neighbour":
        after = np.where(visible, (np.arange(OBJECTS) + 1) % count, np.arange(OBJECTS))
        held = np.take_along_axis(held, after[:, :, None], axis=1)
    elif content == "noise":
        held = draw.normal(size=held.shape)
    filled = np.zeros((n, max(slots, OBJECTS), held.shape[2]), np.float32)
    filled[:, :OBJECTS] = 4 * held
    overlap = np.zeros((n, filled.shape[1], OBJECTS), np.float32)
    overlap[:, :OBJECTS] = np.eye(OBJECTS) * visible[:, None, :]
    return SlotData(
        filled[:, :slots],
        overlap[:, :slots],
        visible,
        {"color": color.astype(np.int16), "position": position.astype(np.float32)},
    )


@cache
def probe(content: str, protocol: str, slots: int = SLOTS, steps: int = STEPS) -> dict[str, Result]:
    """The results of the linear probe on such slots."""
    train, val, test = (
        make(n, split, content, slots)
        for n, split in ((2_000, "train"), (300, "val"), (500, "test"))
    )
    kinds: tuple[Kind, ...] = (protocol,)  # type: ignore[assignment]
    (trained,) = train_probes(train, val, LAYOUT, seed=0, kinds=kinds, steps=steps).values()
    return property_results(predict(trained, test), test.visible, seed=0)


def shown(result: Result) -> str:
    """Two digits, and no minus before a zero."""
    text = f"{result.value:.2f}"
    return text.lstrip("-") if float(text) == 0 else text


def protocol_table(steps: int = STEPS) -> str:
    """The table of docs/evaluation.md: what each protocol says of slots of known content."""
    said = {
        "own": "its own object's properties",
        "neighbour": "those of another object of the image",
        "noise": "noise",
    }
    lines = ["| each slot holds | protocol | color, accuracy | position, R2 |", "|---|---|---|---|"]
    for content, text in said.items():
        for protocol in ("mask", "loss"):
            found = probe(content, protocol, steps=steps)
            values = " | ".join(shown(found[name]) for name in ("color", "position"))
            lines.append(f"| {text} | `{protocol}` | {values} |")
    return "\n".join(lines)


def few_slots_table(steps: int = STEPS) -> str:
    """Three slots for up to five objects: those left over as wrong, and dropped."""
    lines = [
        "| objects without a slot | objects | color, accuracy | position, R2 |",
        "|---|---|---|---|",
    ]
    found = probe("own", "mask", slots=3, steps=steps)
    for text, suffix in (
        ("count as wrong (`.../color`)", ""),
        ("are dropped (`.../color/dropped`)", "/dropped"),
    ):
        values = [found[name + suffix] for name in ("color", "position")]
        numbers = " | ".join(shown(one) for one in values)
        lines.append(f"| {text} | {values[0].n:,} | {numbers} |")
    return "\n".join(lines)


def discs(n: int, seed: str, content: str) -> tuple[Array, Array, Array]:
    """Slots float32 (n, 4, 16), images uint8 (n, 32, 32, 3), masks uint8: three discs on grey.

    A slot holds the place and colour of its ``own`` disc, or the ``mean`` of all of them; the
    last slot holds the brightness of the ground.
    """
    draw = numpy_generator("docs", "discs", seed)
    cell = np.stack([draw.permutation(9)[:3] for _ in range(n)])
    place = np.stack([cell % 3, cell // 3], axis=2) * 10 + draw.uniform(4, 8, (n, 3, 2))
    color = draw.integers(0, 3, (n, 3))
    rows, columns = np.mgrid[:32, :32]
    bright = draw.uniform(-1, 1, n)
    ground = (150 + 60 * bright).astype(np.uint8)[:, None, None, None]
    images, masks = np.tile(ground, (1, 32, 32, 3)), np.zeros((n, 32, 32), np.uint8)
    for index in range(3):
        x, y = place[:, index].T[:, :, None, None]
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= 16
        masks[inside] = index + 1
        images[inside] = PALETTE[[4, 5, 2]][color[:, index]][inside.nonzero()[0]]
    held = np.concatenate([place / 16 - 1, np.eye(3)[color]], axis=2)
    if content == "mean":
        held = np.broadcast_to(held.mean(axis=1, keepdims=True), held.shape)
    held = np.concatenate([held, np.zeros((n, 3, 2))], axis=2)
    last = np.stack([bright, np.ones(n)], axis=1)
    held = np.concatenate([held, np.pad(last, ((0, 0), (5, 0)))[:, None]], axis=1)
    spread = numpy_generator("docs", "discs", "spread").normal(size=(7, 16))
    return (held @ spread).astype(np.float32), images, masks


def decoded(content: str, steps: int = 700) -> tuple[Array, Array, Array, float]:
    """Of a frozen decoder: a test image, its truth, the decoder's labels; FG-ARI of 100 images."""
    slots, images, _ = discs(1_000, "train", content)
    targets = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    decoder = train_decoder(slots, targets, seed=0, steps=steps)
    slots, images, masks = discs(100, "test", content)
    with torch.no_grad():
        labels = labels_from_masks(decoder(torch.from_numpy(slots)).masks, (32, 32))
    found = scores(labels, torch.from_numpy(masks), slots.shape[1])["fg_ari"]
    return images[0], masks[0], labels[0].numpy(), float(found.mean())


TABLES = {"protocols": protocol_table, "left over": few_slots_table}
