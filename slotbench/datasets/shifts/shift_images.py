"""Shifts of finished images, as in the code of Dittadi et al. 2022.

A row is an image or a clip; random choices are the same in all frames of a clip. The arrays of a
row have a frame axis, (T, H, W, ...) with T = 1 for images.
"""

import numpy as np
from PIL import Image

from slotbench.datasets.format.schema import NOT_LABELLED, SHIFT_FLAGS, Array, Batch, Layout
from slotbench.datasets.shifts.drawn import flag
from slotbench.rng import numpy_generator

OCCLUSION, TRIES = 0.4, 5
"""Side of the square as a share of the image's; places tried, the emptiest of which is used."""
CROP = 1.5
TURN = (1 / 6, 5 / 6)
"""Turns of the hue: at least a sixth of the circle from where it was."""
COLORFUL = 0.2
"""An object of lower mean saturation has no hue to turn: its saturation becomes TINT."""
TINT = 0.6


def change(batch: Batch, layout: Layout, shift: str, occluder: int, seed: int, start: int) -> Batch:
    """Rows of ``test`` as rows of ``test-<shift>``; the first is row ``start``.

    ``batch`` has every array of the layout, and is not changed. Each new row depends on the old
    one, (seed, shift) and its index alone. ``visible`` follows the masks. As in the authors' code,
    other properties stay as they were, but the colour class of a recoloured object becomes -1.
    """
    made = {key: array.copy() for key, array in batch.items()}
    if shift == "object_color":
        made[SHIFT_FLAGS] = np.zeros_like(batch["visible"])
    lead = layout.frames or 1
    for row in range(len(batch["image"])):
        generator = numpy_generator(seed, "shift", shift, start + row)
        images = made["image"][row].reshape(lead, layout.height, layout.width, 3)
        masks = made["mask"][row].reshape(lead, layout.height, layout.width)
        if shift == "occlusion":
            _occlude(images, masks, occluder, generator)
        elif shift == "crop":
            _crop(images, masks)
        elif shift == "object_color":
            _recolor(made, row, images, masks, generator)
        else:
            raise ValueError(f"{shift!r} is not made on images")
        shown = [(masks == label).any(axis=(1, 2)) for label in range(1, layout.objects + 1)]
        made["visible"][row] = np.stack(shown, axis=-1).reshape(made["visible"][row].shape)
    return made


def _occlude(images: Array, masks: Array, grey: int, generator: np.random.Generator) -> None:
    """Draw a grey square at the one of five places that hides least; it is background."""
    height, width = masks.shape[1:]
    high, wide = int(OCCLUSION * height), int(OCCLUSION * width)
    things = (masks != 0) & (masks != NOT_LABELLED)
    places = generator.integers((height - high + 1, width - wide + 1), size=(TRIES, 2)).tolist()
    every = slice(None)
    squares = [(every, slice(y, y + high), slice(x, x + wide)) for y, x in places]
    square = min(squares, key=lambda where: int(things[where].sum()))
    images[square], masks[square] = grey, 0


def _crop(images: Array, masks: Array) -> None:
    """Enlarge the middle to the full size: images bilinearly, masks by nearest neighbour."""
    height, width = masks.shape[1:]
    inner = int(height // CROP), int(width // CROP)
    # As torchvision's center_crop rounds.
    top, left = round((height - inner[0]) / 2), round((width - inner[1]) / 2)
    box = (left, top, left + inner[1], top + inner[0])
    for array, how in ((images, Image.Resampling.BILINEAR), (masks, Image.Resampling.NEAREST)):
        for frame in range(len(array)):
            picture = Image.fromarray(array[frame]).crop(box)
            array[frame] = np.asarray(picture.resize((width, height), how))


def _recolor(
    batch: Batch, row: int, images: Array, masks: Array, generator: np.random.Generator
) -> None:
    """Turn the hue of one object, a colourful one if possible; a gray one is tinted first."""
    shown = batch["visible"][row].reshape(len(images), -1).any(axis=0)
    order: list[int] = generator.permutation(np.flatnonzero(shown)).tolist()
    turn = float(generator.uniform(*TURN))
    if not order:
        return
    slot = max(order, key=lambda one: _colorful(images[masks == one + 1]))
    pixels = masks == slot + 1
    tinted = not _colorful(images[pixels])
    images[pixels] = turned(images[pixels], turn, TINT if tinted else 0.0)
    flag(batch, row, "object_color", (slot,))


def _colorful(pixels: Array) -> bool:
    from matplotlib.colors import rgb_to_hsv

    return float(rgb_to_hsv(pixels / 255)[:, 1].mean()) >= COLORFUL


def turned(pixels: Array, turn: float, least: float = 0.0) -> Array:
    """Pixels uint8 (n, 3) with the hue turned by ``turn``, and a saturation of at least ``least``.

    A pixel without a hue counts as red.
    """
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hue, saturation, value = rgb_to_hsv(pixels / 255).T
    made = np.stack([(hue + turn) % 1, np.maximum(saturation, least), value], axis=1)
    return np.asarray(np.rint(hsv_to_rgb(made) * 255).astype(np.uint8))
