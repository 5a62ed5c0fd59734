"""NT-Xent, InfoNCE and the queue, against lightly's NTXentLoss with and without a memory bank."""

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional

from slotbench.objectives.contrastive import enqueue, info_nce, nt_xent
from tests.objectives import tiny
from tests.objectives.tiny import assert_same, rows


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_lightly_in_value_and_gradient(temperature):
    ours, theirs = (rows(0, 12, 5), rows(1, 12, 5)), (rows(0, 12, 5), rows(1, 12, 5))
    expected = NTXentLoss(temperature=temperature)(*theirs)
    assert_same(ours, theirs, nt_xent(*ours, temperature), expected)


def test_rows_of_the_same_image_can_be_left_out_of_the_negatives():
    first, second = rows(4, 4, 5), rows(5, 4, 5)
    image = torch.tensor([0, 0, 1, 1])
    every = unit(torch.cat([first, second]))
    anchors = [_anchor(every, index, image.repeat(2)) for index in range(8)]
    torch.testing.assert_close(nt_xent(first, second, 0.5, image), torch.stack(anchors).mean())


def _anchor(every, index, image):
    positive = (index + 4) % 8
    keep = [other for other in range(8) if image[other] != image[index]] + [positive]
    logits = every[index] @ every.T / 0.5
    return logits[keep].logsumexp(0) - logits[positive]


def unit(values):
    return functional.normalize(values, dim=1)


def lightly_loss(queue, position=0):
    loss = NTXentLoss(temperature=0.2, memory_bank_size=tuple(queue.shape))
    loss.memory_bank.bank = queue.clone()
    loss.memory_bank.bank_ptr[0] = position
    return loss


def test_info_nce_equals_lightly_in_value_and_gradient():
    queue = unit(rows(9, 10, 5).detach())
    ours, theirs = rows(0, 4, 5), rows(0, 4, 5)
    key = unit(rows(1, 4, 5).detach())
    expected = lightly_loss(queue)(theirs, key)
    assert_same(ours, theirs, info_nce(unit(ours), key, queue, 0.2), expected)


def test_the_queue_is_lightlys_where_its_size_is_a_multiple_of_the_rows():
    queue, position = unit(rows(9, 12, 5).detach()), torch.zeros((), dtype=torch.int64)
    theirs = lightly_loss(queue)
    for step in range(5):
        keys = unit(rows(step, 4, 5).detach())
        enqueue(queue, position, keys)
        theirs(rows(50 + step, 4, 5), keys)
        torch.testing.assert_close(queue, theirs.memory_bank.bank)
        assert int(position) == int(theirs.memory_bank.bank_ptr) == 4 * (step + 1) % 12


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


def test_queries_are_the_students_and_keys_the_teachers(data):
    made = tiny.objective(data[False], "moco", alignment="shared")
    with torch.no_grad():  # student and teacher differ, as they do after a step
        for weight in (*made.core.parameters(), *made.projector.parameters()):
            weight.mul_(1.1)
    batch = tiny.batch_of(data, made)
    student, teacher = tiny.by_hand(made, batch)
    query, key = unit(made.projector(student[0])), unit(made.teacher["projector"](teacher[1]))
    expected = info_nce(query, key.detach(), made.queue, 0.2)
    torch.testing.assert_close(made.loss(batch)["loss"], expected)
    before = made.queue.clone()
    made.after_step(0)
    torch.testing.assert_close(made.queue, torch.cat([key[10:], key[2:10]]).detach())
    assert not torch.equal(made.queue, before)
