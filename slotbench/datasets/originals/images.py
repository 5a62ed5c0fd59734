"""Images and label images of original files: decoded with limits, cropped, resized.

Only PNG and JPEG are decoded. The size in the header is checked before any pixel is read. Every
failure is a :class:`UserError` that names the file. EXIF orientation is applied; alpha is dropped.
"""

import contextlib
import io
import warnings
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.errors import UserError

LEAST_SIDE, MOST_SIDE = 8, 8192
"""Smallest and largest side in pixels."""
TOO_LARGE = f"larger than the {MOST_SIDE:,} a side that are read"
# Pillow stretches the values of grey PNGs with 2 or 4 bits a pixel to 0 to 255.
_STRETCHED = {2: 85, 4: 17}


class Damaged(UserError):  # noqa: N818  # states a fact about a file
    """An image that cannot be decoded; ``file`` is its name."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(f"{file}: {what}.", "The file is damaged; fetch it again.")
        self.file = file


def read_image(data: bytes, name: str, *, least: int = LEAST_SIDE, upright: bool = True) -> Array:
    """The PNG or JPEG in ``data`` as uint8 (H, W, 3).

    Grey, palette and CMYK images become RGB. Images of 16 bits a channel keep the upper eight.
    The first picture of an animation is taken. ``upright`` applies the EXIF orientation.
    Raises :class:`Damaged` where the data is no whole PNG or JPEG, and :class:`UserError` where
    a side has under ``least`` or over ``MOST_SIDE`` pixels; both name ``name``.
    """
    image = _decode(data, name, ("PNG", "JPEG"), least, upright)
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of palettes with alpha
        return np.array(image.convert("RGB"))


def read_labels(data: bytes, name: str, objects: int = NOT_LABELLED - 1) -> Array:
    """The label image in ``data`` as uint8 (H, W): 0 to ``objects``, or 255 for not labelled.

    Raises as :func:`read_values`, and :class:`UserError` where a label exceeds ``objects``.
    """
    values = read_values(data, name)
    excess = values[(values > objects) & (values != NOT_LABELLED)]
    if excess.size:
        raise UserError(
            f"{name}: label {excess.max()}, expected 0 to {objects}, or {NOT_LABELLED} for "
            "pixels that are not labelled."
        )
    return values.astype(np.uint8)


def read_values(data: bytes, name: str) -> Array:
    """The values of a label image: int64 (H, W), 0 to 65,535.

    It is a PNG with a palette (the value is the index) or in grey with 1 to 16 bits a pixel.
    Raises as :func:`read_image`, and :class:`UserError` where the PNG has colours.
    """
    image = _decode(data, name, ("PNG",))
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise UserError(
            f"{name}: this PNG has colours ({image.mode}); which colour is which object is not "
            "known.",
            "Convert it to a PNG in grey: 0 background, and a number from 1 for each object.",
        )
    values = np.asarray(image).astype(np.int64)
    bits = data[24]  # of the header, which Pillow has checked
    if image.mode == "L" and bits in _STRETCHED:
        values //= _STRETCHED[bits]
    return values


def _decode(
    data: bytes, name: str, formats: tuple[str, ...], least: int = LEAST_SIDE, upright: bool = True
) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF, and sizes that are checked below
        try:
            image = _open(data, formats)
        except Image.DecompressionBombError as error:
            raise UserError(f"{name}: {TOO_LARGE}.") from error
        except Exception as error:  # decoders raise errors of every kind
            kinds = " or ".join(formats)
            raise Damaged(name, f"this is not a {kinds} image, or its header is damaged") from error
        width, height = image.size
        if max(image.size) > MOST_SIDE:
            raise UserError(f"{name}: {width}x{height} pixels, {TOO_LARGE}.")
        if min(image.size) < least:
            raise UserError(f"{name}: {width}x{height} pixels, expected at least {least} a side.")
        try:
            if image.format == "PNG":
                # Only verify() compares the checksums of pixels; then the file is opened again.
                image.verify()
                image = _open(data, formats)
            image.load()
        except Exception as error:
            raise Damaged(name, f"the image is damaged or truncated ({error})") from error
        if upright:
            with contextlib.suppress(Exception):  # damaged EXIF says nothing
                ImageOps.exif_transpose(image, in_place=True)
    return image


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=formats)


def fit(image: Array, labels: Array, size: int, crop: float = 1.0) -> tuple[Array, Array]:
    """The centre of an image uint8 (H, W, 3) and its labels uint8 (H, W), as squares.

    ``crop`` is the square's side as a share of the shorter side, in (0, 1]; ``size`` is the side
    of the result in pixels. Images are averaged over areas (bilinear where enlarged), labels take
    the nearest pixel.
    """
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * crop))
    top, left = (height - side) // 2, (width - side) // 2
    place = (slice(top, top + side), slice(left, left + side))
    whole = (size, size)
    return resize(image[place], whole, "average"), resize(labels[place], whole, "nearest")


def resize(image: Array, size: tuple[int, int], how: Literal["average", "nearest"]) -> Array:
    """Resizes uint8 (h, w[, 3]) to ``size``: width and height."""
    if image.shape[1::-1] == size:
        return image
    if how == "nearest":
        method = Image.Resampling.NEAREST
    else:
        # Enlarging by a box would repeat pixels; shrinking by it averages them.
        enlarged = size[0] > image.shape[1]
        method = Image.Resampling.BILINEAR if enlarged else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, method))
