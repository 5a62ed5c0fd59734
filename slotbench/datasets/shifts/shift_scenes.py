"""Shifted scenes of datasets that are rendered with Mitsuba: one thing of a scene is changed.

A scene is a frozen dataclass with ``objects``, a tuple of frozen dataclasses. A dataset says
what its objects may become in a subclass of :class:`SceneShifts`, lists the shifts in
``Dataset.drawn_shifts``, and in ``render`` passes the scene of ``test`` through :meth:`draw`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer
from slotbench.errors import SlotbenchError

ZOOM = 1.5
"""How much the shift ``crop`` enlarges the middle of the frame."""
TRIES = 40
"""Scenes with so many objects that are tried before one less is."""


@dataclass(frozen=True)
class Drawn:
    """A scene, as Mitsuba has it, its label map, and which objects a shift changed."""

    scene: Any
    loaded: Any
    mask: Array
    changed: tuple[int, ...] = ()


class SceneShifts(ABC):
    """What may be changed in the scenes of one dataset."""

    counts: ClassVar[tuple[int, int]] = (0, 0)
    """Objects in a scene of ``num_objects``, fewest and most."""

    @abstractmethod
    def vary(self, shift: str, thing: Any, generator: np.random.Generator) -> Any:
        """An object with another colour, shape or style, for a shift of single objects."""

    def add(self, scene: Any, count: int, generator: np.random.Generator) -> Any | None:
        """The scene with objects added until it has ``count``; none where no place was found.

        Asked for by the shift ``num_objects`` alone, which not every dataset draws.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no num_objects")

    def draw(
        self,
        shift: str,
        scene: Any,
        renderer: MitsubaRenderer,
        least: float,
        generator: np.random.Generator,
    ) -> Drawn:
        """The scene under a shift; ``renderer`` is a zoomed one where the shift is ``crop``.

        Every object of a changed scene shows ``least`` pixels where one can be changed so.
        """
        if shift == "num_objects":
            return self._fuller(scene, renderer, least, generator)
        if not shift.startswith("object_"):
            return _seen(scene, renderer)
        best: tuple[int, Drawn] | None = None
        for slot in generator.permutation(len(scene.objects)).tolist():
            objects = list(scene.objects)
            objects[slot] = self.vary(shift, objects[slot], generator)
            drawn = _seen(replace(scene, objects=tuple(objects)), renderer, slot)
            fewest = _fewest(drawn.mask, len(objects))
            if fewest >= least:
                return drawn
            if best is None or fewest > best[0]:
                best = fewest, drawn
        return _seen(scene, renderer) if best is None or best[0] == 0 else best[1]

    def _fuller(
        self, scene: Any, renderer: MitsubaRenderer, least: float, generator: np.random.Generator
    ) -> Drawn:
        low, high = self.counts
        for count in range(int(generator.integers(low, high + 1)), low - 1, -1):
            for _ in range(TRIES):
                fuller = self.add(scene, count, generator)
                if fuller is not None:
                    drawn = _seen(fuller, renderer)
                    if _fewest(drawn.mask, count) >= least:
                        return drawn
        # The last resort: what the rule of the least visible pixels leaves is not enough.
        for _ in range(100 * TRIES):
            fuller = self.add(scene, low, generator)
            if fuller is not None:
                drawn = _seen(fuller, renderer)
                if _fewest(drawn.mask, low) >= 1:
                    return drawn
        raise SlotbenchError(f"num_objects: no place for {low} objects in a scene.")


def _seen(scene: Any, renderer: MitsubaRenderer, *changed: int) -> Drawn:
    loaded = renderer.load(scene)
    return Drawn(scene, loaded, renderer.mask(loaded), changed)


def _fewest(mask: Array, count: int) -> int:
    """Pixels of the object that shows least."""
    return int(np.bincount(mask.ravel(), minlength=count + 1)[1 : count + 1].min())
