"""Slots in use against true things, beside counts with NumPy's sets."""

import numpy as np

from slotbench.evaluation import groups
from slotbench.evaluation.slot_count import counts
from tests.evaluation.test_evaluate import ByShade, Plain, judge
from tests.evaluation.test_segmentation import random_maps


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
