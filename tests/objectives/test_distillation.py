"""SimSiam, BYOL, DINO, SwAV and momentum copies, against lightly."""

import pytest
import torch
from lightly.loss import DINOLoss, NegativeCosineSimilarity, SwaVLoss
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn
from lightly.utils.scheduler import cosine_schedule
from torch import nn

from slotbench.objectives.distillation import balanced_codes, distillation
from slotbench.objectives.heads import Prototypes, momentum_copy, move
from slotbench.objectives.two_views import Rows
from slotbench.rng import building
from tests.objectives import tiny
from tests.objectives.tiny import assert_same, rows


def simsiam(data, *extra):
    """SimSiam, and its projections z1 and z2 of a batch."""
    made = tiny.objective(data[False], "simsiam", *extra)
    first, second = made.rows(tiny.batch_of(data, made)).vectors
    return made, made.projector(first), made.projector(second)


def test_simsiam_stops_the_gradient_of_what_is_predicted(data):
    made, one, two = simsiam(data)
    criterion = NegativeCosineSimilarity()
    expected = sum(
        criterion(made.predictor(seen), other.detach()) / 2
        for seen, other in ((one, two), (two, one))
    )
    loss = made.loss(tiny.batch_of(data, made))["loss"]
    torch.testing.assert_close(loss, expected)
    weights = [*made.core.parameters(), *made.projector.parameters()]
    torch.testing.assert_close(
        *(torch.autograd.grad(each, weights, allow_unused=True) for each in (loss, expected))
    )


def test_simsiams_spread_is_1_for_unrelated_vectors_and_0_for_equal_ones(data, monkeypatch):
    made, *_ = simsiam(data)
    batch = tiny.batch_of(data, made)
    made.projector = made.predictor = nn.Identity()
    found = []
    for vectors in (rows(0, 2, 4000, 16), rows(0, 1, 1, 16).expand(2, 50, 16)):
        monkeypatch.setattr(made, "rows", lambda _, given=vectors: Rows(given, torch.zeros(1)))
        found.append(float(made.loss(batch)["spread"]))
    assert found == pytest.approx([1, 0], abs=0.02)


def test_byol_is_2_minus_2_cosine_to_the_teachers_projection(data):
    made = tiny.objective(data[False], "byol", alignment="shared")
    with torch.no_grad():
        for weight in (*made.core.parameters(), *made.projector.parameters()):
            weight.mul_(1.1)
    batch = tiny.batch_of(data, made)
    student, teacher = tiny.by_hand(made, batch)
    criterion, total = NegativeCosineSimilarity(), torch.zeros(())
    for view in range(2):
        predicted = made.predictor(made.projector(student[view]))
        target = made.teacher["projector"](teacher[1 - view]).detach()
        total = total + (2 + 2 * criterion(predicted, target)) / 2
    torch.testing.assert_close(made.loss(batch)["loss"], total)


