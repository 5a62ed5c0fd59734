"""SwAV's codes and loss, against lightly."""

import pytest
import torch
from lightly.loss import SwaVLoss
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn
from torch.nn import functional

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.objectives.distillation import SwAV, balanced_codes, distillation
from tests.objectives import tiny
from tests.objectives.tiny import rows


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_sinkhorn_equals_lightly(epsilon: float, iterations: int) -> None:
    scores = rows(0, 20, 6).detach().tanh()
    expected = lightly_sinkhorn(scores, iterations, epsilon)
    torch.testing.assert_close(balanced_codes(scores, epsilon, iterations), expected)


def test_codes_use_all_prototypes_alike() -> None:
    """Even where every row is nearest to the same one."""
    scores = rows(0, 64, 4).detach().tanh() + torch.tensor([2.0, 0, 0, 0])
    codes = balanced_codes(scores, 0.5, 100)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((4,), 16.0), rtol=1e-3, atol=0)


def test_a_small_epsilon_gives_codes_too() -> None:
    """Here lightly's exponentials, and a shift by the greatest score, leave nothing."""
    scores = torch.tensor([[0.9, 0.1, 0.0], [-0.1, -0.2, -0.9], [0.0, 0.5, -0.5]])
    codes = balanced_codes(scores, 1e-3, 3)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(3))
    assert codes.isfinite().all()


def test_the_loss_equals_lightly_in_value_and_gradient() -> None:
    ours, theirs = rows(0, 2, 12, 6), rows(0, 2, 12, 6)
    codes = torch.stack(
        [balanced_codes(view, 0.05, 3) for view in functional.normalize(ours, dim=2)]
    )
    value = distillation(functional.normalize(ours, dim=2) / 0.1, codes)
    expected = SwaVLoss(0.1, 3, 0.05)(list(functional.normalize(theirs, dim=2)), []).squeeze()
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_swav_on_slots_is_lightlys_loss_on_its_scores(data: dict[bool, DatasetFile]) -> None:
    made = tiny.objective(data[False], "swav", alignment="shared")
    assert isinstance(made, SwAV)
    batch = tiny.batch_of(data, made)
    scores = made.prototypes(made.projector(made.rows(batch).vectors))
    assert scores.abs().max() <= 1 + 1e-6
    losses = made.loss(batch)
    torch.testing.assert_close(losses["loss"], SwaVLoss(0.1, 3, 0.05)(list(scores), []).squeeze())
    assert 0 < losses["clusters_used"] <= 1


@pytest.mark.parametrize("field", ["epsilon=0", "temperature=-1", "iterations=0", "prototypes=0"])
def test_values_that_no_loss_can_use_are_refused(data: dict[bool, DatasetFile], field: str) -> None:
    with pytest.raises(UserError, match=field.partition("=")[0]):
        tiny.objective(data[False], "swav", f"objective.{field}")
