import itertools

import pytest
import torch
from torch import Tensor

from slotbench.cores.base import SlotOutput
from slotbench.cores.encoders import StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.datasets.views import Views
from slotbench.objectives.alignment import Alignment, Hungarian, Pool, Shared
from slotbench.rng import torch_generator

VIEWS = Views(torch.zeros(2, 3, 3, 8, 8), torch.eye(2, 3).expand(2, 3, 2, 3))


def output(slots: Tensor) -> SlotOutput:
    """Slots (V, B, K, D) as a core gives them for all views at once."""
    flat = slots.flatten(0, 1)
    attention = torch.full((*flat.shape[:2], 2, 2), 1 / flat.shape[1])
    return SlotOutput(flat, attention, torch.zeros(len(flat), 4, 2))


def slots(seed: int = 0) -> Tensor:
    return torch.randn(3, 4, 6, generator=torch_generator(seed, "slots"))


def core() -> SlotAttention:
    config = SlotAttentionConfig(slots=4, width=6, mlp_width=8)
    return SlotAttention(config, StridedCnn(StridedCnnConfig(4), 8))


def test_pool_averages_the_set() -> None:
    first, second = slots(0), slots(1)
    paired = Pool().pair(output(torch.stack([first, second])), VIEWS)
    torch.testing.assert_close(paired.vectors, torch.stack([first.mean(1), second.mean(1)]))
    assert paired.image.tolist() == [0, 1, 2]


@pytest.mark.parametrize("alignment", [Shared(), Hungarian()])
def test_rows_say_which_image_they_are_of(alignment: Alignment) -> None:
    paired = alignment.pair(output(torch.stack([slots(0), slots(1)])), VIEWS)
    assert paired.vectors.shape == (2, 12, 6)
    assert paired.image.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_hungarian_finds_a_permutation_back() -> None:
    first = slots(0)
    order = torch.tensor([[2, 0, 3, 1], [1, 0, 2, 3], [3, 2, 1, 0]])
    second = 5 * first.take_along_dim(order[:, :, None], dim=1)  # cosine: the scale is nothing
    paired = Hungarian().pair(output(torch.stack([first, second])), VIEWS)
    torch.testing.assert_close(paired.vectors[0] * 5, paired.vectors[1])


def test_hungarian_maximises_the_sum_of_cosine_similarities() -> None:
    first, second = slots(2), slots(3)
    paired = Hungarian().pair(output(torch.stack([first, second])), VIEWS)
    found = torch.cosine_similarity(*paired.vectors, dim=1).unflatten(0, (3, 4)).sum(1)
    for image in range(3):
        best = max(
            sum(torch.cosine_similarity(first[image, i], second[image, j], dim=0) for i, j in
                enumerate(order)) for order in itertools.permutations(range(4))
        )  # fmt: skip
        torch.testing.assert_close(found[image], best)


def test_shared_noise_is_the_same_for_every_image_and_view() -> None:
    noise = Shared().noise(core(), 3, 2, torch_generator(0, "noise"))
    assert noise is not None
    assert noise.shape == (6, 4, 6)
    assert torch.equal(noise, noise[:1].expand(6, -1, -1))
    assert not torch.equal(noise[0, 0], noise[0, 1])


@pytest.mark.parametrize("alignment", [Pool(), Hungarian()])
def test_other_alignments_draw_noise_for_every_image_and_view(alignment: Alignment) -> None:
    noise = alignment.noise(core(), 3, 2, torch_generator(0, "noise"))
    assert noise is not None
    assert len(noise.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("alignment", [Pool(), Shared(), Hungarian()])
def test_gradients_reach_both_views(alignment: Alignment) -> None:
    both = torch.stack([slots(0), slots(1)]).requires_grad_()
    alignment.pair(output(both), VIEWS).vectors.square().sum().backward()
    assert both.grad is not None
    assert (both.grad != 0).all()
