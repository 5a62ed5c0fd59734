"""Segmentation scores against scikit-learn and plain loops, and what they must not depend on."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from slotbench.evaluation import groups
from slotbench.evaluation.masks import labels_from_masks
from slotbench.evaluation.segmentation import METRICS, scores
from slotbench.evaluation.slot_count import counts
from tests.evaluation.test_evaluate import ByShade, Plain, judge

SIZE = 12


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
    wide = np.pad(iou, ((0, 0), (0, max(0, len(objects) - slots))))
    matched = max(
        sum(wide[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(wide.shape[1]), len(objects))
    )
    best = iou.max(axis=1)
    return {
        "ari": adjusted_rand_score(truth, predicted),
        "fg_ari": adjusted_rand_score(truth[foreground], predicted[foreground]),
        "miou": matched / len(objects),
        "mbo": best.mean(),
        "sc": (best * areas).sum() / areas.sum(),
        "msc": best.mean(),
    }


@pytest.mark.parametrize(("objects", "slots"), [(4, 6), (1, 3), (5, 3), (3, 1)])
def test_equals_scikit_learn_and_plain_loops(objects, slots):
    predicted, truth = random_maps(objects, objects=objects, slots=slots)
    got = scores(predicted, truth, slots)
    assert set(got) == set(METRICS)
    for image in range(len(truth)):
        expected = by_loops(predicted[image].numpy(), truth[image].numpy(), slots)
        for name, value in expected.items():
            assert got[name][image].item() == pytest.approx(value, abs=1e-12), name


def one_image(truth, predicted, slots=3):
    """Scores of one image given as rows of labels."""
    truth = torch.tensor(truth, dtype=torch.uint8)[None, None]
    got = scores(torch.tensor(predicted)[None, None], truth, slots)
    return {name: values.item() for name, values in got.items()}


EDGES = {
    "one object whole": ([0, 0, 1, 1], [0, 2, 1, 1], {"fg_ari": 1}),
    "one object split": ([0, 0, 1, 1], [0, 0, 1, 2], {"fg_ari": 0}),
    "no object": ([0] * 4, [0] * 4, {"ari": 1, **dict.fromkeys(METRICS[1:], np.nan)}),
    "no labelled pixel": ([255] * 4, [0, 1, 2, 0], dict.fromkeys(METRICS, np.nan)),
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
    got = one_image(truth, predicted, slots)
    assert {name: got[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_a_perfect_mask_scores_1_and_a_batch_equals_its_images():
    predicted, truth = random_maps(4)
    labelled = torch.where(truth == 255, 0, truth)
    for values in scores((labelled.long() + 2) % 6, labelled, 6).values():
        assert (values == 1).all()
    whole = scores(predicted, truth, 6)
    for image in range(5):
        alone = scores(predicted[image : image + 1], truth[image : image + 1], 6)
        for name in METRICS:
            assert alone[name].item() == whole[name][image].item()


def test_labels_are_those_of_the_greatest_resized_mask():
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0, :, 0] = masks[0, 1, :, 1] = 1
    expected = torch.tensor([0] * 4 + [1] * 4).expand(1, 8, 8)
    assert torch.equal(labels_from_masks(masks, (8, 8)), expected)
    order = torch.tensor([1, 0])
    assert torch.equal(labels_from_masks(masks[:, order], (8, 8)), 1 - expected)
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


def test_it_equals_a_count_with_sets():
    labels, truth = random_maps(5)
    truth[3] = 255
    found = counts(labels, truth)
    for image in range(len(truth)):
        known = truth[image].numpy() != 255
        if not known.any():
            assert found["in_use"][image].isnan()
            assert found["error"][image].isnan()
            continue
        used, things = (len(np.unique(maps[image].numpy()[known])) for maps in (labels, truth))
        assert found["in_use"][image] == used
        assert found["error"][image] == abs(used - things)


def test_a_core_with_a_slot_for_each_thing_has_no_error(dataset):
    found = judge(dataset, Plain(ByShade()), groups=("slot-count",))["metrics"]
    assert found["slot_count/attention/error"]["value"] == 0
    visible = dataset.read("test")["visible"].sum(axis=1)
    assert found["slot_count/attention/in_use"]["value"] == (visible + 1).mean()
    assert groups.direction("slot_count/attention/error") == -1
    assert groups.direction("slot_count/attention/in_use") == 0
