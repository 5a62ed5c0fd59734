"""Losses on pairs of slots in value and gradient, against lightly, torch and loops over slots."""

import pytest
import torch
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    VICRegLoss,
)
from lightly.loss.vicreg_loss import variance_loss
from lightly.utils.scheduler import cosine_schedule
from torch import nn
from torch.nn import functional

from slotbench.objectives.contrastive import enqueue
from slotbench.objectives.distillation import balanced_codes
from slotbench.objectives.heads import Prototypes
from slotbench.objectives.reconstruction import Reconstruction
from slotbench.objectives.two_views import Rows
from slotbench.rng import building
from tests.objectives import tiny
from tests.objectives.tiny import rows

SCENES, SLOTS = tiny.BATCH, 3
ROWS = SCENES * SLOTS


def made_of(data, name, *extra):
    """An objective whose teacher, if it has one, is not its student; a batch; both's slots."""
    aligned = "shared" if tiny.kinds()[name].takes_alignment else None
    made, batch = tiny.made_of(data, name, *extra, alignment=aligned, steps=10)
    with torch.no_grad():
        for weight in made.teacher.parameters() if hasattr(made, "teacher") else ():
            weight.mul_(1.1)
    return made, batch, *(tiny.by_hand(made, batch) if aligned else (None, None))


def mean(values):
    return torch.stack(list(values)).mean()


def entropy(anchor, candidates, positive, temperature):
    """Cross-entropy of an anchor (D,) to one of its candidates, by cosine similarity."""
    scores = [torch.cosine_similarity(anchor, each, dim=0) for each in candidates]
    return functional.cross_entropy(torch.stack(scores) / temperature, torch.tensor(positive))


def simclr(made, _, student, __):
    return NTXentLoss(temperature=made.config.temperature or 0.2)(*map(made.projector, student))


def simclr_among_other_images(made, _, student, __):
    every = torch.cat([made.projector(view) for view in student])
    image = torch.arange(SCENES).repeat_interleave(SLOTS).repeat(2)
    return mean(
        entropy(row, [every[(at + ROWS) % (2 * ROWS)], *every[image != image[at]]], 0, 0.2)
        for at, row in enumerate(every)
    )


def moco(made, _, student, teacher):
    loss = NTXentLoss(temperature=0.2, memory_bank_size=tuple(made.queue.shape))
    loss.memory_bank.bank = made.queue.clone()
    return loss(made.projector(student[0]), made.teacher["projector"](teacher[1]).detach())


def simsiam(made, _, student, __):
    criterion, projected = NegativeCosineSimilarity(), [made.projector(view) for view in student]
    wanted = [each.detach() if made.config.stop_gradient else each for each in projected]
    return mean(criterion(made.predictor(projected[k]), wanted[1 - k]) for k in range(2))


def byol(made, _, student, teacher):
    criterion, head = NegativeCosineSimilarity(), made.teacher["projector"]
    return mean(
        2 + 2 * criterion(made.predictor(made.projector(seen)), head(other).detach())
        for seen, other in zip(student, teacher[::-1], strict=True)
    )


def swav(made, _, student, __):
    scores, config = [made.prototypes(made.projector(view)) for view in student], made.config
    return SwaVLoss(0.1, config.iterations, config.epsilon)(scores, []).squeeze()


def cosine(made, batch, *_):
    slots = made.core(batch.images, batch.noise(made.core)).slots
    first = slots[:, :, None].expand(-1, -1, SLOTS, -1).reshape(-1, 8)
    second = slots[:, None].expand(-1, SLOTS, -1, -1).reshape(-1, 8)
    same = torch.eye(SLOTS).expand(SCENES, -1, -1).reshape(-1)
    penalty = nn.CosineEmbeddingLoss(made.config.margin)(first, second, 2 * same - 1)
    return Reconstruction.loss(made, batch)["loss"] + 0.5 * penalty


def covariance(made, batch, *_):
    slots = made.core(batch.images, batch.noise(made.core)).slots
    projected = made.projector(slots.reshape(-1, 8))
    found = projected.T.cov()
    off = (found.square().sum() - found.diagonal().square().sum()) / len(found) ** 2
    loss = Reconstruction.loss(made, batch)["loss"] + 3 * off
    return loss + made.config.variance * variance_loss(projected)


