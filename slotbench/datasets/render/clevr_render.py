"""Rendering of CLEVR scenes: materials, lights, ground and camera."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import mitsuba as mi

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import COLORS, HALF_WIDTH, NEW_COLORS
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer

RADIANCE = {"key": (28.0, 1.2), "fill": (6.0, 1.5), "back": (9.0, 1.5)}
"""Radiance and half-edge of the three area lights."""
SURFACES: dict[str, dict[str, Any]] = {
    "rubber": {"type": "principled", "roughness": 0.7, "specular": 0.3},
    "metal": {"type": "principled", "roughness": 0.2, "metallic": 0.9, "specular": 0.8},
}


class StageRenderer(MitsubaRenderer):
    """Draws CLEVR's stage: a ground, three area lights, ambient light and a camera."""

    ambient: ClassVar[float]
    row_offset: ClassVar[float] = 0.0
    """The camera's axis below the frame's middle, as a share of the frame."""

    @abstractmethod
    def ground(self, scene: Any) -> Any:
        """The ground: a shape or Mitsuba's dictionary of one."""

    def view(self, scene: Any) -> dict[str, Any]:
        fov = 2 * math.degrees(math.atan(HALF_WIDTH))
        ambient = {"type": "constant", "radiance": {"type": "rgb", "value": self.ambient}}
        return {**self.sensors(_towards(scene.camera), fov, self.row_offset), "ambient": ambient}

    def shapes(self, scene: Any) -> dict[str, Any]:
        shapes = {"ground": self.ground(scene)}
        for name, (radiance, half_edge) in RADIANCE.items():
            large = mi.ScalarTransform4f().scale([half_edge, half_edge, 1])
            shapes[name] = {
                "type": "rectangle",
                "to_world": _towards(scene.lights[name]) @ large,
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance}},
            }
        for index, thing in enumerate(scene.objects, start=1):
            shapes |= self.solid(f"object{index}", thing)
        return shapes


def _towards(place: Array) -> Any:
    """A transform to a place (3,), looking at the origin."""
    return mi.ScalarTransform4f().look_at(origin=place.tolist(), target=[0, 0, 0], up=[0, 0, 1])


class Renderer(StageRenderer):
    """Draws scenes of CLEVR: a gray ground, coloured objects."""

    ambient = 0.3
    row_offset = clevr_scene.ROW_OFFSET

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom, COLORS | NEW_COLORS, SURFACES)
        self.gray = mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}})

    def ground(self, scene: Any) -> Any:  # noqa: ARG002
        large = mi.ScalarTransform4f().scale([40, 40, 1])
        return {"type": "rectangle", "bsdf": self.gray, "to_world": large}
