"""A mask that moves toward the truth never scores lower, and no score leaves its range."""

import numpy as np
import pytest
import torch

from slotbench.evaluation.segmentation import METRICS, contingency, scores
from slotbench.matching import assign
from tests.evaluation.test_segmentation import random_maps


def slots_of_objects(predicted, truth, slots, metric):
    """The slot of each object by which ``metric`` scores it, int (O,); -1 for none."""
    objects = contingency(predicted, truth, slots)[0, 1:].double()
    everything = contingency(predicted, truth, slots)[0].sum(dim=0)
    union = objects.sum(dim=1, keepdim=True) + everything - objects
    iou = objects / union
    if metric == "miou":
        return assign(-iou[None])[0]
    return iou.argmax(dim=1)


@pytest.mark.parametrize("metric", ["miou", "mbo", "sc"])
@pytest.mark.parametrize("slots", [6, 4, 2])
def test_pixels_that_go_to_their_objects_slot_never_lower_a_score(metric, slots):
    predicted, truth = (maps[:1].clone() for maps in random_maps(slots, images=1, slots=slots))
    generator = np.random.default_rng(0)
    found = [scores(predicted, truth, slots)[metric].item()]
    for _ in range(60):
        slot = slots_of_objects(predicted, truth, slots, metric)
        wanted = torch.full_like(predicted, -1)
        for index, chosen in enumerate(slot):
            wanted[truth == index + 1] = chosen
        wrong = ((wanted >= 0) & (wanted != predicted)).nonzero()
        if not len(wrong):
            break
        place = tuple(wrong[generator.integers(len(wrong))])
        predicted[place] = wanted[place]
        found.append(scores(predicted, truth, slots)[metric].item())
    assert np.diff(found).min() >= -1e-12
    assert found[-1] > found[0] + 0.05


def test_scores_lie_in_their_ranges():
    for seed in range(8):
        predicted, truth = random_maps(seed, objects=seed % 4 + 1, slots=seed % 3 + 1)
        for name, values in scores(predicted, truth, seed % 3 + 1).items():
            assert values.max() <= 1, name
            assert values.min() >= (-0.5 if name in ("ari", "fg_ari") else 0), name
        everything = scores(predicted, truth, seed % 3 + 1)
        # The best slot of each object is at least as good as the one that it alone may have.
        assert (everything["mbo"] >= everything["miou"] - 1e-12).all()
        assert set(everything) == set(METRICS)
