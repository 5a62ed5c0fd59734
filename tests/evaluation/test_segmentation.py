"""Segmentation scores against scikit-learn and plain loops, and what they must not depend on."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from slotbench.evaluation import groups
from slotbench.evaluation.masks import labels_from_masks
from slotbench.evaluation.segmentation import METRICS, scores
from slotbench.evaluation.slot_count import counts
from tests.evaluation.test_evaluate import ByShade, Plain, judge
from tests.evaluation.test_matching import best_pairs

SIZE = 12
EVERY = (*METRICS, "in_use", "error")


def measured(predicted, truth, slots):
    """All numbers on label maps of some images: of segmentation, and counts of slots."""
    return scores(predicted, truth, slots) | counts(predicted, truth)


def random_maps(seed, images=30, objects=4, slots=6):
    """Truth with background and unlabelled pixels, and predictions that partly agree with it."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, objects + 1, (images, SIZE // 3, SIZE // 3))
    truth = truth.repeat(3, axis=1).repeat(3, axis=2)
    noise = generator.integers(0, slots, truth.shape)
    predicted = np.where(generator.random(truth.shape) < 0.6, (truth + 1) % slots, noise)
    truth[generator.random(truth.shape) < 0.1] = 255
    return torch.from_numpy(predicted), torch.from_numpy(truth.astype(np.uint8))


def by_loops(predicted, truth, slots):
    """The definitions of metrics.md for one image, in plain Python."""
    counted = truth != 255
    predicted, truth = predicted[counted], truth[counted]
    objects = [label for label in np.unique(truth) if label != 0]
    foreground = truth != 0
    pairs = [[(truth == label, predicted == slot) for slot in range(slots)] for label in objects]
    iou = np.array([[(a & b).sum() / (a | b).sum() for a, b in row] for row in pairs])
    areas = np.array([(truth == label).sum() for label in objects])
    best = iou.max(axis=1)
    return {
        "ari": adjusted_rand_score(truth, predicted),
        "fg_ari": adjusted_rand_score(truth[foreground], predicted[foreground]),
        "miou": sum(iou[pair] for pair in best_pairs(-iou)) / len(objects),
        "mbo": best.mean(),
        "sc": (best * areas).sum() / areas.sum(),
        "msc": best.mean(),
        "in_use": len(set(predicted)),
        "error": abs(len(set(predicted)) - len(set(truth))),
    }


@pytest.mark.parametrize(("objects", "slots"), [(4, 6), (1, 3), (5, 3), (3, 1)])
def test_equals_scikit_learn_and_plain_loops(objects, slots):
    predicted, truth = random_maps(objects, objects=objects, slots=slots)
    got = measured(predicted, truth, slots)
    assert set(got) == set(EVERY)
    for image in range(len(truth)):
        expected = by_loops(predicted[image].numpy(), truth[image].numpy(), slots)
        found = {name: values[image].item() for name, values in got.items()}
        assert found == pytest.approx(expected, abs=1e-12)


EDGES = {
    "all is right": ([0, 1, 2, 2, 255], [2, 0, 1, 1, 0], dict.fromkeys(METRICS, 1)),
    "one object whole": ([0, 0, 1, 1], [0, 2, 1, 1], {"fg_ari": 1}),
    "one object split": ([0, 0, 1, 1], [0, 0, 1, 2], {"fg_ari": 0}),
    "no object": ([0] * 4, [0] * 4, {"ari": 1, **dict.fromkeys(METRICS[1:], np.nan)}),
    "no labelled pixel": ([255] * 4, [0, 1, 2, 0], dict.fromkeys(EVERY, np.nan)),
    "both trivial, one cluster": ([1, 1, 1], [2, 2, 2], {"ari": 1}),
    "both trivial, a pixel each": ([0, 1, 2], [2, 1, 0], {"ari": 1}),
    "one trivial": ([0, 1, 2], [1, 1, 1], {"ari": 0}),
    "one labelled pixel": ([255, 255, 2], [1, 1, 1], {"ari": 1}),
    "an object left over": ([1, 1, 2, 2, 3], [0, 0, 1, 1, 1], {"miou": (1 + 2 / 3) / 3}),
    "a slot shared": (
        [1, 1, 1, 2, 0, 0],
        [0, 0, 0, 0, 1, 1],
        {"miou": 3 / 8, "mbo": 1 / 2, "msc": 1 / 2, "sc": (3 * 3 / 4 + 1 / 4) / 4},
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_edge_cases(case):
    truth, predicted, expected = EDGES[case]
    slots = 2 if case == "an object left over" else 3
    truth = torch.tensor(truth, dtype=torch.uint8)[None, None]
    got = measured(torch.tensor(predicted)[None, None], truth, slots)
    assert {name: got[name].item() for name in expected} == pytest.approx(expected, nan_ok=True)


def test_labels_are_those_of_the_greatest_resized_mask():
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0, :, 0] = masks[0, 1, :, 1] = 1
    expected = torch.tensor([0] * 4 + [1] * 4).expand(1, 8, 8)
    assert torch.equal(labels_from_masks(masks, (8, 8)), expected)
    assert torch.equal(labels_from_masks(masks[:, [1, 0]], (8, 8)), 1 - expected)
    ties = torch.tensor([0.2, 0.4, 0.4])[None, :, None, None].expand(1, 3, 2, 2)
    assert (labels_from_masks(ties, (4, 4)) == 1).all()


def test_bad_input_is_refused():
    truth = torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected 0 to 2"):
        scores(torch.full((1, 2, 2), 3), truth, 3)
    with pytest.raises(ValueError, match="same shape"):
        scores(torch.zeros(1, 2, 3, dtype=torch.int64), truth, 3)
    with pytest.raises(ValueError, match="NaN"):
        labels_from_masks(torch.full((1, 2, 2, 2), torch.nan), (4, 4))


def test_a_core_with_a_slot_for_each_thing_has_no_error(dataset):
    found = judge(dataset, Plain(ByShade()), groups=("slot-count",))["metrics"]
    assert found["slot_count/attention/error"]["value"] == 0
    visible = dataset.read("test")["visible"].sum(axis=1)
    assert found["slot_count/attention/in_use"]["value"] == (visible + 1).mean()
    assert groups.direction("slot_count/attention/error") == -1
    assert groups.direction("slot_count/attention/in_use") == 0
