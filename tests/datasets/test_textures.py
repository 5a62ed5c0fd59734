"""Textures that repeat, and shapes to put them on."""

import numpy as np
import pytest

from slotbench.datasets.render import meshes, textures
from slotbench.datasets.render.clevrtex_scene import OUTD, USUAL, tile

MATERIALS = (*USUAL, *OUTD)


def brightness(name):
    return tile(name).astype(float) @ [0.299, 0.587, 0.114]


def test_tiles_repeat_without_a_seam_and_show_at_64_pixels():
    block = textures.SIDE // 16  # a tile on an object is about 16 pixels wide there
    for name in MATERIALS:
        values = brightness(name)
        for axis in (0, 1):
            steps = np.abs(np.roll(values, -1, axis) - values).mean(axis=1 - axis)
            # From the last row to the first is no larger a step than one inside may be.
            assert steps[-1] <= 1.05 * steps[:-1].max(), name
        seen = tile(name).reshape(16, block, 16, block, 3).mean(axis=(1, 3))
        assert seen.std(axis=(0, 1)).max() > 6, name  # of 255


def test_materials_are_all_different():
    means = np.stack([tile(name).reshape(-1, 3).mean(axis=0) for name in MATERIALS])
    grain = np.stack([np.abs(np.diff(brightness(name), axis=0)).mean() for name in MATERIALS])
    looks = np.concatenate([means, 4 * grain[:, None]], axis=1)
    far = np.linalg.norm(looks[:, None] - looks[None], axis=-1)
    assert far[~np.eye(len(MATERIALS), dtype=bool)].min() > 3
    assert not set(USUAL) & set(OUTD)


VOLUMES = {"cube": np.sqrt(2) ** 3, "sphere": 4 / 3 * np.pi, "icosahedron": 2.53615}
VOLUMES |= {"torus": 2 * np.pi**2 * 0.64 * 0.36**2}
"""Of closed shapes; the icosahedron of circumradius 1 is from a table."""


def corners(mesh, points):
    """One corner of each triangle, and its normal, as long as twice its area."""
    a, b, c = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))[mesh.faces].swapaxes(0, 1)
    return a, np.cross(b - a, c - a)


def test_shapes_have_their_size_face_outwards_and_wear_textures_of_one_scale():
    for shape in meshes.SHAPES:
        mesh = meshes.mesh(shape)
        first, normals = corners(mesh, mesh.vertices)
        if shape in VOLUMES:  # by the theorem of divergence
            assert (first * normals).sum() / 6 == pytest.approx(VOLUMES[shape], rel=0.03)
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1)
        outwards = (normals * mesh.normals[mesh.faces].sum(axis=1)).sum(axis=1)
        assert (outwards >= -1e-9).all(), shape
        assert 0.75 < np.hypot(*mesh.vertices[:, :2].T).max() <= 1.01, shape
        assert 0.7 < mesh.rest <= 1, shape
        assert mesh.vertices[:, 2].max() <= 1.01, shape
        solid = np.linalg.norm(normals, axis=1)
        flat = np.linalg.norm(corners(mesh, mesh.coordinates)[1], axis=1)
        # A cone's tip and the inner side of a ring have less surface than texture.
        assert 0.8 < flat.sum() / solid.sum() < 2.1, shape
        share = flat / np.maximum(solid, 1e-12)
        assert np.average(share < 2.5, weights=solid) > 0.5, shape
