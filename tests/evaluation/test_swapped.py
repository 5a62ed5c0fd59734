"""Masks judged by another image's objects: regions gain nothing, objects gain much."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slotbench.evaluation.collapse import LEAST_GAIN, region_warning
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.metric import JUDGED, Context
from slotbench.evaluation.segmentation import scores
from slotbench.evaluation.swapped import METRICS, Swapped, both
from tests.evaluation.test_evaluate import ByShade, Plain, judge
from tests.evaluation.test_segmentation import random_maps


@pytest.mark.parametrize("step", [1, 10])
def test_each_image_is_judged_by_the_truth_of_a_later_one(step):
    labels, truth = random_maps(0)
    own, other = both(labels, truth, step)
    for image in range(len(labels)):
        follower = (image + step) % len(labels)
        for found, of in ((own, image), (other, follower)):
            alone = scores(labels[[image]], truth[[of]], 6)
            assert all(found[name][image] == alone[name][0] for name in METRICS)


def test_regions_of_the_frame_gain_nothing():
    _, truth = random_maps(1)
    truth = torch.where(truth == 255, 0, truth)
    corners = torch.arange(2)[:, None].repeat_interleave(6, 0) * 2
    regions = (corners + torch.arange(2).repeat_interleave(6)).expand(truth.shape)
    own, other = both(regions, truth)
    for name in METRICS:
        torch.testing.assert_close(own[name].mean(), other[name].mean())


def test_a_core_that_finds_every_object_gains_what_the_other_image_lacks(dataset):
    found = judge(dataset, Plain(ByShade()), groups=("swapped",))["metrics"]
    assert len(found) == 2 * len(METRICS)
    for name in METRICS:
        swapped, gain = (found[f"{name}/attention/{end}"]["value"] for end in ("swapped", "gain"))
        assert swapped < 0.6
        assert gain == pytest.approx(1 - swapped)


@pytest.mark.parametrize("frames", [None, 3])
def test_one_image_or_clip_has_no_other(dataset, frames, monkeypatch):
    """Frames of one clip are alike: they are no other image."""
    n = frames or 1
    monkeypatch.setattr(dataset, "layout", replace(dataset.layout, frames=frames))
    arrays = {"labelled": np.ones(n, bool), "labels/attention/first": np.zeros((n, 16, 16), int)}
    context = Context(dataset, 0, {JUDGED: Representations(dataset, "test", n, arrays)})
    assert Swapped().compute(context) == {}
    assert "there is one image" in context.skipped["swapped"]


def test_the_warning_is_for_masks_that_score_and_ignore_the_image():
    def told(own, *gains):
        found = {f"{name}/attention/gain": gain for name, gain in zip(METRICS, gains, strict=True)}
        scores = {"fg_ari/attention": own, "fg_ari/attention/swapped": own - gains[0]}
        return region_warning(found | scores)

    assert "FG-ARI 0.40, by another image's 0.56" in told(0.40, -0.16, 0.02, 0.0)
    for place in range(3):
        assert told(0.5, *(LEAST_GAIN if each == place else 0.0 for each in range(3))) is None
    assert told(0.1, -0.06, 0.0, 0.0) is None  # an untrained core
    assert region_warning({"fg_ari/attention": 0.5}) is None
    assert Swapped.directions == {"*/swapped": 0}
