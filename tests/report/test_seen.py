"""Which slot stands for the background, and which for which object."""

import numpy as np
import pytest
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import BACKGROUND, PALETTE
from slotbench.evaluation.segmentation import scores
from slotbench.report import canvas
from slotbench.report.seen import Viewer, background_slot, look, matched_slots, objects_of
from tests.report.models import Model, write

TRUTH = np.zeros((20, 20), np.uint8)
TRUTH[2:8, 2:8], TRUTH[12:18, 12:18] = 1, 2
PERFECT = np.array([2, 0, 1])[TRUTH]
"""Slot 3 is the background, slots 1 and 2 the objects."""


def test_the_background_slot_is_one_that_holds_nothing_else():
    assert background_slot(TRUTH, {"attention": PERFECT}) == 2
    swallowed = np.where(TRUTH == 2, 2, PERFECT)
    assert background_slot(TRUTH, {"attention": swallowed}) is None
    edge = PERFECT.copy()
    edge[2, 2] = 2  # one pixel of an object among 329: still background
    assert background_slot(TRUTH, {"attention": edge}) == 2


def test_half_of_the_background_is_needed_and_sources_must_agree():
    quarters = PERFECT.copy()
    quarters[:, :9][TRUTH[:, :9] == 0] = 3
    quarters[:3, 10:][TRUTH[:3, 10:] == 0] = 4
    assert (quarters == 3).sum() < (TRUTH == 0).sum() / 2
    assert background_slot(TRUTH, {"attention": quarters}) is None
    other = np.where(PERFECT == 2, 3, PERFECT)
    assert background_slot(TRUTH, {"attention": PERFECT, "decoder": PERFECT}) == 2
    assert background_slot(TRUTH, {"attention": PERFECT, "decoder": other}) is None


def test_pixels_without_a_label_do_not_count():
    truth = TRUTH.copy()
    truth[2:8, 2:8] = 255
    swallowed = np.where(TRUTH == 1, 2, PERFECT)
    assert background_slot(truth, {"attention": swallowed}) == 2
    assert matched_slots(truth, swallowed, 3, 2) == {2: 1}


def test_objects_get_the_slots_that_overlap_them_best():
    assert matched_slots(TRUTH, PERFECT, 3, 2) == {1: 0, 2: 1}
    assert matched_slots(TRUTH, PERFECT, 3, None) == {1: 0, 2: 1}
    assert matched_slots(TRUTH, np.zeros_like(PERFECT), 1, None) == {1: 0, 2: None}
    assert matched_slots(TRUTH, np.zeros_like(PERFECT), 1, 0) == {1: None, 2: None}
    # An empty slot is no match, even where it is the only one left.
    merged = np.where(TRUTH > 0, 0, 2)
    assert set(matched_slots(TRUTH, merged, 3, 2).values()) == {0, None}


def test_panels_show_a_slot_in_its_own_colour_and_a_lost_object_hatched():
    colors = canvas.slot_colors(3, 2)
    assert tuple(colors[2]) == BACKGROUND
    assert (colors[:2] == PALETTE[:2]).all()
    masks = np.array(canvas.label_panel(PERFECT, colors, side=100))
    truth = np.array(canvas.truth_panel(TRUTH, {1: 0, 2: None}, colors, side=100))
    assert tuple(masks[12, 12]) == tuple(truth[12, 12]) == tuple(PALETTE[0])
    assert tuple(masks[62, 62]) == tuple(PALETTE[1])
    assert tuple(masks[50, 50]) == tuple(truth[50, 50]) == BACKGROUND
    lost = truth[60:90, 60:90].reshape(-1, 3)
    assert {tuple(map(int, color)) for color in np.unique(lost, axis=0)} == {(0,) * 3, (255,) * 3}


def test_a_slot_panel_is_opaque_where_the_slot_is_and_chequered_elsewhere():
    slot = np.zeros((16, 16, 4), np.uint8)
    slot[:, :8] = (200, 30, 40, 255)
    panel = np.array(canvas.slot_panel(slot, PALETTE[3], side=64)).astype(int)
    assert np.abs(panel[32, 10] - (200, 30, 40)).max() <= 2
    assert {int(value) for value in np.unique(panel[8:56, 48:56])} == {236, 255}
    assert tuple(panel[0, 30]) == tuple(PALETTE[3])


@pytest.mark.parametrize("shape", [(35, 21), (1, 500)])
def test_panels_keep_the_shape_of_the_image(shape):
    size = canvas.panel_size(shape, 128)
    assert max(size) == 128
    assert size == pytest.approx([128 * part / max(shape) for part in shape[::-1]], abs=1)
    assert canvas.label_panel(np.zeros(shape, np.int64), canvas.slot_colors(1, None)).size == size


def test_inner_points_lie_inside_one_in_each_part():
    ring = np.zeros((30, 40), bool)
    ring[5:25, 5:35] = True
    ring[10:20, 10:30] = False
    ring[13:17, 15:25] = True
    found = canvas.inner_points(ring, least=0)
    assert len(found) == 2
    x, y = found[1]  # the island, which is less deep
    assert (15 <= x < 25, 13 <= y < 17) == (True, True)
    assert all(ring[y, x] for x, y in found)
    assert len(canvas.inner_points(ring, least=2.5)) == 1
    assert canvas.inner_points(ring, least=10) == []
    assert canvas.inner_points(np.zeros((5, 5), bool), least=0) == []
    assert canvas.inner_points(np.ones((9, 9), bool), least=5) == [(4, 4)]


def test_numbers_can_be_read_on_every_colour():
    def luminance(color):
        parts = np.asarray(color) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for color in [*PALETTE, BACKGROUND]:
        light, dark = sorted((luminance(color), luminance(canvas.contrast(color))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3  # what WCAG asks of large text


def test_what_is_seen_is_what_the_model_gives(tmp_path):
    model = Model()
    with DatasetFile(write(tmp_path / "clevr.h5", sizes=(4, 4, 8))) as dataset:
        seen = look(Viewer(model, dataset, "test", 0, torch.device("cpu")), [5, 2])
        batch = dataset.read("test")
    assert [one.index for one in seen] == [5, 2]
    for one in seen:
        assert (one.image == batch["image"][one.index]).all()
        image = torch.from_numpy(one.image)[None].permute(0, 3, 1, 2).float() / 255
        output = model.core(image)
        labels = output.attention.argmax(dim=1)
        assert (one.labels["attention"] == labels[0].numpy()).all()
        truth = torch.from_numpy(batch["mask"][one.index])[None]
        assert one.fg_ari["attention"] == float(scores(labels, truth, 5)["fg_ari"])
        expected = float((model.decode(output, image).image - image).square().mean())
        assert one.error == pytest.approx(expected)
        assert objects_of(one.truth) == sorted(set(truth.unique().tolist()) - {0})