def contrasting_sets(made, batch, *_):
    """The moved set of a scene against the next sets of all scenes."""
    noise = made.core.noise(2 * SCENES, batch.generator("slots")).view(2, SCENES, SLOTS, 8)
    now, later = (
        [made.core(image[None], one[None]).slots[0] for image, one in zip(*frame, strict=True)]
        for frame in zip(batch.views.images, noise, strict=True)
    )

    def vector(slots):
        return made.whole(torch.stack([made.each(slot) for slot in slots]).mean(dim=0))

    moved, actual = [vector(s + made.transition(s)) for s in now], [vector(s) for s in later]
    return mean(entropy(one, actual, scene, 0.5) for scene, one in enumerate(moved))


def slot_contrast_next(made, _, student, __):
    now, later = (made.projector(frame) for frame in student)
    return mean(entropy(one, later, row, 0.1) for row, one in enumerate(now))


def scn(made, _, student, __):
    """A slot among its index in all scenes, and among its scene."""
    now, later = (made.projector(frame).view(SCENES, SLOTS, -1) for frame in student)
    return 2 * mean(
        each
        for scene in range(SCENES)
        for slot in range(SLOTS)
        for each in (
            entropy(now[scene, slot], later[:, slot], scene, 0.1),
            entropy(now[scene, slot], later[scene], slot, 0.1),
        )
    )