def dino_loss(center):
    theirs = DINOLoss(center.shape[0], teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    theirs.center = center[None, None].clone()
    return theirs


def test_dinos_loss_equals_lightly_in_value_and_gradient():
    ours, theirs, center = rows(0, 2, 6, 8), rows(0, 2, 6, 8), rows(2, 8).detach()
    taught = rows(1, 2, 6, 8).detach()
    value = distillation(ours / 0.1, ((taught - center) / 0.04).softmax(dim=2))
    assert_same(ours, theirs, value, dino_loss(center)(list(taught), list(theirs)))


def test_dino_and_its_centre_equal_lightly_over_steps(data):
    made = tiny.objective(data[False], "dino", alignment="shared", steps=10)
    theirs = dino_loss(made.center)
    for step in range(3):
        batch = tiny.batch_of(data, made, step)
        student, teacher = tiny.by_hand(made, batch)
        scores = [made.head(view) for view in student]
        taught = [made.teacher["head"](view).detach() for view in teacher]
        expected = theirs(taught, scores)
        torch.testing.assert_close(made.loss(batch)["loss"], expected)
        assert not torch.equal(made.center, theirs.center[0, 0])  # ours waits for after_step
        with torch.no_grad():
            made.head[0].weight.add_(0.1)
        made.after_step(step)
        torch.testing.assert_close(made.center, theirs.center[0, 0])


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
    torch.testing.assert_close(ours(vectors), layer(nn.functional.normalize(vectors, dim=1)))


@pytest.mark.parametrize(("start", "steps"), [(0.99, 7), (0.996, 1000), (0.5, 2)])
def test_the_schedule_equals_lightly_and_ends_on_the_last_step(data, start, steps):
    made = tiny.objective(data[False], "byol", f"objective.momentum={start}")
    made.steps = steps
    for step in range(steps):
        wanted = cosine_schedule(step, steps, start, 1.0)
        assert made.momentum(step) == pytest.approx(wanted, abs=1e-12)
    assert made.momentum(0) == pytest.approx(start)
    assert made.momentum(steps - 1) == 1
    # Not yet on the step before, unless that is the first.
    assert steps == 2 or made.momentum(steps - 2) != 1


@pytest.mark.parametrize("name", ["byol", "dino", "slotcon"])
def test_the_momentum_is_1_on_the_last_step_of_the_run(data, name):
    made = tiny.objective(data[False], name, steps=5)
    momenta = [made.momentum(step) for step in range(5)]
    assert momenta[0] == pytest.approx(made.config.momentum)
    assert momenta == sorted(momenta)
    assert momenta[-1] == 1.0 > momenta[-2]
    made.loss(tiny.batch_of(data, made))
    before = tiny.state(made.teacher)
    with torch.no_grad():
        for weight in made.core.parameters():
            weight.add_(1)
    made.after_step(4)
    assert tiny.differences(before, made.teacher.state_dict()) == []
    made.after_step(3)
    assert tiny.differences(before, made.teacher.state_dict())


def test_a_momentum_copy_averages_weights_and_copies_buffers():
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    teacher = momentum_copy(student)
    before = tiny.state(teacher)
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1)
    student(rows(0, 5, 3))  # the running statistics move
    move(teacher, student, 0.75)
    for name, value in teacher.named_parameters():
        torch.testing.assert_close(value, before[name] + 0.25)
        assert not value.requires_grad
    for name, kept in teacher.named_buffers():
        assert torch.equal(kept, student.get_buffer(name))
        assert not torch.equal(kept, before[name])


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.5, 10)])
def test_sinkhorn_equals_lightly(epsilon, iterations):
    scores = rows(0, 20, 6).detach().tanh()
    expected = lightly_sinkhorn(scores, iterations, epsilon)
    torch.testing.assert_close(balanced_codes(scores, epsilon, iterations), expected)


def test_a_small_epsilon_gives_codes_too():
    """Here lightly's exponentials, and a shift by the greatest score, leave nothing."""
    scores = torch.tensor([[0.9, 0.1, 0.0], [-0.1, -0.2, -0.9], [0.0, 0.5, -0.5]])
    codes = balanced_codes(scores, 1e-3, 3)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(3))
    assert codes.isfinite().all()


def test_swavs_loss_equals_lightly_in_value_and_gradient():
    ours, theirs = rows(0, 2, 12, 6), rows(0, 2, 12, 6)
    codes = torch.stack(
        [balanced_codes(view, 0.05, 3) for view in nn.functional.normalize(ours, dim=2)]
    )
    value = distillation(nn.functional.normalize(ours, dim=2) / 0.1, codes)
    expected = SwaVLoss(0.1, 3, 0.05)(list(nn.functional.normalize(theirs, dim=2)), []).squeeze()
    assert_same(ours, theirs, value, expected)


def test_swav_on_slots_is_lightlys_loss_on_its_scores(data):
    made = tiny.objective(data[False], "swav", alignment="shared")
    batch = tiny.batch_of(data, made)
    scores = made.prototypes(made.projector(made.rows(batch).vectors))
    assert scores.abs().max() <= 1 + 1e-6
    losses = made.loss(batch)
    torch.testing.assert_close(losses["loss"], SwaVLoss(0.1, 3, 0.05)(list(scores), []).squeeze())
    assert 0 < losses["clusters_used"] <= 1
