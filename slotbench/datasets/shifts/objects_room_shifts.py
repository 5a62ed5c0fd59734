"""Shifts of Objects Room: colours, shapes and textures that its objects else never have."""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from slotbench.datasets.render.objects_room_scene import (
    NEW_COLORS,
    NEW_SHAPES,
    Room,
    Thing,
    add_things,
)
from slotbench.datasets.shifts.shift_patterns import PATTERNS
from slotbench.datasets.shifts.shift_scenes import SceneShifts


class ObjectsRoomShifts(SceneShifts):
    """Changes of one object, and rooms with more of them."""

    counts: ClassVar[tuple[int, int]] = (4, 6)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # A pyramid in place of a cone would hardly be seen.
        shape = "diamond" if thing.shape == "cone" else str(generator.choice(NEW_SHAPES))
        return replace(thing, shape=shape)

    def add(self, scene: Room, count: int, generator: np.random.Generator) -> Room | None:
        return add_things(scene, count, generator)
