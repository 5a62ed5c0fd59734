"""Losses are computed in float32, whatever autocast says."""

import pytest
import torch

from slotbench.objectives.contrastive import info_nce, nt_xent
from slotbench.objectives.distillation import balanced_codes
from slotbench.objectives.heads import Prototypes, off_diagonal_covariance
from slotbench.objectives.reconstruction import pairwise_cosine
from slotbench.objectives.redundancy import cross_correlation
from slotbench.objectives.slotcon import slot_contrast
from slotbench.objectives.temporal import batch_nce
from slotbench.rng import building
from tests.objectives.tiny import rows

YES = torch.ones(12, dtype=torch.bool)
with building(0, "prototypes"):
    PROTOTYPES = Prototypes(5, 7)
LOSSES = {
    "nt_xent": lambda one, two: nt_xent(one, two, 0.1),
    "info_nce": lambda one, two: info_nce(one, two, two.detach(), 0.1),
    "batch_nce": lambda one, two: batch_nce(one, two, 0.1),
    "slot_contrast": lambda one, two: slot_contrast(one, two, YES, YES, 0.1),
    "cross_correlation": lambda one, two: cross_correlation(one, two).square().sum(),
    "off_diagonal_covariance": lambda one, _: off_diagonal_covariance(one),
    "pairwise_cosine": lambda one, _: pairwise_cosine(one.view(3, 4, 5), 0.2),
    "prototypes": lambda one, _: PROTOTYPES(one).square().sum(),
    "sinkhorn": lambda one, _: balanced_codes(one, 0.05, 3).square().sum() + 0 * one.sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_neither_value_nor_gradient(name):
    found = []
    for enabled in (False, True):
        one, two = rows(0, 12, 5), rows(1, 12, 5)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = LOSSES[name](one, two)
        loss.backward()
        assert loss.dtype == torch.float32
        found.append((loss, one.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-7)


def test_half_precision_arguments_are_widened():
    one, two = rows(0, 12, 5).detach().bfloat16(), rows(1, 12, 5).detach().bfloat16()
    assert nt_xent(one, two, 0.1) == nt_xent(one.float(), two.float(), 0.1)
