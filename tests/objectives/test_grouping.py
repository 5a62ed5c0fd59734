"""Losses on how places are grouped, against loops over images, slots and places."""

from itertools import permutations

import pytest
import torch
from torch.nn import functional

from slotbench.objectives.slotcon import entropy_at_places, slot_contrast, wins
from slotbench.objectives.two_views import joined
from tests.objectives import tiny
from tests.objectives.test_dense import full, looked_up
from tests.objectives.test_losses import entropy, mean

SLOTS, BATCH = 3, tiny.BATCH


def naive_affinity(features, attention, threshold):
    """STEGO's sum over pairs of places, one after the other."""
    pairs = []
    for image, masks in zip(features.flatten(2), attention.flatten(2), strict=True):
        centred = image - sum(image.unbind(1))[:, None] / image.shape[1]
        for one in range(image.shape[1]):
            for other in range(image.shape[1]):
                alike = functional.cosine_similarity(centred[:, one], centred[:, other], dim=0)
                pairs.append(-(alike - threshold) * (masks[:, one] * masks[:, other]).sum())
    return mean(pairs)


def test_affinity_equals_loops_in_value_and_gradient(data):
    made, batch = tiny.made_of(data, "attention-affinity", "objective.grid=3")
    with torch.no_grad():  # the features are those of a copy that follows the encoder
        for weight in made.target.copy.parameters():
            weight.mul_(1.1)
    output = made.core(batch.images, batch.noise(made.core))
    features, grid = made.target.copy(batch.images)
    maps = features[:, :, :-4].detach().mT.reshape(len(features), -1, *grid)
    small, attention = (functional.adaptive_avg_pool2d(x, 3) for x in (maps, output.attention))
    expected = naive_affinity(small, attention, 0.1)
    tiny.assert_same_loss(made, made.loss(batch)["loss"], expected)


def best_pairs(one, two):
    """The partner of each slot of masks (K, n), by the sum of soft intersections over unions."""

    def score(order):
        pairs = zip(one, two[list(order)], strict=True)
        return sum(float(a @ b / (a @ a + b @ b - a @ b)) for a, b in pairs)

    return list(max(permutations(range(len(one))), key=score))


def maps(dense, output):
    """Scores (2 * B, G, h, w) of what a dense head, which sees no coordinates, says of places."""
    if dense is None:
        return output.attention.log()
    return dense(output.features[..., :-4]).mT.unflatten(2, output.attention.shape[2:])


def naive_contrast(made, student, teacher):
    """InfoNCE of slots that win a place in both views; other slots that win none do not count."""
    queries = made.predictor(made.projector(student.slots)).view(2, BATCH * SLOTS, -1)
    keys = made.teacher["projector"](teacher.slots).detach().view(2, BATCH * SLOTS, -1)
    here, there = (
        [[slot in image.argmax(dim=0) for slot in range(SLOTS)] for image in output.attention]
        for output in (student, teacher)
    )
    here, there = (torch.tensor(each).view(2, BATCH * SLOTS) for each in (here, there))
    views = []
    for view, other in ((0, 1), (1, 0)):
        views.append([])
        for row in (here[view] & there[other]).nonzero().flatten().tolist():
            shown = there[other].clone()
            shown[row] = False
            candidates = [keys[other, row], *keys[other, shown]]
            views[-1].append(2 * 0.2 * entropy(queries[view, row], candidates, 0, 0.2))
    return mean(map(mean, views))


TEMPERATURES = {"slotcon": (0.1, 0.07), "attention-consistency": (1.0, 0.5)}


@pytest.mark.parametrize("name", TEMPERATURES)
def test_grouping_and_contrast_equal_loops_in_value_and_gradient(data, name):
    extra = ("objective.group_weight=0.3",)
    made, batch = tiny.made_of(data, name, *extra, alignment="shared")
    with torch.no_grad():
        made.center.copy_(torch.linspace(-0.3, 0.2, len(made.center)))
        for weight in made.teacher.parameters():
            weight.mul_(1.2)
    (student, teacher), views = made.encode(batch, (0, 1), (0, 1))
    entropies, (warm, cold) = [], TEMPERATURES[name]
    dense, taught = (part.dense if name == "slotcon" else None for part in (made, made.teacher))
    scores, wanted = maps(dense, student), maps(taught, teacher).detach()
    inverse = [torch.linalg.inv(full(matrices)) for matrices in views.matrices[:2]]
    for view, (mine, other) in enumerate(permutations((slice(BATCH), slice(BATCH, 2 * BATCH)))):
        logits, seen = looked_up(scores[mine] / warm, inverse[view])
        centred = wanted[other] - made.center[:, None, None]
        targets, also = looked_up(centred, inverse[1 - view])
        masks = [looked_up(student.attention[mine], inverse[view])[0].detach()]
        masks.append(looked_up(teacher.attention[other], inverse[1 - view])[0])
        for image in range(BATCH):
            both = seen[image] & also[image]
            order = list(range(len(made.center)))
            if dense is None:
                order = best_pairs(*(each[image][:, both] for each in masks))
            target = (targets[image] / cold).softmax(dim=0)[order]
            entropy_of = -(target * logits[image].log_softmax(dim=0)).sum(dim=0)
            entropies += entropy_of[both]
    expected = 0.3 * mean(entropies) + 0.7 * naive_contrast(made, student, teacher)
    tiny.assert_same_loss(made, made.loss(batch)["loss"], expected)
    center = 0.9 * made.center + 0.1 * wanted.mean(dim=(0, 2, 3))
    made.after_step(0)
    torch.testing.assert_close(made.center, center)


def test_where_nothing_counts_a_loss_is_0_and_so_is_its_gradient():
    ours, none = tiny.rows(0, 4, 5), torch.zeros(4, dtype=torch.bool)
    places = tiny.rows(1, 2, 4, 3, 2, 2)
    loss = slot_contrast(ours, tiny.rows(2, 4, 5).detach(), none, none, 0.2)
    loss = loss + entropy_at_places(places.detach().softmax(2), places, torch.zeros(4, 2, 2) > 0)
    loss.backward()
    assert float(loss.detach()) == ours.grad.abs().max() == places.grad.abs().max() == 0


@pytest.mark.parametrize("alignment", ["pool", "hungarian"])
def test_a_pooled_row_is_present_if_any_slot_is_and_a_paired_one_if_its_slot_is(data, alignment):
    made, batch = tiny.made_of(data, "slotcon", alignment=alignment)
    (student, teacher), views = made.encode(batch, (0, 1), (0, 1))
    paired = made.alignment.pair(joined(student, teacher), views)
    present = torch.cat([wins(student.attention), wins(teacher.attention)]).view(4, BATCH, SLOTS)
    shown = (paired.carried(present.flatten(0, 1)) > 0.5 / SLOTS).view(4, BATCH, -1)
    if alignment == "pool":
        assert torch.equal(shown, present.any(dim=2, keepdim=True))
    else:
        order = paired.weights.argmax(dim=3)
        assert torch.equal(shown, present.take_along_dim(order, dim=2))
