"""Losses on the core's attention against loops over images, slots and places."""

from itertools import permutations

import torch
from torch.nn import functional

from slotbench.datasets.format.views import Views
from tests.objectives import tiny
from tests.objectives.test_dense import assert_same, place, sampled


def naive_affinity(features, attention, threshold):
    """STEGO's sum over pairs of places, one after the other."""
    pairs = []
    for image, masks in zip(features.flatten(2), attention.flatten(2), strict=True):
        centred = image - sum(image.unbind(1))[:, None] / image.shape[1]
        for one in range(image.shape[1]):
            for other in range(image.shape[1]):
                alike = functional.cosine_similarity(centred[:, one], centred[:, other], dim=0)
                pairs.append(-(alike - threshold) * (masks[:, one] * masks[:, other]).sum())
    return torch.stack(pairs).mean()


def test_affinity_equals_loops_in_value_and_gradient(data):
    made = tiny.objective(data[False], "attention-affinity", "objective.grid=3")
    batch = tiny.batch_of(data, made)
    output = made.core(batch.images, batch.noise(made.core))
    features, grid = made.core.encoder(batch.images)
    maps = features[:, :, :-4].detach().mT.reshape(len(features), -1, *grid)
    small, attention = (functional.adaptive_avg_pool2d(x, 3) for x in (maps, output.attention))
    assert_same(made, made.loss(batch)["loss"], naive_affinity(small, attention, 0.1))


def to_image(masks, matrix):
    """Places of the image that a view shows, and its masks (K, h, w) there, (K,)."""
    side, found = masks.shape[2], {}
    full = torch.cat([matrix.double(), torch.tensor([[0.0, 0.0, 1.0]])])
    for row in range(side):
        for column in range(side):
            at = torch.tensor([place(column, side), place(row, side), 1.0], dtype=torch.float64)
            x, y = torch.linalg.solve(full, at)[:2].tolist()
            if max(abs(x), abs(y)) <= 1:
                found[row, column] = sampled(masks, y, x)
    return found


def best_pairs(one, two):
    """The partner of each slot, by the greatest sum of soft intersections over unions."""
    shared = sorted(one.keys() & two.keys())
    first, second = (torch.stack([side[at] for at in shared]) for side in (one, two))

    def score(order):
        total = 0.0
        for mine, theirs in enumerate(order):
            a, b = first[:, mine], second[:, theirs]
            total += float(a @ b / (a @ a + b @ b - a @ b))
        return total

    return list(max(permutations(range(first.shape[1])), key=score))


def test_consistency_equals_loops_in_value_and_gradient(data):
    made = tiny.objective(data[False], "attention-consistency", "encoder.stride=8")
    batch = tiny.batch_of(data, made)
    assert batch.views is not None
    with torch.no_grad():
        made.center.copy_(torch.tensor([0.3, -0.2, 0.1]))
        for weight in made.teacher.parameters():
            weight.mul_(1.2)
    (student, teacher), all_views = made.encode(batch, (0, 1), (0, 1))
    views, count, entropies = Views(*(part[:2] for part in all_views)), len(batch.images), []
    for view in range(2):
        for image in range(count):
            mine = student.attention[view * count + image]
            theirs = teacher.attention[(1 - view) * count + image]
            matrices = views.matrices[view, image], views.matrices[1 - view, image]
            order = best_pairs(
                *(to_image(a.detach(), m) for a, m in zip((mine, theirs), matrices, strict=True))
            )
            scores = to_image(mine.log(), matrices[0])
            taught = to_image(theirs.log() - made.center[:, None, None], matrices[1])
            for at in scores.keys() & taught.keys():
                target = (taught[at] / 0.5).softmax(dim=0)[order]
                entropies.append(-(target * scores[at].log_softmax(dim=0)).sum())
    expected = torch.stack(entropies).mean()
    assert_same(made, made.grouping(student, teacher, views), expected)
    mean = made.center.clone()
    made.after_step(0)
    logs = torch.stack([teacher.attention[:, k].log().mean() for k in range(3)])
    torch.testing.assert_close(made.center, 0.9 * mean + 0.1 * logs)
