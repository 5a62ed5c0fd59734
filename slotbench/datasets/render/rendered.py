"""Datasets that Mitsuba renders: a scene is sampled until every object shows, then drawn.

Scenes are frozen dataclasses with ``objects``, a tuple of frozen dataclasses. A shift changes one
object of the scene of ``test``, adds objects to it, or enlarges it.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Array, Batch
from slotbench.datasets.shifts.drawn import code, empty, first_good, flag
from slotbench.datasets.shifts.kinds import shift_of, split_of
from slotbench.errors import SlotbenchError
from slotbench.rng import numpy_generator, seed_of

ZOOM = 1.5
"""How much the shift ``crop`` enlarges the middle of the frame."""
TRIES = 40
"""Scenes with one number of objects that ``num_objects`` tries before it asks for one less."""


@dataclass(frozen=True)
class Drawn:
    """A scene, its Mitsuba scene, its label map, and the objects that a shift changed."""

    scene: Any
    loaded: Any
    mask: Array
    changed: tuple[int, ...] = ()

    @property
    def fewest(self) -> int:
        """Pixels of the object that shows least; of a scene without objects, all pixels."""
        count = len(self.scene.objects)
        shown = np.bincount(self.mask.ravel(), minlength=count + 1)[1 : count + 1]
        return int(shown.min(initial=self.mask.size))


class RenderedDataset(Dataset):
    """A dataset of scenes that Mitsuba renders."""

    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    renderer: ClassVar[str]
    """The module of its ``Renderer``; only processes that render import it, and Mitsuba with it."""
    least: ClassVar[float] = 200 / (192 * 192)
    """Share of the frame that every object shows: 200 pixels at the scale of 320x240."""
    tries: ClassVar[int] = 1000

    @abstractmethod
    def counts(self, split: str) -> tuple[int, int]:
        """Fewest and most objects in a scene of a split."""

    @abstractmethod
    def sample(self, split: str, count: int, generator: np.random.Generator) -> Any:
        """A scene of ``count`` objects, whether or not all of them are visible."""

    @abstractmethod
    def vary(self, shift: str, thing: Any, generator: np.random.Generator) -> Any:
        """The object with another colour, shape or style, for a shift of single objects."""

    def add(self, scene: Any, count: int, generator: np.random.Generator) -> Any | None:
        """The scene with objects added until it has ``count``; None where one finds no place.

        Defined by every dataset whose ``drawn_shifts`` name ``num_objects``; no other calls it.
        """
        raise NotImplementedError(f"{self.name} draws no num_objects")

    def values(self, scene: Any, thing: Any) -> dict[str, Any]:  # noqa: ARG002
        """Values of an object's properties: the object's fields, and those that are computed."""
        return dict(vars(thing))

    @property
    def generator(self) -> str:
        import mitsuba

        samples = import_module(self.renderer).Renderer.samples
        return f"slotbench {self.name} 1, mitsuba {mitsuba.__version__}, {samples} samples a pixel"

    def _renderer(self, shift: str | None) -> Any:
        zoom = ZOOM if shift == "crop" else 1.0
        if zoom not in self._renderers:
            self._renderers[zoom] = import_module(self.renderer).Renderer(self.image_size, zoom)
        return self._renderers[zoom]

    @cached_property
    def _renderers(self) -> dict[float, Any]:
        return {}

    def render(self, split: str, start: int, stop: int) -> Batch:
        """See :meth:`Dataset.render`."""
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
                    stored = code(prop.classes, value) if prop.classes else value
                    batch[prop.key][row, slot] = stored
            flag(batch, row, shift, drawn.changed)
        return batch

    def _stream(self, split: str, index: int) -> np.random.Generator:
        variant = (self.variant,) if len(self.variants) > 1 else ()
        return numpy_generator(self.seed, self.name, *variant, split, index)

    def _seen(self, scene: Any, shift: str | None, *changed: int) -> Drawn:
        loaded, mask = self._renderer(shift).load(scene)
        return Drawn(scene, loaded, mask, changed)

    def _one(self, split: str, index: int) -> Drawn:
        """The first scene of the stream of (seed, split, index) whose objects all show."""
        generator = self._stream(split, index)
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
        """The scene of ``test`` under a shift.

        Every object of a changed scene shows its least share where one can be changed so.
        """
        scene = self._one("test", index).scene
        generator = self._stream(split_of(shift), index)
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

        found = first_good(tried(), self.least * self.image_size**2)
        return self._seen(scene, shift) if found is None else found

    def _fuller(self, scene: Any, generator: np.random.Generator) -> Drawn:
        """More objects; fewer of them, then smaller shares of each, where so many find no room."""
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
