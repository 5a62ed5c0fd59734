import itertools

import numpy as np
import pytest
import torch

from slotbench.cores.core import SlotOutput
from slotbench.datasets.format.views import ViewConfig, Views, make_views, warp
from slotbench.objectives.alignment import Hungarian, Mask, Pool, Shared, Sinkhorn, overlap
from slotbench.rng import torch_generator
from tests.cores.test_contract import make


def views(matrices):
    return Views(torch.zeros(*matrices.shape[:2], 3, 8, 8), matrices)


ALL = (Pool, Shared, Hungarian, Mask, Sinkhorn)
BY_CONTENT = (Hungarian, Mask, Sinkhorn)
VIEWS = views(torch.eye(2, 3).expand(2, 3, 2, 3))
FLIP = torch.tensor([[-1.0, 0, 0], [0, 1, 0]])
LEFT = torch.tensor([[0.5, 0, -0.5], [0, 1, 0]])


def output(slots, attention=None):
    """Slots (V, B, K, D), attention (V, B, K, h, w) as a core gives them for all views at once."""
    flat = slots.flatten(0, 1)
    if attention is None:
        attention = torch.full((*slots.shape[:3], 2, 2), 1 / slots.shape[2])
    return SlotOutput(flat, attention.flatten(0, 1), torch.zeros(len(flat), 4, 2))


def slots(seed=0):
    return torch.randn(3, 4, 6, generator=torch_generator(seed, "slots"))


def test_pool_averages_the_set():
    first, second = slots(0), slots(1)
    paired = Pool().pair(output(torch.stack([first, second])), VIEWS)
    torch.testing.assert_close(paired.vectors, torch.stack([first.mean(1), second.mean(1)]))
    assert paired.image.tolist() == [0, 1, 2]


def test_hungarian_maximises_the_sum_of_cosine_similarities():
    first, second = slots(2), slots(3)
    paired = Hungarian().pair(output(torch.stack([first, second])), VIEWS)
    found = torch.cosine_similarity(*paired.vectors, dim=1).unflatten(0, (3, 4)).sum(1)
    alike = torch.cosine_similarity(first[:, :, None], second[:, None], dim=3)
    for image in range(3):
        orders = itertools.permutations(range(4))
        best = max(alike[image, torch.arange(4), torch.tensor(order)].sum() for order in orders)
        torch.testing.assert_close(found[image], best)


def test_only_shared_noise_is_the_same_for_every_image_and_view():
    core = make("slot-attention")
    noise = Shared().noise(core, 3, 2, torch_generator(0, "noise"))
    assert noise.shape == (6, 4, 16)
    assert torch.equal(noise, noise[:1].expand(6, -1, -1))
    assert not torch.equal(noise[0, 0], noise[0, 1])
    for kind in (Pool, Hungarian, Mask, Sinkhorn):
        other = kind().noise(core, 3, 2, torch_generator(0, "noise"))
        assert len(other.flatten(1).unique(dim=0)) == 6


def label_masks(labels, count):
    """Masks (..., K, h, w) of label maps (..., h, w)."""
    return (labels[..., None, :, :] == torch.arange(count)[:, None, None]).float()


def crops(seed, count=4):
    """Masks (V, B, K, 32, 32), 3 views of 5 images of K blobs, and the views' matrices."""
    generator = torch_generator(seed, "blobs")
    centres = torch.rand(5, count, 2, generator=generator) - 0.5
    grid = torch.linspace(-1, 1, 32)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    at = centres[..., None, None]
    labels = ((x - at[:, :, 0]) ** 2 + (y - at[:, :, 1]) ** 2).argmin(dim=1)
    made = make_views(torch.zeros(5, 3, 32, 32), ViewConfig(crop=(0.4, 0.9)), (seed,), 3)
    seen = [warp(labels[:, None], matrices)[:, 0] for matrices in made.matrices]
    return label_masks(torch.stack(seen), count), made.matrices


@pytest.mark.parametrize("seed", range(2))
def test_mask_pairs_what_lies_in_the_same_place_of_the_original_image(seed):
    masks, matrices = crops(seed)
    generator = torch_generator(seed, "order")
    orders = torch.stack([torch.randperm(4, generator=generator) for _ in range(15)]).view(3, 5, 4)
    shuffled = masks.take_along_dim(orders[..., None, None], dim=2)
    names = orders[..., None].float()  # a slot holds the number of its blob and nothing else
    paired = Mask().pair(output(names, shuffled), views(matrices))
    assert torch.equal(paired.vectors, paired.vectors[:1].expand(3, -1, -1))
    assert not torch.equal(names[0], names[1])


def iou(first, other):
    both, either = (first & other).sum(), (first | other).sum()
    return float(both / either) if either else 0.0


def test_overlap_is_the_intersection_over_union_of_what_both_views_saw():
    generator = torch_generator(0, "labels")
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    stretched = labels[1][:, :4].repeat_interleave(2, dim=1)
    cases = {
        "still": (torch.eye(2, 3), labels[1], slice(0, 8)),
        "flip": (FLIP, labels[1].flip(1), slice(0, 8)),
        "left": (LEFT, stretched, slice(0, 4)),
    }
    for matrix, view, seen in cases.values():
        masks = label_masks(torch.stack([labels[0], view])[:, None], 4)
        found = overlap(masks, torch.stack([torch.eye(2, 3), matrix])[:, None])[0, 0]
        truth = label_masks(labels, 4)[..., seen] > 0
        for i, j in itertools.product(range(4), repeat=2):  # slot 3 is empty
            assert found[i, j] == pytest.approx(iou(truth[0, i], truth[1, j]), abs=1e-6)


