"""SlotCon: grouping of positions, and contrast of slots that both views show."""

import math

import pytest
import torch

from slotbench.cores.core import SlotOutput
from slotbench.datasets.format.views import Views
from slotbench.objectives.slotcon import slot_contrast, wins
from slotbench.objectives.two_views import joined
from tests.objectives import tiny
from tests.objectives.tiny import rows


def slotcon(data, *extra, **choices):
    return tiny.objective(data[False], "slotcon", *extra, **choices)


def test_slots_that_win_a_position_are_present():
    attention = torch.tensor([[[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]]).view(1, 3, 1, 2)
    assert wins(attention).tolist() == [[True, False, True]]


def test_the_contrast_against_a_loop():
    queries, keys = rows(0, 6, 5).detach(), rows(1, 6, 5).detach()
    counted = torch.tensor([1, 0, 1, 0, 1, 0]).bool()
    shown = torch.tensor([1, 1, 1, 0, 1, 0]).bool()
    losses = []
    for row in (0, 2, 4):
        scores = [
            float(torch.cosine_similarity(queries[row], keys[other], dim=0)) / 0.2
            for other in (0, 1, 2, 4)
        ]
        own = scores[(0, 1, 2, 4).index(row)]
        losses.append(math.log(sum(map(math.exp, scores))) - own)
    found = slot_contrast(queries, keys, counted, shown, 0.2)
    assert float(found) == pytest.approx(2 * 0.2 * sum(losses) / 3, rel=1e-5)


def test_where_no_slot_counts_the_contrast_is_0_and_so_is_its_gradient():
    queries, none = rows(0, 4, 5), torch.zeros(4, dtype=torch.bool)
    loss = slot_contrast(queries, rows(1, 4, 5).detach(), none, none, 0.2)
    loss.backward()
    assert float(loss.detach()) == 0
    assert queries.grad.abs().max() == 0


def two(features, side):
    attention = torch.full((len(features), 3, side, side), 1 / 3)
    return SlotOutput(torch.zeros(len(features), 3, 8), attention, features)


def test_grouping_is_dinos_cross_entropy_where_the_views_are_the_image(data):
    made, side = slotcon(data), 4
    student, teacher = (
        two(torch.randn(4, side**2, 12, generator=torch.Generator().manual_seed(seed)), side)
        for seed in (0, 1)
    )
    made.center.fill_(0.1)
    made.center[0] = -0.2
    views = Views(torch.zeros(2, 2, 3, 32, 32), torch.eye(2, 3).expand(2, 2, 2, 3))
    total = []
    scores = made.dense(student.features[..., :8])
    taught = made.teacher["dense"](teacher.features[..., :8])
    for first, second in ((0, 2), (1, 3), (2, 0), (3, 1)):  # image b of the one view and the other
        target = ((taught[second] - made.center) / 0.07).softmax(dim=1)
        total.append(-(target * (scores[first] / 0.1).log_softmax(dim=1)).sum(dim=1))
    expected = torch.stack(total).mean()
    torch.testing.assert_close(made.grouping(student, teacher, views), expected)
    made.after_step(0)
    torch.testing.assert_close(made.center[0], -0.18 + 0.1 * taught[..., 0].mean())


def test_positions_that_only_one_view_shows_do_not_count(data):
    """The left half and the right half of an image have nothing to say to each other."""
    made = slotcon(data)
    features = [rows(seed, 2, 16, 12) for seed in (0, 1)]
    left = torch.tensor([[0.5, 0, -0.5], [0, 1, 0]])
    right = torch.tensor([[0.5, 0, 0.5], [0, 1, 0]])
    apart = Views(torch.zeros(2, 1, 3, 32, 32), torch.stack([left, right])[:, None])
    loss = made.grouping(two(features[0], 4), two(features[1], 4), apart)
    assert float(loss.detach()) == 0
    same = apart._replace(matrices=left.expand(2, 1, -1, -1))
    assert float(made.grouping(two(features[0], 4), two(features[1], 4), same).detach()) > 0


def test_grouping_does_not_see_coordinates(data):
    made = slotcon(data)
    assert made.core.encoder.coordinates == 4
    assert made.dense[0][0].in_features == 8
    views = Views(torch.zeros(2, 2, 3, 32, 32), torch.eye(2, 3).expand(2, 2, 2, 3))
    student, teacher = (two(rows(seed, 4, 16, 12).detach(), 4) for seed in (0, 1))
    expected = made.grouping(student, teacher, views)
    for output in (student, teacher):
        output.features[:, :, 8:] += 1
    assert torch.equal(made.grouping(student, teacher, views), expected)


@pytest.mark.parametrize("alignment", ["pool", "hungarian"])
def test_presence_travels_with_the_slots(data, alignment):
    """A pooled row is present if any slot of it is; a paired row if its slot is."""
    made = slotcon(data, alignment=alignment)
    batch = tiny.batch_of(data, made)
    (student, teacher), views = made.encode(batch, (0, 1), (0, 1))
    paired = made.alignment.pair(joined(student, teacher), views)
    present = torch.cat([wins(student.attention), wins(teacher.attention)]).view(4, 4, 3)
    shown = (paired.carried(present.flatten(0, 1)) > 0.5 / 3).view(4, 4, -1)
    if alignment == "pool":
        assert torch.equal(shown, present.any(dim=2, keepdim=True))
    else:
        order = paired.weights.argmax(dim=3)
        assert torch.equal(shown, present.take_along_dim(order, dim=2))


def test_the_loss_is_the_weighted_sum(data):
    for weight in (0.0, 0.3, 1.0):
        made = slotcon(data, f"objective.group_weight={weight}", alignment="shared")
        losses = made.loss(tiny.batch_of(data, made))
        expected = weight * losses["grouping"] + (1 - weight) * losses["contrast"]
        torch.testing.assert_close(losses["loss"], expected)
