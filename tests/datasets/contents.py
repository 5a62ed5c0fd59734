"""The expected content of a prepared dataset, and the comparison with it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Held(NamedTuple):
    """An image or clip with n objects, of which object k has label k + 1."""

    image: Any
    """(H, W, 3), of a clip (T, H, W, 3), or one colour (3,)."""
    mask: Any
    """([T,] H, W)."""
    properties: Mapping[str, Any]
    """Of each property: names or codes of classes (n,), or numbers (n, [T,] [d])."""
    visible: Any = None
    """bool (O,), where the mask does not say it."""


def assert_held(batch, row, held, layout, apart=0):
    """A row of a prepared dataset is what the source holds; pixels may be ``apart``."""
    video, labels = layout.frames is not None, np.arange(1, layout.objects + 1)
    assert np.abs(batch["image"][row].astype(int) - held.image).max() <= apart
    np.testing.assert_array_equal(batch["mask"][row], held.mask)
    visible = held.visible
    if visible is None:
        masks = held.mask if video else [held.mask]
        visible = np.stack([np.isin(labels, mask) for mask in masks])
        visible = visible if video else visible[0]
    np.testing.assert_array_equal(batch["visible"][row], visible)
    assert {prop.name for prop in layout.properties} == set(held.properties)
    for prop in layout.properties:
        found, known = batch[prop.key][row], held.properties[prop.name]
        found = found.swapaxes(0, 1) if video else found  # objects first
        codes = [prop.classes.index(each) if isinstance(each, str) else each for each in known]
        expected = np.asarray(codes, found.dtype)
        if video and expected.ndim == 1:
            expected = expected[:, None]
        n = len(expected)
        np.testing.assert_allclose(found[:n], np.broadcast_to(expected, found[:n].shape), rtol=1e-6)
        assert (found[n:] == (-1 if prop.kind == "categorical" else 0)).all()