def test_views_that_share_nothing_of_the_image_are_paired_by_index():
    right = LEFT * torch.tensor([1.0, 1, -1])
    matrices = torch.stack([LEFT, right])[:, None].expand(2, 3, 2, 3)
    masks = torch.rand(2, 3, 4, 8, 8, generator=torch_generator(0, "masks")).softmax(dim=2)
    assert overlap(masks, matrices).abs().max() == 0
    both = torch.stack([slots(0), slots(1)])
    paired = Mask().pair(output(both, masks), views(matrices))
    assert torch.equal(paired.vectors[1], both[1].flatten(0, 1))


def transport(scores, epsilon, iterations):
    """Sinkhorn and Knopp's scaling of exp(scores / epsilon), in doubles, masses 1/K."""
    kernel = np.exp(scores / epsilon)
    u = v = np.ones(len(scores))
    for _ in range(iterations):
        v = 1 / len(scores) / (kernel.T @ u)
        u = 1 / len(scores) / (kernel @ v)
    return np.asarray(u[:, None] * kernel * v)


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 20), (0.5, 3), (5.0, 1)])
def test_sinkhorn_is_the_scaled_kernel(epsilon, iterations):
    both = torch.stack([slots(0), slots(1)])
    made = Sinkhorn()
    made.epsilon, made.iterations = epsilon, iterations
    plan = made.plan(both, both, both)
    cosine = torch.nn.functional.cosine_similarity(both[0][:, :, None], both[1][:, None], dim=3)
    for image in range(3):
        expected = 4 * transport(cosine[image].double().numpy(), epsilon, iterations)
        np.testing.assert_allclose(plan[0, image], expected, atol=1e-5)
    torch.testing.assert_close(plan.sum(dim=-1), torch.ones(1, 3, 4))
    paired = made.pair(output(both), VIEWS)
    torch.testing.assert_close(paired.vectors[1], (plan[0] @ both[1]).flatten(0, 1))


def test_the_default_plan_uses_all_slots_alike():
    both = torch.randn(2, 32, 7, 48, generator=torch_generator(0, "slots"))
    plan = Sinkhorn().plan(both, both, both)
    assert (plan.sum(dim=-2) - 1).abs().max() < 0.04


@pytest.mark.parametrize("kind", BY_CONTENT)
def test_the_order_of_another_views_slots_changes_nothing(kind):
    masks, matrices = crops(0)
    made = torch.randn(3, 5, 4, 6, generator=torch_generator(0, "slots"))
    order = torch.tensor([2, 0, 3, 1])
    before = kind().pair(output(made, masks), views(matrices)).vectors
    made[1:], masks[1:] = made[1:, :, order], masks[1:, :, order]
    after = kind().pair(output(made, masks), views(matrices)).vectors
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("kind", ALL)
def test_every_view_is_aligned_to_the_first_as_if_it_were_alone(kind):
    masks, matrices = crops(1)
    made = torch.randn(3, 5, 4, 6, generator=torch_generator(1, "slots"))
    together = kind().pair(output(made, masks), views(matrices))
    images = torch.arange(5).repeat_interleave(1 if kind is Pool else 4)
    assert torch.equal(together.image, images)
    for other in (1, 2):
        pick = torch.tensor([0, other])
        alone = kind().pair(output(made[pick], masks[pick]), views(matrices[pick]))
        torch.testing.assert_close(together.vectors[pick], alone.vectors)
        assert torch.equal(together.image, alone.image)


@pytest.mark.parametrize("kind", ALL)
def test_a_single_slot_is_paired_with_itself(kind):
    both = torch.randn(2, 3, 1, 6, generator=torch_generator(0, "slots"))
    paired = kind().pair(output(both), VIEWS)
    torch.testing.assert_close(paired.vectors, both[:, :, 0], rtol=0, atol=1e-6)
    assert paired.image.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", BY_CONTENT)
def test_no_gradient_passes_through_the_plan(kind):
    masks, matrices = crops(0)
    made = torch.randn(3, 5, 4, 6, generator=torch_generator(0, "slots")).requires_grad_()
    attention = masks.requires_grad_()
    paired = kind().pair(output(made, attention), views(matrices))
    weights = torch.randn(20, 6, generator=torch_generator(0, "weights"))
    (paired.vectors[1] * weights).sum().backward()
    assert attention.grad is None
    assert made.grad[0].abs().max() == made.grad[2].abs().max() == 0
    plan = kind().plan(made.detach(), masks.detach(), matrices)
    torch.testing.assert_close(made.grad[1], plan[0].mT @ weights.view(5, 4, 6))


@pytest.mark.parametrize("kind", [Shared, Hungarian, Mask])
def test_half_precision_picks_slots_and_does_not_round_them(kind):
    both = torch.stack([slots(0), slots(1)])
    expected = kind().pair(output(both), VIEWS).vectors
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kind().pair(output(both), VIEWS).vectors, expected)
    half = kind().pair(output(both.bfloat16()), VIEWS).vectors
    assert half.dtype == torch.bfloat16
    rows = both[1].bfloat16().flatten(0, 1)
    assert all((rows == row).all(dim=1).any() for row in half[1])
