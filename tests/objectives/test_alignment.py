"""How slots of several views are paired, against assignments and transport written out."""

import itertools

import numpy as np
import pytest
import torch

from slotbench.cores.core import SlotOutput
from slotbench.datasets.format.views import ViewConfig, Views, make_views, warp
from slotbench.objectives.alignment import Hungarian, Mask, Pool, Shared, Sinkhorn, overlap
from slotbench.rng import torch_generator
from tests.cores.test_contract import make
from tests.evaluation.test_matching import best_pairs

FLIP = torch.tensor([[-1.0, 0, 0], [0, 1, 0]])
LEFT = torch.tensor([[0.5, 0, -0.5], [0, 1, 0]])


def views(matrices):
    return Views(torch.zeros(*matrices.shape[:2], 3, 8, 8), matrices)


def output(slots, attention):
    """Slots (V, B, K, D), attention (V, B, K, h, w) as a core gives them for all views at once."""
    flat = slots.flatten(0, 1)
    return SlotOutput(flat, attention.flatten(0, 1), torch.zeros(len(flat), 4, 2))


def slots(views, images, count=4):
    return torch.randn(views, images, count, 6, generator=torch_generator(0, "slots"))


def soft():
    """Sinkhorn's assignment, far from a permutation."""
    made = Sinkhorn()
    made.epsilon, made.iterations = 0.5, 3
    return made


ALL = {"pool": Pool, "shared": Shared, "hungarian": Hungarian, "mask": Mask}
ALL |= {"sinkhorn": Sinkhorn, "soft": soft}


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
    both = slots(2, 3)
    paired = Mask().pair(output(both, masks), views(matrices))
    assert torch.equal(paired.vectors, both.flatten(1, 2))


def transport(scores, epsilon, iterations):
    """Sinkhorn and Knopp's scaling of exp(scores / epsilon), in doubles, masses 1/K."""
    kernel = np.exp(scores / epsilon)
    u = v = np.ones(len(scores))
    for _ in range(iterations):
        v = 1 / len(scores) / (kernel.T @ u)
        u = 1 / len(scores) / (kernel @ v)
    return np.asarray(u[:, None] * kernel * v)


def plan(kind, one, other, alike):
    """The weights (rows, K) of slots (K, D) of another view in the rows of the first, written out.

    ``alike`` (K, K) is the overlap of their masks.
    """
    count = len(one)
    if isinstance(kind, Pool):
        return torch.full((1, count), 1 / count)
    cosine = torch.cosine_similarity(one[:, None], other, dim=2)
    if isinstance(kind, Sinkhorn):
        found = transport(cosine.double().numpy(), kind.epsilon, kind.iterations)
        return count * torch.from_numpy(found).float()
    if isinstance(kind, Shared):
        return torch.eye(count)
    best = best_pairs(-(cosine if isinstance(kind, Hungarian) else alike))
    return torch.eye(count)[[column for _, column in best]]


@pytest.mark.parametrize("count", [4, 1])
@pytest.mark.parametrize("name", ALL)
def test_rows_are_means_of_slots_by_a_plan_that_takes_no_gradient(name, count):
    kind, (masks, matrices) = ALL[name](), crops(0, count)
    made, attention = slots(3, 5, count).requires_grad_(), masks.requires_grad_()
    paired = kind.pair(output(made, attention), views(matrices))
    alike, rows, given = overlap(masks, matrices).detach(), [], made.detach()
    for view, image in itertools.product(range(3), range(5)):
        weights = torch.eye(count)
        if view or name == "pool":
            pair = given[0, image], given[view, image]
            weights = plan(kind, *pair, alike[view - 1, image])
        rows.append(weights @ made[view, image])
    assert torch.equal(paired.image, torch.arange(5).repeat_interleave(len(weights)))
    expected = torch.cat(rows).view(3, -1, 6)
    torch.testing.assert_close(paired.vectors, expected, atol=1e-5, rtol=1e-5)
    outside = torch.randn(expected.shape, generator=torch_generator(0, "outside"))
    (ours, none), (theirs, _) = (
        torch.autograd.grad((x * outside).sum(), (made, attention), allow_unused=True)
        for x in (paired.vectors, expected)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert none is None


def test_the_default_plan_uses_all_slots_alike():
    both = torch.randn(2, 32, 7, 48, generator=torch_generator(0, "slots"))
    plan = Sinkhorn().plan(both, both, both)
    torch.testing.assert_close(plan.sum(dim=-1), torch.ones(1, 32, 7))
    assert (plan.sum(dim=-2) - 1).abs().max() < 0.04


@pytest.mark.parametrize("kind", [Shared, Hungarian, Mask])
def test_half_precision_picks_slots_and_does_not_round_them(kind):
    both, masks = slots(2, 3), torch.full((2, 3, 4, 2, 2), 0.25)
    still = views(torch.eye(2, 3).expand(2, 3, 2, 3))
    expected = kind().pair(output(both, masks), still).vectors
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kind().pair(output(both, masks), still).vectors, expected)
    half = kind().pair(output(both.bfloat16(), masks), still).vectors
    assert half.dtype == torch.bfloat16
    rows = both[1].bfloat16().flatten(0, 1)
    assert all((rows == row).all(dim=1).any() for row in half[1])
