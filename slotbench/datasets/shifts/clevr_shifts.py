"""Shifts of CLEVR: colours, shapes and textures that its objects else never have."""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from slotbench.datasets.render.clevr_scene import NEW_COLORS, SIZES, Scene, Thing, add_things
from slotbench.datasets.shifts import mitsuba_shifts
from slotbench.datasets.shifts.shift_patterns import PATTERNS
from slotbench.datasets.shifts.shift_scenes import SceneShifts


class ClevrShifts(SceneShifts):
    """Changes of one object, and scenes with more of them."""

    counts: ClassVar[tuple[int, int]] = (7, 10)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # Its middle and height stay, and no shape is wider than the size says.
        shape = str(generator.choice(mitsuba_shifts.SHAPES))
        return replace(thing, shape=shape, radius=SIZES[thing.size])

    def add(self, scene: Scene, count: int, generator: np.random.Generator) -> Scene | None:
        return add_things(scene, count, generator)
