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


def test_pixels_are_those_that_were_stored():
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(COLORS)), "x"), COLORS)
    grey = Image.fromarray(COLORS[..., 0])
    triple = np.stack([COLORS[..., 0]] * 3, axis=-1)
    np.testing.assert_array_equal(read_image(encode(grey), "x"), triple)
    jpeg = read_image(encode(Image.fromarray(COLORS * 0 + 90), "JPEG", quality=95), "x")
    assert abs(jpeg.astype(int) - 90).max() <= 1
    assert jpeg.shape == COLORS.shape
    assert jpeg.dtype == np.uint8


def test_alpha_is_dropped_and_never_blended():
    alpha = np.concatenate([COLORS, np.zeros_like(COLORS[..., :1])], axis=2)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(alpha)), "x"), COLORS)
    values = np.arange(120).reshape(10, 12) % 3
    palette = b"PLTE" + bytes([10, 20, 30, 40, 50, 60, 70, 80, 90])
    data = png(rows_of(values, 8), 12, 10, 8, 3, palette, b"tRNS" + bytes([0, 9, 255]))
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[values]
    np.testing.assert_array_equal(read_image(data, "x"), expected)


def test_of_16_bits_the_upper_eight_are_kept():
    values = np.arange(120).reshape(10, 12) * 500
    grey = read_image(png(rows_of(values, 16), 12, 10, 16, 0), "x")
    np.testing.assert_array_equal(grey, np.stack([values >> 8] * 3, axis=-1))
    triples = np.repeat(values, 3, axis=1)
    color = read_image(png(rows_of(triples, 16), 12, 10, 16, 2), "x")
    np.testing.assert_array_equal(color, grey)


def test_the_orientation_that_exif_asks_for_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    data = encode(Image.fromarray(COLORS), exif=exif)
    np.testing.assert_array_equal(read_image(data, "x"), np.rot90(COLORS, -1))
    np.testing.assert_array_equal(read_image(data, "x", upright=False), COLORS)


@pytest.mark.parametrize(
    ("bits", "color"), [(bits, color) for bits in (1, 2, 4, 8, 16) for color in (0, 3)][:-1]
)
def test_labels_are_grey_values_or_the_indices_of_any_palette(bits, color):
    values = np.arange(120).reshape(10, 12) % min(2**bits, 120)
    palette = [b"PLTE" + bytes(7 for _ in range(3 * min(2**bits, 256)))] if color else []
    data = png(rows_of(values, bits), 12, 10, bits, color, *palette)
    np.testing.assert_array_equal(read_labels(data, "x"), values)


def test_labels_above_the_most_are_refused_and_255_is_not_labelled():
    values = np.full((8, 8), 255)
    values[0, 0] = 7
    data = png(rows_of(values, 8), 8, 8, 8, 0)
    np.testing.assert_array_equal(read_labels(data, "x", 7), values)
    with pytest.raises(UserError, match=r"a/b\.png: label 7, expected 0 to 6, or 255"):
        read_labels(data, "a/b.png", 6)
    deep = png(rows_of(values * 100, 16), 8, 8, 16, 0)
    with pytest.raises(UserError, match="x: label 25500, expected 0 to 254"):
        read_labels(deep, "x")


def changed_pixel():
    stored = bytearray(png(rows_of(COLORS[..., 0], 8), 12, 10, 8, 0))
    stored[stored.index(b"IDAT") + 30] ^= 4
    return bytes(stored)


SIZES = {(30_000, 10): "x: .*larger than the 8,192", (0, 10): "x: .*header is damaged"}
SIZES |= {(2**31 - 1,) * 2: "larger than", (1, 1): "x: 1x1 pixels, expected at least 8 a side"}
REFUSED = [
    *((png(b"\0\0", *side, 8, 0), what, (read_image, read_labels)) for side, what in SIZES.items()),
    (encode(Image.fromarray(COLORS)), r"x: this PNG has colours \(RGB\)", (read_labels,)),
    (encode(Image.fromarray(COLORS[..., 0]), "JPEG"), "x: this is not a PNG", (read_labels,)),
    (encode(Image.fromarray(COLORS), "GIF"), "x: this is not a PNG or JPEG", (read_image,)),
    (changed_pixel(), "x: the image is damaged or truncated", (read_image,)),  # by its checksum
]


@pytest.mark.parametrize(("data", "what", "readers"), REFUSED)
def test_what_is_no_such_image_is_refused(data, what, readers):
    for reader in readers:
        with pytest.raises(UserError, match=what):
            reader(data, "x")


def test_what_unpacks_to_far_more_than_it_says_costs_nothing():
    engine = zlib.compressobj(1)
    rows = rows_of(COLORS[..., 0], 8)
    packed = engine.compress(rows) + b"".join(engine.compress(bytes(1 << 20)) for _ in range(100))
    packed += engine.flush()
    parts = png(rows, 12, 10, 8, 0).split(b"IDAT")
    pixels = parts[0][:-4] + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    text = png(rows, 12, 10, 8, 0, b"zTXtkey\0\0" + packed)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="x: "):
            read_image(text, "x")
        np.testing.assert_array_equal(read_labels(pixels, "x", 254), COLORS[..., 0])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


WHOLE = {
    "png": encode(Image.fromarray(COLORS)),
    "palette": encode(Image.fromarray(COLORS).quantize(9)),
    "grey": encode(Image.fromarray(COLORS[..., 0] // 9)),
    "jpeg": encode(Image.fromarray(COLORS), "JPEG"),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("share", [0, 0.5])
def test_truncated_files_are_refused(kind, share):
    data = WHOLE[kind]
    with pytest.raises(UserError, match=r"^x\.y: "):
        read_image(data[: int(len(data) * share)], "x.y")


def test_the_centre_is_cut_out():
    image = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    labels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    picture, mask = fit(image, labels, 10)
    np.testing.assert_array_equal(picture, image[:, 5:15])
    np.testing.assert_array_equal(mask, labels[:, 5:15])
    picture, mask = fit(image, labels, 8, crop=0.8)
    np.testing.assert_array_equal(picture, image[1:9, 6:14])
    np.testing.assert_array_equal(mask, labels[1:9, 6:14])


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
