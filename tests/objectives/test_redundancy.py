"""VICReg and Barlow Twins, against lightly; covariance and cosine penalties, against torch."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss
from lightly.loss.vicreg_loss import covariance_loss, variance_loss

from slotbench.objectives import redundancy
from slotbench.objectives.reconstruction import Reconstruction, pairwise_cosine
from slotbench.objectives.two_views import Rows
from tests.objectives import tiny
from tests.objectives.tiny import assert_same, rows


def test_variance_and_covariance_equal_lightly_in_value_and_gradient():
    for mine, other in (
        (redundancy.variance_hinge, variance_loss),
        (redundancy.off_diagonal_covariance, covariance_loss),
    ):
        ours, theirs = rows(0, 12, 5), rows(0, 12, 5)
        assert_same(ours, theirs, mine(0.7 * ours), other(0.7 * theirs))


@pytest.mark.parametrize(
    ("name", "kind", "criterion"),
    [
        ("vicreg", redundancy.VICReg, VICRegLoss()),
        ("barlow-twins", redundancy.BarlowTwins, BarlowTwinsLoss()),
    ],
)
def test_the_loss_equals_lightly_in_value_and_gradient(data, monkeypatch, name, kind, criterion):
    """The heads are taken away, so that the rows are what the criterion sees."""
    made = tiny.objective(data[False], name)
    head = "expander" if kind is redundancy.VICReg else "projector"
    setattr(made, head, torch.nn.Identity())
    ours, theirs = rows(0, 2, 12, 5), rows(0, 2, 12, 5)
    monkeypatch.setattr(made, "rows", lambda _: Rows(ours, torch.arange(12)))
    value = made.loss(tiny.batch_of(data, made))["loss"]
    assert_same(ours, theirs, value, criterion(*theirs))


def test_both_views_pass_the_head_by_themselves(data):
    for name, head, criterion in (
        ("vicreg", "expander", VICRegLoss()),
        ("barlow-twins", "projector", BarlowTwinsLoss()),
    ):
        made = tiny.objective(data[False], name)
        batch = tiny.batch_of(data, made)
        vectors = made.rows(batch).vectors
        passed = [getattr(made, head)(view) for view in vectors]
        torch.testing.assert_close(made.loss(batch)["loss"], criterion(*passed))


def test_cross_correlation_is_pearsons():
    first, second = rows(0, 30, 3).detach() * 5 + 2, rows(1, 30, 4).detach()
    expected = torch.corrcoef(torch.cat([first, second], dim=1).T)[:3, 3:]
    torch.testing.assert_close(
        redundancy.cross_correlation(first, second), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("margin", [0.2, 0.0, 0.9])
def test_the_cosine_penalty_equals_torchs_in_value_and_gradient(margin):
    ours, theirs = rows(0, 3, 4, 5), rows(0, 3, 4, 5)
    first = theirs[:, :, None].expand(-1, -1, 4, -1).reshape(-1, 5)
    second = theirs[:, None].expand(-1, 4, -1, -1).reshape(-1, 5)
    same = torch.eye(4).expand(3, -1, -1).reshape(-1)
    expected = torch.nn.CosineEmbeddingLoss(margin)(first, second, 2 * same - 1)
    # A slot and itself agree: rounding alone gives that pair a gradient.
    assert_same(ours, theirs, pairwise_cosine(ours, margin), expected, atol=1e-6, rtol=1e-4)


def test_cosine_is_reconstruction_and_the_penalty(data):
    made = tiny.objective(data[False], "cosine", "objective.weight=0.5")
    batch = tiny.batch_of(data, made)
    slots = made.core(batch.images, batch.noise(made.core)).slots
    expected = Reconstruction.loss(made, batch)["loss"] + 0.5 * pairwise_cosine(slots, 0.2)
    torch.testing.assert_close(made.loss(batch)["loss"], expected)


@pytest.mark.parametrize("variance", [0.0, 2.0])
def test_covariance_is_reconstruction_and_the_penalty(data, variance):
    extra = ("objective.weight=3", f"objective.variance={variance}")
    made = tiny.objective(data[False], "covariance", *extra)
    batch = tiny.batch_of(data, made)
    slots = made.core(batch.images, batch.noise(made.core)).slots
    projected = made.projector(slots.reshape(-1, 8))
    covariance, width = projected.T.cov(), projected.shape[1]
    off = covariance.square().sum() - covariance.diagonal().square().sum()
    expected = Reconstruction.loss(made, batch)["loss"] + 3 * off / width**2
    expected = expected + variance * variance_loss(projected)
    torch.testing.assert_close(made.loss(batch)["loss"], expected)
