"""What all scenes rendered with Mitsuba 3 (variant ``scalar_rgb``) share: images and label maps.

The LLVM variants crash on some machines. One thread a process: the work is shared out over
processes, and the image does not depend on how many there are.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import drjit
import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array


class MitsubaRenderer(ABC):
    """Draws scenes at ``size`` x ``size`` pixels, ``samples`` samples a pixel.

    ``zoom`` above 1 draws the middle of the frame alone, enlarged.

    A subclass builds the scene. Its sensor 0 is for the image, its sensor 1 for the labels, made
    by :meth:`sensor`; the shapes of object i (from 1) are called ``object<i>`` or
    ``object<i>-<part>``. Materials that scenes share should be built once, which brings loading
    a scene from 100 ms to 1 ms.
    """

    samples = 8

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        mi.set_variant("scalar_rgb")
        drjit.set_thread_count(1)
        self.size, self.zoom = size, zoom
        self.light = mi.load_dict({"type": "direct", "emitter_samples": 4, "bsdf_samples": 1})
        self.labels = mi.load_dict({"type": "aov", "aovs": "label:shape_index"})

    @abstractmethod
    def parts(self, scene: Any) -> dict[str, Any]:
        """The scene as Mitsuba's dictionary, with ``"type": "scene"``."""

    def load(self, scene: Any) -> Any:
        """The Mitsuba scene."""
        # Both options would leave the order of shapes, and with it the noise, to chance.
        return mi.load_dict(self.parts(scene), parallel=False, optimize=False)

    def image(self, loaded: Any, seed: int) -> Array:
        """uint8 (size, size, 3), sRGB; ``seed`` is that of the samples' places."""
        drawn = self._render(loaded, self.light, 0, self.samples, seed)
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

    def sensors(self, to_world: Any, fov: float, **options: Any) -> dict[str, Any]:
        """Sensors 0 and 1 at one place; ``fov`` is that of a side, in degrees.

        ``zoom`` of the renderer enlarges what is in the middle of the frame.
        """
        if self.zoom != 1:
            fov = 2 * math.degrees(math.atan(math.tan(math.radians(fov / 2)) / self.zoom))
        for key in ("principal_point_offset_x", "principal_point_offset_y"):
            if key in options:
                options[key] *= self.zoom
        return {
            "camera": self._sensor(to_world, fov, "multijitter", self.samples, options),
            # Labels are those at the middle of each pixel, so that outlines are not ragged.
            "labeller": self._sensor(to_world, fov, "stratified", 1, options),
        }

    def _sensor(
        self, to_world: Any, fov: float, sampler: str, samples: int, options: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "type": "perspective",
            "fov": fov,
            "to_world": to_world,
            **options,
            "film": {
                "type": "hdrfilm",
                "width": self.size,
                "height": self.size,
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
                "component_format": "float32",
            },
            "sampler": {"type": sampler, "sample_count": samples, "jitter": samples > 1},
        }

    def _render(self, loaded: Any, integrator: Any, sensor: int, samples: int, seed: Any) -> Array:
        drawn = mi.render(loaded, sensor=sensor, integrator=integrator, spp=samples, seed=seed)
        pixels: Array = np.array(drawn, np.float32)
        return pixels


def linear_rgb(color: tuple[int, int, int]) -> dict[str, Any]:
    """Mitsuba's colour of an sRGB colour of bytes."""
    encoded = np.array(color) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return {"type": "rgb", "value": linear.tolist()}
