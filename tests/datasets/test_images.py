"""Decoding of images and label images that may be anything."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from slotbench.datasets.originals.images import fit, read_image, read_labels
from slotbench.errors import UserError
from tests.datasets.originals_images import chunk, png, rows_of

COLORS = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)


def encode(image, form="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


GREY = COLORS[..., 0]
SHOWN = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
COUNTED = np.arange(120).reshape(10, 12)
DEEP = 500 * COUNTED
TURNED = Image.Exif()
TURNED[0x0112] = 6  # the camera was turned: show it turned clockwise


def stored(values, bits, color, *chunks):
    height, width = values.shape
    return png(
        rows_of(values, bits), width // (3 if color == 2 else 1), height, bits, color, *chunks
    )


def grey(values):
    return np.stack([values] * 3, axis=-1)


PIXELS = {
    "colours": (encode(Image.fromarray(COLORS)), COLORS),
    "grey": (encode(Image.fromarray(GREY)), grey(GREY)),
    # Alpha is dropped and never blended.
    "alpha": (encode(Image.fromarray(np.dstack([COLORS, 0 * GREY]))), COLORS),
    "palette": (
        stored(
            COUNTED % 3, 8, 3, b"PLTE" + bytes(SHOWN.ravel().tolist()), b"tRNS" + bytes([0, 9, 255])
        ),
        SHOWN[COUNTED % 3],
    ),
    # Of 16 bits the upper eight are kept.
    "deep grey": (stored(DEEP, 16, 0), grey(DEEP >> 8)),
    "deep colours": (stored(np.repeat(DEEP, 3, axis=1), 16, 2), grey(DEEP >> 8)),
    "turned": (encode(Image.fromarray(COLORS), exif=TURNED), np.rot90(COLORS, -1)),
}


@pytest.mark.parametrize("case", PIXELS)
def test_pixels_are_those_that_were_stored(case):
    data, expected = PIXELS[case]
    np.testing.assert_array_equal(read_image(data, "x"), expected)


def test_a_jpeg_is_read_and_its_orientation_may_be_left():
    jpeg = read_image(encode(Image.fromarray(COLORS * 0 + 90), "JPEG", quality=95), "x")
    assert abs(jpeg.astype(int) - 90).max() <= 1
    assert (jpeg.shape, jpeg.dtype) == (COLORS.shape, np.uint8)
    np.testing.assert_array_equal(read_image(PIXELS["turned"][0], "x", upright=False), COLORS)


@pytest.mark.parametrize(
    ("bits", "color"), [(bits, color) for bits in (1, 2, 4, 8, 16) for color in (0, 3)][:-1]
)
def test_labels_are_grey_values_or_the_indices_of_any_palette(bits, color):
    values = COUNTED % min(2**bits, 120)
    palette = [b"PLTE" + bytes(7 for _ in range(3 * min(2**bits, 256)))] if color else []
    np.testing.assert_array_equal(read_labels(stored(values, bits, color, *palette), "x"), values)


def test_labels_above_the_most_are_refused_and_255_is_not_labelled():
    values = np.full((8, 8), 255)
    values[0, 0] = 7
    data = stored(values, 8, 0)
    np.testing.assert_array_equal(read_labels(data, "x", 7), values)
    with pytest.raises(UserError, match=r"a/b\.png: label 7, expected 0 to 6, or 255"):
        read_labels(data, "a/b.png", 6)
    with pytest.raises(UserError, match="x: label 25500, expected 0 to 254"):
        read_labels(stored(values * 100, 16, 0), "x")


def changed_pixel():
    data = bytearray(stored(GREY, 8, 0))
    data[data.index(b"IDAT") + 30] ^= 4
    return bytes(data)


SIZES = {(30_000, 10): "x: .*larger than the 8,192", (0, 10): "x: .*header is damaged"}
SIZES |= {(2**31 - 1,) * 2: "larger than", (1, 1): "x: 1x1 pixels, expected at least 8 a side"}
WHOLE = [encode(Image.fromarray(array)) for array in (COLORS, GREY // 9)]
WHOLE += [encode(Image.fromarray(COLORS).quantize(9)), encode(Image.fromarray(COLORS), "JPEG")]
REFUSED = [
    *((png(b"\0\0", *side, 8, 0), what, (read_image, read_labels)) for side, what in SIZES.items()),
    (encode(Image.fromarray(COLORS)), r"x: this PNG has colours \(RGB\)", (read_labels,)),
    (encode(Image.fromarray(GREY), "JPEG"), "x: this is not a PNG", (read_labels,)),
    (encode(Image.fromarray(COLORS), "GIF"), "x: this is not a PNG or JPEG", (read_image,)),
    (changed_pixel(), "x: the image is damaged or truncated", (read_image,)),  # by its checksum
    *((data[: len(data) // 2], "x: .*damaged", (read_image,)) for data in WHOLE),
    (b"", "x: this is not a PNG or JPEG", (read_image,)),
]


@pytest.mark.parametrize(("data", "what", "readers"), REFUSED)
def test_what_is_no_such_image_is_refused(data, what, readers):
    for reader in readers:
        with pytest.raises(UserError, match=what):
            reader(data, "x")


def test_what_unpacks_to_far_more_than_it_says_costs_nothing():
    engine = zlib.compressobj(1)
    rows = rows_of(GREY, 8)
    packed = engine.compress(rows) + b"".join(engine.compress(bytes(1 << 20)) for _ in range(100))
    packed += engine.flush()
    parts = png(rows, 12, 10, 8, 0).split(b"IDAT")
    pixels = parts[0][:-4] + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    text = png(rows, 12, 10, 8, 0, b"zTXtkey\0\0" + packed)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="x: "):
            read_image(text, "x")
        np.testing.assert_array_equal(read_labels(pixels, "x", 254), GREY)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_shrinking_averages_images_and_picks_labels():
    generator = np.random.default_rng(1)
    image = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 5, (32, 32), dtype=np.uint8)
    picture, mask = fit(image, labels, 8)
    mean = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture - mean).max() <= 1
    cells = labels.reshape(8, 4, 8, 4)
    assert (cells == mask[:, None, :, None]).any(axis=(1, 3)).all()


def test_enlarging_is_smooth_for_images_and_exact_for_labels():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 200
    picture, mask = fit(image, image[..., 0], 32)
    assert len(np.unique(picture)) > 2
    assert set(np.unique(mask)) == {0, 200}
    np.testing.assert_array_equal(mask, np.kron(image[..., 0], np.ones((4, 4), np.uint8)))
