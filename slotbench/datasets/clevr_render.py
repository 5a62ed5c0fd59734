"""Rendering of CLEVR scenes with Mitsuba 3, variant ``scalar_rgb``.

The LLVM variants crash on some machines. Materials are built once and shared by all scenes,
which brings loading a scene from 100 ms to 1 ms. One thread a process: the work is shared out
over processes, and the image does not depend on how many there are.
"""

import math
from typing import Any

import drjit
import mitsuba as mi
import numpy as np

from slotbench.datasets.clevr_scene import (
    COLORS,
    HALF_WIDTH,
    MATERIALS,
    ROW_OFFSET,
    Scene,
    Thing,
)
from slotbench.datasets.schema import Array

SAMPLES = 8
RADIANCE = {"key": (28.0, 1.2), "fill": (6.0, 1.5), "back": (9.0, 1.5)}
"""Radiance and half-edge of the three area lights."""
AMBIENT = 0.3
SURFACES: dict[str, dict[str, Any]] = {
    "rubber": {"roughness": 0.7, "specular": 0.3},
    "metal": {"roughness": 0.2, "metallic": 0.9, "specular": 0.8},
}


class Renderer:
    """Draws scenes at ``size`` x ``size`` pixels."""

    def __init__(self, size: int) -> None:
        mi.set_variant("scalar_rgb")
        drjit.set_thread_count(1)
        self.size = size
        self.surfaces = {
            (color, material): mi.load_dict(
                {"type": "principled", "base_color": _rgb(rgb), **SURFACES[material]}
            )
            for color, rgb in COLORS.items()
            for material in MATERIALS
        }
        self.ground = mi.load_dict(
            {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}}
        )
        self.light = mi.load_dict({"type": "direct", "emitter_samples": 4, "bsdf_samples": 1})
        self.labels = mi.load_dict({"type": "aov", "aovs": "label:shape_index"})

    def load(self, scene: Scene) -> Any:
        """The Mitsuba scene."""
        transform = mi.ScalarTransform4f
        parts: dict[str, Any] = {
            "type": "scene",
            "camera": self._sensor(scene, "multijitter", SAMPLES),
            # Labels are those at the middle of each pixel, so that outlines are not ragged.
            "labeller": self._sensor(scene, "stratified", 1),
            "ground": {
                "type": "rectangle", "bsdf": self.ground,
                "to_world": transform().scale([40, 40, 1]),
            },
            "ambient": {"type": "constant", "radiance": {"type": "rgb", "value": AMBIENT}},
        }  # fmt: skip
        for name, (radiance, half_edge) in RADIANCE.items():
            look = transform().look_at(
                origin=scene.lights[name].tolist(), target=[0, 0, 0], up=[0, 0, 1]
            )
            parts[name] = {
                "type": "rectangle",
                "to_world": look @ transform().scale([half_edge, half_edge, 1]),
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance}},
            }
        for index, thing in enumerate(scene.objects, start=1):
            parts |= self._shapes(f"object{index}", thing)
        # Both options would leave the order of shapes, and with it the noise, to chance.
        return mi.load_dict(parts, parallel=False, optimize=False)

    def image(self, loaded: Any, seed: int) -> Array:
        """uint8 (size, size, 3), sRGB."""
        drawn = self._render(loaded, self.light, 0, SAMPLES, seed)
        linear = np.clip(drawn, 0, 1)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        pixels: Array = np.rint(encoded * 255).astype(np.uint8)
        return pixels

    def mask(self, loaded: Any) -> Array:
        """uint8 (size, size): 0 background, else the object's number; one sample a pixel."""
        drawn = self._render(loaded, self.labels, 1, 1, 0)[..., -1]
        # `shape_index` counts from 1 in the scene's own order of shapes; 0 is empty space.
        table = np.zeros(len(loaded.shapes()) + 1, np.uint8)
        for index, shape in enumerate(loaded.shapes(), start=1):
            if shape.id().startswith("object"):
                table[index] = int(shape.id().removeprefix("object").partition("-")[0])
        labels: Array = table[np.rint(drawn).astype(np.int64)]
        return labels

    def _render(self, loaded: Any, integrator: Any, sensor: int, samples: int, seed: Any) -> Array:
        drawn = mi.render(loaded, sensor=sensor, integrator=integrator, spp=samples, seed=seed)
        pixels: Array = np.array(drawn, np.float32)
        return pixels

    def _sensor(self, scene: Scene, sampler: str, samples: int) -> dict[str, Any]:
        return {
            "type": "perspective",
            "fov": 2 * math.degrees(math.atan(HALF_WIDTH)),
            "principal_point_offset_y": ROW_OFFSET,
            "to_world": mi.ScalarTransform4f().look_at(
                origin=scene.camera.tolist(), target=[0, 0, 0], up=[0, 0, 1]
            ),
            "film": {
                "type": "hdrfilm", "width": self.size, "height": self.size,
                "rfilter": {"type": "box"}, "pixel_format": "rgb", "component_format": "float32",
            },
            "sampler": {"type": sampler, "sample_count": samples, "jitter": samples > 1},
        }  # fmt: skip

    def _shapes(self, name: str, thing: Thing) -> dict[str, Any]:
        surface = self.surfaces[thing.color, thing.material]
        x, y, z = thing.position
        transform = mi.ScalarTransform4f
        if thing.shape == "sphere":
            return {
                name: {
                    "type": "sphere", "center": [x, y, z], "radius": thing.radius, "bsdf": surface,
                }
            }  # fmt: skip
        if thing.shape == "cube":
            turned = transform().translate([x, y, z]).rotate([0, 0, 1], thing.rotation)
            return {name: {"type": "cube", "to_world": turned.scale(thing.radius), "bsdf": surface}}
        lid = transform().translate([x, y, 2 * z]).scale(thing.radius)
        return {
            name: {
                "type": "cylinder", "p0": [x, y, 0], "p1": [x, y, 2 * z],
                "radius": thing.radius, "bsdf": surface,
            },
            f"{name}-lid": {"type": "disk", "to_world": lid, "bsdf": surface},
        }  # fmt: skip


def _rgb(color: tuple[int, int, int]) -> dict[str, Any]:
    encoded = np.array(color) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return {"type": "rgb", "value": linear.tolist()}
