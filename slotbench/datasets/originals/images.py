"""Images and label images of original files: decoded with limits, cropped, resized.

Files are hostile until read: only PNG and JPEG are decoded, the size in the header is checked
before any pixel is, and whatever a decoder makes of a damaged file is a :class:`UserError` that
names it. Pixels are taken as they are stored: EXIF orientation is ignored, alpha is dropped.
"""

import io
import warnings
from typing import Literal, overload

import numpy as np
from PIL import Image

from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.errors import UserError

LEAST_SIDE, MOST_SIDE = 8, 8192
"""Pixels; a picture of fewer shows nothing, one of more is taken for an attack."""
DAMAGED = "The file is damaged; fetch it again."
# Of a grey PNG with 2 or 4 bits a pixel, Pillow stretches the values to 0 to 255.
_STRETCHED = {2: 85, 4: 17}


def read_image(data: bytes, name: str, *, least: int = LEAST_SIDE, most: int = MOST_SIDE) -> Array:
    """The PNG or JPEG in ``data`` as uint8 (H, W, 3).

    Grey and palette images become RGB; of 16 bits a channel the upper eight are kept; CMYK is
    converted; of an animation the first picture is taken. :class:`UserError` naming ``name``
    where it is neither format, is damaged or truncated, or has a side of under ``least`` or
    over ``most`` pixels.
    """
    image = _decode(data, name, ("PNG", "JPEG"), least, most)
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of palettes with alpha
        return np.array(image.convert("RGB"))


def read_labels(
    data: bytes,
    name: str,
    objects: int = NOT_LABELLED - 1,
    *,
    least: int = LEAST_SIDE,
    most: int = MOST_SIDE,
) -> Array:
    """The label image in ``data`` as uint8 (H, W): 0 to ``objects``, or 255 for not labelled.

    A PNG with a palette (the label is the index, whatever the colour) or in grey with 1 to 16
    bits a pixel (the label is the value). :class:`UserError` naming ``name`` as
    :func:`read_image`, and where it has colours or a label above ``objects``.
    """
    image = _decode(data, name, ("PNG",), least, most)
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise UserError(
            f"{name}: this PNG has colours ({image.mode}); which of them is which label is not "
            "known.",
            "Expected a PNG in grey or with a palette, whose values are the labels.",
        )
    values = np.asarray(image).astype(np.int64)
    bits = data[24]  # of the header, which Pillow has checked
    if image.mode == "L" and bits in _STRETCHED:
        values //= _STRETCHED[bits]
    excess = values[(values > objects) & (values != NOT_LABELLED)]
    if excess.size:
        raise UserError(
            f"{name}: label {excess.max()}, expected 0 to {objects}, or {NOT_LABELLED} for "
            "pixels that are not labelled."
        )
    return values.astype(np.uint8)


def _decode(data: bytes, name: str, formats: tuple[str, ...], least: int, most: int) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF and the like; errors are raised
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = _open(data, formats)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UserError(f"{name}: {_over(most)}.") from error
        except Exception as error:  # decoders of hostile bytes raise errors of every kind
            kinds = " or ".join(formats)
            raise UserError(
                f"{name}: this is no {kinds} image, or its header is damaged.", DAMAGED
            ) from error
        width, height = image.size
        if max(image.size) > most:
            raise UserError(f"{name}: {width}x{height} pixels, {_over(most)}.")
        if min(image.size) < least:
            raise UserError(f"{name}: {width}x{height} pixels, expected at least {least} a side.")
        try:
            if image.format == "PNG":
                # Pillow compares the checksums of pixels here alone, and has to open it again.
                image.verify()
                image = _open(data, formats)
            image.load()
        except Exception as error:
            raise UserError(
                f"{name}: the image is damaged or truncated ({error}).", DAMAGED
            ) from error
    return image


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=formats)


def _over(most: int) -> str:
    return f"larger than the {most:,} a side that are read"


@overload
def fit(image: Array, labels: Array, size: int, crop: float = ...) -> tuple[Array, Array]: ...
@overload
def fit(image: Array, labels: None, size: int, crop: float = ...) -> tuple[Array, None]: ...
def fit(
    image: Array, labels: Array | None, size: int, crop: float = 1.0
) -> tuple[Array, Array | None]:
    """The centre of an image and its labels as squares of ``size`` pixels.

    ``image`` uint8 (H, W, 3), ``labels`` uint8 (H, W) or none; ``crop`` is the square's side as
    a share of the shorter side, in (0, 1]. Images are averaged over areas (bilinear where
    enlarged), labels are those of the nearest pixel. ValueError where the two differ in size.
    """
    height, width = image.shape[:2]
    if labels is not None and labels.shape != (height, width):
        raise ValueError(f"labels {labels.shape[::-1]}, image {(width, height)} pixels")
    side = max(1, round(min(height, width) * crop))
    top, left = (height - side) // 2, (width - side) // 2
    place = (slice(top, top + side), slice(left, left + side))
    picture = resize(image[place], (size, size), "average")
    return picture, None if labels is None else resize(labels[place], (size, size), "nearest")


def resize(image: Array, size: tuple[int, int], how: Literal["average", "nearest"]) -> Array:
    """uint8 (h, w[, 3]) resized to ``size``, which is width and height."""
    if image.shape[1::-1] == size:
        return image
    if how == "nearest":
        method = Image.Resampling.NEAREST
    else:
        # Enlarging by a box would repeat pixels; shrinking by it averages them.
        enlarged = size[0] > image.shape[1]
        method = Image.Resampling.BILINEAR if enlarged else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, method))
