"""Shifts of finished images, as in the code of Dittadi et al. 2022.

A row is an image or a clip, (T, H, W, ...) with T = 1 for images. All frames of a clip change
alike.
"""

import numpy as np

from slotbench.datasets.format.schema import NOT_LABELLED, SHIFT_FLAGS, Array, Batch, Layout, shown
from slotbench.datasets.originals.images import resize
from slotbench.datasets.shifts.kinds import flag
from slotbench.rng import numpy_generator

OCCLUSION, TRIES = 0.4, 5
"""Side of the square as a share of the image's; places tried, of which it takes the emptiest."""
CROP = 1.5
TURN = (1 / 6, 5 / 6)
"""Turns of the hue, as shares of the circle."""
COLORFUL = 0.2
"""An object of lower mean saturation has no hue: its saturation becomes TINT."""
TINT = 0.6


def change(batch: Batch, layout: Layout, shift: str, occluder: int, seed: int, start: int) -> Batch:
    """Rows of ``test`` from ``start`` as rows of ``test-<shift>``.

    ``batch`` has all arrays of the layout, and is not changed. A new row depends on the old one,
    the seed, the shift and its index alone. ``visible`` follows the new masks; as in the authors'
    code, other properties do not change, except for the colour class of a recoloured object (-1).
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
        made["visible"][row] = shown(made["mask"][row], layout.objects) > 0
    return made


def _occlude(images: Array, masks: Array, grey: int, generator: np.random.Generator) -> None:
    """Draw a grey square, which is background, at the place that hides least."""
    height, width = masks.shape[1:]
    high, wide = int(OCCLUSION * height), int(OCCLUSION * width)
    things = (masks != 0) & (masks != NOT_LABELLED)
    places = generator.integers((height - high + 1, width - wide + 1), size=(TRIES, 2)).tolist()
    every = slice(None)
    squares = [(every, slice(y, y + high), slice(x, x + wide)) for y, x in places]
    square = min(squares, key=lambda where: int(things[where].sum()))
    images[square], masks[square] = grey, 0


def _crop(images: Array, masks: Array) -> None:
    """Enlarge the middle: images bilinearly, masks by nearest neighbour."""
    height, width = masks.shape[1:]
    inner = int(height // CROP), int(width // CROP)
    # As torchvision's center_crop rounds.
    top, left = round((height - inner[0]) / 2), round((width - inner[1]) / 2)
    place = slice(top, top + inner[0]), slice(left, left + inner[1])
    for image, mask in zip(images, masks, strict=True):
        image[:] = resize(image[place], (width, height), "average")
        mask[:] = resize(mask[place], (width, height), "nearest")


def _recolor(
    batch: Batch, row: int, images: Array, masks: Array, generator: np.random.Generator
) -> None:
    """Turn the hue of one object: a colourful one, or else a gray one, tinted first."""
    seen = batch["visible"][row].reshape(len(images), -1).any(axis=0)
    order: list[int] = generator.permutation(np.flatnonzero(seen)).tolist()
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
    """Pixels uint8 (n, 3), hue turned by ``turn``, saturation at least ``least``; gray is red."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hue, saturation, value = rgb_to_hsv(pixels / 255).T
    made = np.stack([(hue + turn) % 1, np.maximum(saturation, least), value], axis=1)
    return np.asarray(np.rint(hsv_to_rgb(made) * 255).astype(np.uint8))