def cswm(made, _, student, __):
    """Kipf sums an energy over dimensions; here it is a mean, of slots in units of their norm."""
    normed = [
        (frame - frame.mean(dim=1, keepdim=True))
        / (frame.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
        for frame in student
    ]
    now, later = (frame.view(SCENES, SLOTS, -1) for frame in normed)

    def energy(first, second):
        return (first - second).square().mean() / (2 * 0.5**2)

    positive, hinge = [], []
    for scene in range(SCENES):
        for slot, own in enumerate(now[scene]):
            others = [now[scene][other] for other in range(SLOTS) if other != slot]
            message = sum(made.edge(torch.cat([own, other])) for other in others)
            moved = own + made.node(torch.cat([own, message]))
            positive.append(energy(moved, later[scene][slot]))
        hinge.append((made.config.hinge - energy(now[scene - 1], later[scene])).relu())
    assert float(mean(hinge).detach()) > 0
    return mean(positive) + mean(hinge)


LOSSES = {
    "simclr": [simclr, ()],
    "simclr, warm": [simclr, ("temperature=2",)],
    "simclr, other images": [simclr_among_other_images, ("same_image_negatives=false",)],
    "moco": [moco, ()],
    "simsiam": [simsiam, ()],
    "simsiam, free": [simsiam, ("stop_gradient=false",)],
    "byol": [byol, ()],
    "swav": [swav, ()],
    "swav, soft": [swav, ("epsilon=0.5", "iterations=10")],
    "vicreg": [lambda made, _, s, __: VICRegLoss()(*map(made.expander, s)), ()],
    "barlow-twins": [lambda made, _, s, __: BarlowTwinsLoss()(*map(made.projector, s)), ()],
    "cosine": [cosine, ("weight=0.5",)],
    "cosine, wide": [cosine, ("weight=0.5", "margin=0.9")],
    "covariance": [covariance, ("weight=3",)],
    "covariance, varied": [covariance, ("weight=3", "variance=2")],
    "contrasting-sets": [contrasting_sets, ()],
    "slot-contrast-next": [slot_contrast_next, ()],
    "scn": [scn, ()],
    "cswm": [cswm, ("hinge=3",)],
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_equals_another_implementation_in_value_and_gradient(data, case):
    expected, options = LOSSES[case]
    extra = (f"objective.{text}" for text in options)
    made, *given = made_of(data, case.partition(",")[0], *extra)
    losses = made.loss(given[0])
    tiny.assert_same_loss(made, losses["loss"], expected(made, *given))
    assert 0 < float(losses.get("clusters_used", 1)) <= 1


def test_dino_and_its_centre_equal_lightly_over_steps(data):
    made, *_ = made_of(data, "dino")
    theirs = DINOLoss(len(made.center), teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    theirs.center = made.center[None, None].clone()
    for step in range(3):
        batch = tiny.batch_of(data, made, step)
        student, teacher = tiny.by_hand(made, batch)
        taught = [made.teacher["head"](view).detach() for view in teacher]
        expected = theirs(taught, [made.head(view) for view in student])
        tiny.assert_same_loss(made, made.loss(batch)["loss"], expected)
        assert not torch.equal(made.center, theirs.center[0, 0])  # ours waits for after_step
        with torch.no_grad():
            made.head[0].weight.add_(0.1)
        made.after_step(step)
        torch.testing.assert_close(made.center, theirs.center[0, 0])


def test_the_queue_takes_the_teachers_keys(data):
    made, batch, _, teacher = made_of(data, "moco")
    made.loss(batch)
    key = functional.normalize(made.teacher["projector"](teacher[1]), dim=1).detach()
    made.after_step(0)
    torch.testing.assert_close(made.queue, torch.cat([key[10:], key[2:10]]))


@pytest.mark.parametrize("size", [1, 3, 7, 10])
@pytest.mark.parametrize("count", [1, 3, 4, 25])
def test_the_queue_holds_the_newest_keys_whatever_the_sizes(size, count):
    queue, position = torch.full((size, 1), -1.0), torch.zeros((), dtype=torch.int64)
    for step in range(9):
        enqueue(queue, position, torch.arange(step * count, (step + 1) * count).float()[:, None])
    held = sorted(int(value) for value in queue[:, 0])
    newest = list(range(max(0, 9 * count - size), 9 * count))
    assert held == [-1] * (size - len(newest)) + newest
    assert int(position) == 9 * count % size
    # The next key takes the place of the oldest.
    assert queue[int(position), 0] == (held[0] if len(newest) == size else -1)


def test_simsiams_spread_is_1_for_unrelated_vectors_and_0_for_equal_ones(data, monkeypatch):
    made, batch, *_ = made_of(data, "simsiam")
    made.projector = made.predictor = nn.Identity()
    found = []
    for vectors in (rows(0, 2, 4000, 16), rows(0, 1, 1, 16).expand(2, 50, 16)):
        monkeypatch.setattr(made, "rows", lambda _, given=vectors: Rows(given, torch.zeros(1)))
        found.append(float(made.loss(batch)["spread"]))
    assert found == pytest.approx([1, 0], abs=0.02)


def test_prototypes_are_lightlys_frozen_in_norm():
    """Caron's weight_norm with a fixed gain of 1 is our normalisation where they are used."""
    with building(0, "prototypes"):
        ours = Prototypes(5, 7)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(5, 7, bias=False))
    layer.parametrizations.weight.original0.data.fill_(1)
    layer.parametrizations.weight.original1.data.copy_(ours.weight)
    with torch.no_grad():
        ours.weight.mul_(3)  # the length of a row says nothing
    vectors = rows(0, 6, 5)
    torch.testing.assert_close(ours(vectors), layer(functional.normalize(vectors, dim=1)))


def test_a_small_epsilon_gives_codes_too():
    """Here lightly's exponentials, and a shift by the greatest score, leave nothing."""
    scores = torch.tensor([[0.9, 0.1, 0.0], [-0.1, -0.2, -0.9], [0.0, 0.5, -0.5]])
    codes = balanced_codes(scores, 1e-3, 3)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(3))
    assert codes.isfinite().all()


@pytest.mark.parametrize(
    ("name", "start", "steps"), [("byol", 0.99, 7), ("dino", 0.996, 1000), ("slotcon", 0.5, 2)]
)
def test_a_teacher_follows_by_lightlys_schedule_and_stands_on_the_last_step(
    data, name, start, steps
):
    made, batch, *_ = made_of(data, name, f"objective.momentum={start}")
    made.steps = steps
    wanted = [cosine_schedule(step, steps, start, 1.0) for step in range(steps)]
    assert [made.momentum(step) for step in range(steps)] == pytest.approx(wanted, abs=1e-12)
    assert wanted[0] == start <= wanted[-2] < wanted[-1] == made.momentum(steps - 1) == 1
    made.loss(batch)  # the running statistics move
    for step in (0, steps - 1):
        before = tiny.state(made.teacher)
        made.after_step(step)
        for key, module in made.teacher.items():
            student = made.get_submodule(key)
            for path, moved in module.named_parameters():
                kept = wanted[step] * before[f"{key}.{path}"]
                expected = kept + (1 - wanted[step]) * student.get_parameter(path)
                torch.testing.assert_close(moved, expected, rtol=0, atol=1e-6)
            for path, copied in module.named_buffers():
                assert torch.equal(copied, student.get_buffer(path))
