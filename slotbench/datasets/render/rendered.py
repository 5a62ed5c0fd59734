"""Datasets that Mitsuba renders: scenes are sampled until every object is visible, then drawn.

Scenes are frozen dataclasses with ``objects``, a tuple of frozen dataclasses. A shift changes one
object of a scene of ``test``, adds objects, or enlarges the scene.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Array, Batch, shown
from slotbench.datasets.shifts.kinds import empty, first_good, flag, shift_of, split_of
from slotbench.errors import SlotbenchError
from slotbench.rng import seed_of

ZOOM = 1.5
"""Enlargement by the shift ``crop``."""
TRIES = 40
"""Scenes that ``num_objects`` tries before it takes one object less."""


@dataclass(frozen=True)
class Drawn:
    """A scene, its Mitsuba scene, its label map, and the objects that a shift changed."""

    scene: Any
    loaded: Any
    mask: Array
    changed: tuple[int, ...] = ()

    @property
    def fewest(self) -> int:
        """Pixels of the least visible object; without objects, all pixels."""
        return int(shown(self.mask, len(self.scene.objects)).min(initial=self.mask.size))


class RenderedDataset(Dataset):
    """A dataset of scenes that Mitsuba renders."""

    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    renderer: ClassVar[str]
    """``module:class``; only rendering processes import the module, and Mitsuba with it."""
    least: ClassVar[float] = 200 / (192 * 192)
    """Least visible share of the frame of every object: 200 pixels at the scale of 320x240."""
    tries: ClassVar[int] = 1000

    @abstractmethod
    def counts(self, split: str) -> tuple[int, int]:
        """Fewest and most objects in a scene of a split."""

    @abstractmethod
    def sample(self, split: str, count: int, generator: np.random.Generator) -> Any:
        """A scene of ``count`` objects; some may be hidden."""

    @abstractmethod
    def vary(self, shift: str, thing: Any, generator: np.random.Generator) -> Any:
        """The object with another colour, shape or style."""

    def add(self, scene: Any, count: int, generator: np.random.Generator) -> Any | None:
        """The scene, filled up to ``count`` objects; None where one finds no place.

        Only needed where ``drawn_shifts`` name ``num_objects``.
        """
        raise NotImplementedError(f"{self.name} draws no num_objects")

    def values(self, scene: Any, thing: Any) -> dict[str, Any]:  # noqa: ARG002
        """An object's properties: its fields, and computed ones."""
        return dict(vars(thing))

    @property
    def generator(self) -> str:
        import mitsuba

        samples = resolve_name(self.renderer).samples
        return f"slotbench {self.name} 1, mitsuba {mitsuba.__version__}, {samples} samples a pixel"

    def _renderer(self, shift: str | None) -> Any:
        return _built(self.renderer, self.image_size, ZOOM if shift == "crop" else 1.0)

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.shifted_layout(shift or ""), stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            drawn = self._shifted(shift, index) if shift else self._one(split, index)
            seed = seed_of(self.seed, "test" if shift else split, index) % 2**31
            batch["image"][row] = self._renderer(shift).image(drawn.loaded, seed)
            batch["mask"][row] = drawn.mask
            for slot, thing in enumerate(drawn.scene.objects):
                batch["visible"][row, slot] = (drawn.mask == slot + 1).any()
                values = self.values(drawn.scene, thing)
                for prop in self.layout.properties:
                    value = values[prop.name]
                    if prop.classes:  # -1: a class that training does not have
                        value = prop.classes.index(value) if value in prop.classes else -1
                    batch[prop.key][row, slot] = value
            flag(batch, row, shift, drawn.changed)
        return batch

    def _seen(self, scene: Any, shift: str | None, *changed: int) -> Drawn:
        loaded, mask = self._renderer(shift).load(scene)
        return Drawn(scene, loaded, mask, changed)

    def _one(self, split: str, index: int) -> Drawn:
        """The first scene of (seed, split, index) whose objects are all visible."""
        generator = self.stream(split, index)
        low, high = self.counts(split)
        count = int(generator.integers(low, high + 1))
        for _ in range(self.tries):
            drawn = self._seen(self.sample(split, count, generator), None)
            if drawn.fewest >= self.least * self.image_size**2:
                return drawn
        raise SlotbenchError(
            f"{self.name}: no scene of {count} visible objects in {self.tries:,} tries."
        )

    def _shifted(self, shift: str, index: int) -> Drawn:
        """The scene of ``test`` under a shift; all objects stay visible where that is possible."""
        scene = self._one("test", index).scene
        generator = self.stream(split_of(shift), index)
        if shift == "num_objects":
            return self._fuller(scene, generator)
        if not shift.startswith("object_"):
            return self._seen(scene, shift)

        def tried() -> Iterator[tuple[float, Drawn]]:
            for slot in generator.permutation(len(scene.objects)).tolist():
                objects = list(scene.objects)
                objects[slot] = self.vary(shift, objects[slot], generator)
                drawn = self._seen(replace(scene, objects=tuple(objects)), shift, slot)
                yield drawn.fewest, drawn

        return first_good(tried(), self.least * self.image_size**2) or self._seen(scene, shift)

    def _fuller(self, scene: Any, generator: np.random.Generator) -> Drawn:
        """Adds objects: fewer, then less visible ones, where there is no room."""
        (low, high), least = self.more, self.least * self.image_size**2
        counts = range(int(generator.integers(low, high + 1)), low - 1, -1)
        attempts = [*((count, TRIES, least) for count in counts), (low, 100 * TRIES, 1)]
        for number, tries, fewest in attempts:
            for _ in range(tries):
                fuller = self.add(scene, number, generator)
                if fuller is not None:
                    drawn = self._seen(fuller, None)
                    if drawn.fewest >= fewest:
                        return drawn
        raise SlotbenchError(f"{self.name}: no place for {low} objects in a scene.")


@lru_cache(2)
def _built(renderer: str, size: int, zoom: float) -> Any:
    """A renderer; building its materials takes longer than drawing an image."""
    return resolve_name(renderer)(size, zoom)
