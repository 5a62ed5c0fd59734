import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor

from slotbench.objectives.contrastive import nt_xent
from slotbench.rng import torch_generator


def rows(seed: int, n: int = 12, width: int = 5) -> Tensor:
    return torch.randn(n, width, generator=torch_generator(seed, "rows")).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_lightly_in_value_and_gradient(temperature: float) -> None:
    ours, theirs = (rows(0), rows(1)), (rows(0), rows(1))
    value = nt_xent(*ours, temperature)
    expected = NTXentLoss(temperature=temperature)(*theirs)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_is_the_mean_cross_entropy_over_all_anchors() -> None:
    first, second = rows(2, n=3), rows(3, n=3)
    every = torch.nn.functional.normalize(torch.cat([first, second]), dim=1).detach()
    total = 0.0
    for anchor in range(6):
        scores = {other: float(every[anchor] @ every[other]) / 0.3 for other in range(6)}
        del scores[anchor]
        top = torch.tensor(list(scores.values())).logsumexp(0)
        total += float(top) - scores[(anchor + 3) % 6]
    torch.testing.assert_close(nt_xent(first, second, 0.3).item(), total / 6)


def test_rows_of_the_same_image_can_be_left_out_of_the_negatives() -> None:
    first, second = rows(4, n=4), rows(5, n=4)
    image = torch.tensor([0, 0, 1, 1])
    value = nt_xent(first, second, 0.5, image)
    moved = first.detach().clone()
    # Row 1 is of row 0's image: moving it must not change what row 0 is told.
    every = torch.nn.functional.normalize(torch.cat([moved, second]), dim=1)
    logits = every[0] @ every.T / 0.5
    keep = [2, 3, 6, 7, 4]
    own = logits[keep].logsumexp(0) - logits[4]
    anchors = [_anchor(every, index, image.repeat(2)) for index in range(8)]
    torch.testing.assert_close(anchors[0], own)
    torch.testing.assert_close(value, torch.stack(anchors).mean())


def _anchor(every: Tensor, index: int, image: Tensor) -> Tensor:
    positive = (index + 4) % 8
    keep = [other for other in range(8) if image[other] != image[index]] + [positive]
    logits = every[index] @ every.T / 0.5
    return logits[keep].logsumexp(0) - logits[positive]


def test_identical_views_score_best() -> None:
    first = rows(6)
    same = nt_xent(first, first, 0.2)
    assert same < nt_xent(first, rows(7), 0.2)
