"""Textures that repeat, and shapes to put them on."""

import numpy as np
import pytest

from slotbench.datasets.render import meshes, textures
from slotbench.datasets.render.clevrtex_materials import OUTD, USUAL, tile
from slotbench.rng import numpy_generator

MATERIALS = (*USUAL, *OUTD)


def brightness(name: str) -> np.ndarray:
    return tile(name).astype(float) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("name", MATERIALS)
def test_a_tile_repeats_without_a_seam(name: str) -> None:
    values = brightness(name)
    for axis in (0, 1):
        steps = np.abs(np.roll(values, -1, axis) - values).mean(axis=1 - axis)
        # From the last row to the first is no larger a step than one inside may be.
        assert steps[-1] <= 1.05 * steps[:-1].max()


@pytest.mark.parametrize("name", MATERIALS)
def test_a_texture_is_seen_at_64_pixels(name: str) -> None:
    """A tile on an object is about 16 pixels wide there."""
    block = textures.SIDE // 16
    seen = tile(name).reshape(16, block, 16, block, 3).mean(axis=(1, 3))
    assert seen.std(axis=(0, 1)).max() > 6  # of 255


def test_materials_are_all_different() -> None:
    means = np.stack([tile(name).reshape(-1, 3).mean(axis=0) for name in MATERIALS])
    grain = np.stack([np.abs(np.diff(brightness(name), axis=0)).mean() for name in MATERIALS])
    looks = np.concatenate([means, 4 * grain[:, None]], axis=1)
    far = np.linalg.norm(looks[:, None] - looks[None], axis=-1)
    assert far[~np.eye(len(MATERIALS), dtype=bool)].min() > 3
    assert not set(USUAL) & set(OUTD)


def test_a_texture_is_a_function_of_the_generator() -> None:
    def drawn(seed: int) -> np.ndarray:
        material = USUAL["cobblestone"]
        generator = numpy_generator(seed, "test")
        return textures.texture(material.pattern, material.palette, generator)

    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert (drawn(0) != drawn(1)).mean() > 0.3


def test_noise_fills_its_range_and_has_its_size() -> None:
    field = textures.noise(numpy_generator(0, "noise"), 4, octaves=1)
    assert field.min() == 0
    assert field.max() == 1
    # Four values a side: within a quarter of one nothing changes much.
    assert np.abs(np.diff(field, axis=0)).max() < 4 * 1.5 / textures.SIDE + 1e-9


VOLUMES = {
    "cube": np.sqrt(2) ** 3,
    "sphere": 4 / 3 * np.pi,
    "torus": 2 * np.pi**2 * 0.64 * 0.36**2,
    "icosahedron": 2.53615,
}
"""Of closed shapes; that of an icosahedron of circumradius 1 is from a table."""


@pytest.mark.parametrize("shape", meshes.SHAPES)
def test_shapes_have_their_size_and_face_outwards(shape: str) -> None:
    mesh = meshes.mesh(shape)
    a, b, c = mesh.vertices[mesh.faces].swapaxes(0, 1)
    normals = np.cross(b - a, c - a)
    if shape in VOLUMES:  # by the theorem of divergence
        assert (a * normals).sum() / 6 == pytest.approx(VOLUMES[shape], rel=0.03)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1)
    assert ((normals * mesh.normals[mesh.faces].sum(axis=1)).sum(axis=1) >= -1e-9).all()
    radius = np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1]).max()
    assert 0.75 < radius <= 1.01
    assert 0.7 < mesh.rest <= 1
    assert mesh.vertices[:, 2].max() <= 1.01


@pytest.mark.parametrize("shape", meshes.SHAPES)
def test_a_texture_has_one_scale_on_all_of_a_shape(shape: str) -> None:
    mesh = meshes.mesh(shape)

    def areas(points: np.ndarray) -> np.ndarray:
        a, b, c = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))[mesh.faces].swapaxes(0, 1)
        return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2

    solid, flat = areas(mesh.vertices), areas(mesh.coordinates)
    # A cone's tip and the inner side of a ring have less surface than texture.
    assert 0.8 < flat.sum() / solid.sum() < 2.1
    share = flat / np.maximum(solid, 1e-12)
    assert np.average(share < 2.5, weights=solid) > 0.5
