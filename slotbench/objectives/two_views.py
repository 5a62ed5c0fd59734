"""The base of objectives on two views: encode, align, gather."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, SlotOutput
from slotbench.datasets.format.views import Views
from slotbench.fields import Count, Options
from slotbench.objectives.alignment import Alignment, by_view
from slotbench.objectives.gather import gather
from slotbench.objectives.heads import momentum_copy, move, projector
from slotbench.objectives.objective import Objective, TrainBatch


@dataclass(frozen=True, kw_only=True)
class ProjectionConfig(Options):
    hidden: Count = 128
    """Hidden width of the projector and of other heads."""
    projection: Count = 64
    """Width of the vectors that are compared."""


class Rows(NamedTuple):
    """M aligned vectors of every encoded view, of all processes."""

    vectors: Tensor
    """float (E, M, D): rows m of the E encodings belong together."""
    image: Tensor
    """int64 (M,): each row's image in the whole batch."""


class TwoViews(Objective):
    """An objective on paired vectors of views: a subclass's loss calls :meth:`rows`."""

    family = "self-supervised"
    views = 2
    takes_alignment = True

    def __init__(self, core: Core, alignment: Alignment, config: Any = None) -> None:
        super().__init__(core, config)
        self.alignment = alignment

    def rows(self, batch: TrainBatch) -> Rows:
        """The core's vectors of all views, aligned."""
        views = expected_views(batch)
        return self.align(batch, self.core(views.images.flatten(0, 1), self.noise(batch)), views)

    def noise(self, batch: TrainBatch) -> Tensor | None:
        """The slots' initial noise (V * B, K, D), view by view, as the alignment wants it."""
        count = len(expected_views(batch).images)
        drawn = self.alignment.noise(self.core, batch.total, count, batch.generator("slots"))
        return batch.own(drawn, count)

    def align(self, batch: TrainBatch, output: SlotOutput, views: Views) -> Rows:
        """Encodings (E * B, ...) with their ``views``, aligned and gathered."""
        paired = self.alignment.pair(output, views)
        image = paired.image + batch.rank * len(batch.images)
        return Rows(gather(paired.vectors, dim=1), gather(image))


class ProjectedViews(TwoViews):
    """Two views whose vectors pass a projector."""

    def __init__(self, core: Core, config: Any, alignment: Alignment) -> None:
        super().__init__(core, alignment, config)
        self.projector = projector(core.config.width, config.hidden, config.projection)


class MomentumTwoViews(TwoViews):
    """Two views with a momentum copy, the teacher, of the core and of modules after it.

    A subclass names those modules with :meth:`follow`; its loss calls :meth:`both`.
    """

    def __init__(self, core: Core, alignment: Alignment, config: Any = None) -> None:
        super().__init__(core, alignment, config)
        self.teacher = nn.ModuleDict({"core": momentum_copy(core)})

    def follow(self, name: str) -> None:
        """Give the teacher a copy of this module."""
        self.teacher[name] = momentum_copy(self.get_submodule(name))

    def both(
        self,
        batch: TrainBatch,
        student: tuple[int, ...] = (0, 1),
        teacher: tuple[int, ...] = (0, 1),
    ) -> tuple[Tensor, Tensor]:
        """Vectors of these views by student and by teacher.

        float (len(student), M, D) and (len(teacher), M, D), all aligned to the first. The teacher
        starts a view's slots from the same noise as the student.
        """
        made, all_views = self.encode(batch, student, teacher)
        vectors = self.align(batch, joined(*made), all_views).vectors
        return vectors[: len(student)], vectors[len(student) :].detach()

    def encode(
        self, batch: TrainBatch, student: tuple[int, ...], teacher: tuple[int, ...]
    ) -> tuple[tuple[SlotOutput, SlotOutput], Views]:
        """The outputs (E * B, ...) of student and teacher for these views, and the views."""
        views, noise = expected_views(batch), self.noise(batch)
        seen = self._encode(self.core, views, noise, student)
        with torch.no_grad():
            taught = self._encode(self.teacher["core"], views, noise, teacher)
        return (seen, taught), Views(*(chosen(part, (*student, *teacher)) for part in views))

    def _encode(
        self, core: nn.Module, views: Views, noise: Tensor | None, which: tuple[int, ...]
    ) -> SlotOutput:
        images = chosen(views.images, which).flatten(0, 1)
        if noise is not None:
            noise = chosen(by_view(noise, views), which).flatten(0, 1)
        output: SlotOutput = core(images, noise)
        return output

    def after_step(self, step: int) -> None:
        for name, copied in self.teacher.items():
            move(copied, self.get_submodule(name), self.momentum(step))


class CentredTwoViews(MomentumTwoViews):
    """A momentum teacher whose scores are centred by a running mean (DINO, arXiv 2104.14294).

    A subclass's constructor calls :meth:`build_center`, its loss :meth:`observe`.
    """

    center: Tensor

    def build_center(self, scores: int) -> None:
        """Make the centre of this many scores, 0 at the start."""
        self.register_buffer("center", torch.zeros(scores))
        self._mean: Tensor | None = None

    def observe(self, scores: Tensor) -> None:
        """Keep the mean of the teacher's scores float (..., P) for :meth:`after_step`."""
        self._mean = scores.flatten(0, -2).mean(dim=0)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        assert self._mean is not None  # a loss came before
        self.center.lerp_(self._mean, 1 - self.config.center_momentum)


def joined(*outputs: SlotOutput) -> SlotOutput:
    """Outputs (E * B, ...) of several encodings, one after the other."""
    return SlotOutput(*(torch.cat(parts) for parts in zip(*outputs, strict=True)))


def expected_views(batch: TrainBatch) -> Views:
    """The views of a batch whose objective asks for some."""
    assert batch.views is not None
    return batch.views


def chosen(values: Tensor, views: tuple[int, ...]) -> Tensor:
    """Values (V, ...) -> those of these views, (len(views), ...); a list as index would make a GPU
    wait."""
    return torch.stack([values[view] for view in views])
