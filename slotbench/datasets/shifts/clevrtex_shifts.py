"""Shifts of ClevrTex: shapes and materials that its objects else never have."""

from dataclasses import replace

import numpy as np

from slotbench.datasets.render.clevrtex_scene import Kind, Thing
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.shifts.shift_scenes import SceneShifts


class ClevrTexShifts(SceneShifts):
    """Changes of one object; those of ``outd`` come from the other variants, and vice versa."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_style":
            material = str(generator.choice(self.kind.new_materials))
            return replace(thing, material=material, color="")
        # Its middle stays, and it goes on resting on the ground; so it becomes no wider.
        shape = str(generator.choice(self.kind.new_shapes))
        return replace(thing, shape=shape, radius=thing.position[2] / mesh(shape).rest)
