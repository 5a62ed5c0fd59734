"""Two-step matching and the scores of changed and unchanged objects."""

import h5py
import numpy as np
import pytest
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.parts import join
from slotbench.evaluation import groups as metrics
from slotbench.evaluation import shifts
from slotbench.evaluation.properties import property_results
from slotbench.evaluation.segmentation import scores
from tests.evaluation.test_evaluate import ATTRIBUTES, judge, squares
from tests.evaluation.test_evaluate import LAYOUT as SQUARES
from tests.evaluation.test_matching import best_pairs
from tests.evaluation.test_properties import guessed


def by_hand(without, cost, visible, changed):
    """The definition for one image, by trying every assignment."""

    def least(matrix, rows, columns):
        pairs = best_pairs(matrix[np.ix_(rows, columns)])
        return {rows[row]: columns[column] for row, column in pairs}

    objects, order = list(np.flatnonzero(visible)), np.full(len(visible), -1)
    first = least(without, objects, range(cost.shape[1]))
    held = {row: column for row, column in first.items() if changed[row]}
    left = [column for column in range(cost.shape[1]) if column not in held.values()]
    second = least(cost, [row for row in objects if not changed[row]], left)
    for row, column in {**held, **second}.items():
        order[row] = column
    return order


@pytest.mark.parametrize(("objects", "slots"), [(4, 5), (4, 4), (4, 2), (3, 1)])
def test_equals_the_definition_by_hand(objects, slots):
    generator = np.random.default_rng(objects * 10 + slots)
    shape = (12, objects, slots)
    without, cost = (torch.from_numpy(generator.normal(size=shape)) for _ in range(2))
    visible = torch.from_numpy(generator.random(shape[:2]) < 0.8)
    changed = torch.from_numpy(generator.random(shape[:2]) < 0.3)
    found = shifts.two_step(without, cost, visible, changed)
    for image in range(12):
        parts = (without, cost, visible, changed)
        expected = by_hand(*(part[image].numpy() for part in parts))
        assert found[image].tolist() == expected.tolist(), image


def test_the_cost_of_a_taken_slot_does_not_decide_who_goes_without():
    without, cost = [[0, 9], [9, 5], [9, 5.5]], [[0, 0], [0.1, 1], [3, 1.2]]
    flags = torch.tensor([[True, False, False]])
    found = shifts.two_step(
        torch.tensor([without]), torch.tensor([cost]), torch.ones_like(flags), flags
    )
    assert found.tolist() == [[0, 1, -1]]


def test_a_property_that_is_left_out_counts_nothing_and_the_rest_as_before():
    data, given = guessed(60, 0)
    encoding, targets = given.encoding, given.targets
    predicted = encoding.normalise(given.values)
    color = encoding.columns[0]
    without = shifts.without_properties(encoding, ["color"]).cost(predicted, targets)
    bare = [part.index_fill(2, torch.arange(6)[color], 0) for part in (predicted, targets)]
    torch.testing.assert_close(without, encoding.cost(*bare))
    assert not torch.allclose(without, encoding.cost(predicted, targets))
    everything = shifts.without_properties(encoding, data.properties.keys())
    assert everything.cost(predicted, targets).abs().max() == 0


def test_properties_of_a_subset_are_those_of_its_objects():
    data, given = guessed(50, 1)
    changed = np.random.default_rng(0).random(data.visible.shape) < 0.4
    found = shifts.shifted_properties(given, data.visible, changed, seed=0)
    everything = property_results(given, data.visible, seed=0)
    assert {name: found[f"all/{name}"] for name in everything} == everything
    assert found["changed/mean"].n + found["unchanged/mean"].n == found["all/mean"].n
    weights = [found[f"{part}/color"].n for part in ("changed", "unchanged")]
    values = [found[f"{part}/color"].value for part in ("changed", "unchanged")]
    assert found["all/color"].value == pytest.approx(np.average(values, weights=weights))
    new = shifts.shifted_properties(given, data.visible, changed, seed=0, new=["color"])
    assert {"all/color", "changed/color"}.isdisjoint(new)
    assert new["unchanged/color"] == found["unchanged/color"]
    rest = [new[f"changed/{name}"].value for name in ("position", "position", "angle", "shape")]
    assert new["changed/mean"].value == pytest.approx(np.mean(rest))
    none = shifts.shifted_properties(given, data.visible, np.zeros_like(changed), seed=0)
    assert none["changed/mean"].value is None
    assert none["unchanged/mean"] == everything["mean"]


def test_masks_of_subsets_are_scored_after_one_matching_of_all():
    generator = np.random.default_rng(1)
    truth = torch.from_numpy(generator.integers(0, 5, (20, 12, 12)).astype(np.uint8))
    labels = torch.from_numpy(generator.integers(0, 6, truth.shape))
    changed = torch.from_numpy(generator.random((20, 6)) < 0.4)
    found = shifts.shifted_masks(labels, truth, changed, 6)
    whole = scores(labels, truth, 6)
    for name in ("fg_ari", "miou", "mbo"):
        torch.testing.assert_close(found["all"][name], whole[name])
    number = changed[:, :4].double().sum(dim=1)
    for name in ("miou", "mbo"):
        joined = found["changed"][name].nan_to_num() * number
        joined += found["unchanged"][name].nan_to_num() * (4 - number)
        torch.testing.assert_close(joined / 4, whole[name])
        assert torch.equal(found["changed"][name].isnan(), number == 0)


@pytest.fixture
def shifted(tmp_path):
    """Squares, and a test set in which one object of each image has a shade never seen."""
    path = tmp_path / "shifted.h5"
    moved = squares(60, 3)
    flags = np.zeros_like(moved["visible"])
    flags[:, 0] = True
    for image in range(60):
        moved["image"][image][moved["mask"][image] == 1] = 225
    moved["property/shade"][:, 0] = -1
    splits = {"train": [squares(150, 0)], "val": [squares(40, 1)], "test": [squares(30, 2)]}
    splits |= {"test-object_color": [moved], "test-crop": [squares(30, 4)]}
    join(path, SQUARES, splits, ATTRIBUTES)
    with h5py.File(path, "a") as file:
        file["test-object_color"]["shift/changed"] = flags
    with DatasetFile(path) as file:
        yield file


def test_shifted_test_sets_are_judged_with_the_probes_of_training(shifted, monkeypatch):
    monkeypatch.setitem(shifts.NEW, "object_color", ("shade",))
    document = judge(shifted, groups=("shifts",), probe_steps=300)
    assert document["skipped"] == {}
    found = {key: cell["value"] for key, cell in document["metrics"].items()}
    moved, crop = "shifts/object_color", "shifts/crop"
    # No mask holds a shade that the core does not know: it falls to the first slot, whatever
    # else that slot has taken.
    changed, unchanged = (
        found[f"{moved}/{subset}/miou/attention"] for subset in ("changed", "unchanged")
    )
    assert changed + 0.05 < unchanged < 1
    assert found[f"{crop}/all/miou/attention"] == 1
    assert f"{crop}/changed/miou/attention" not in found
    probes = f"{moved}/unchanged/properties/linear/mask"
    assert found[f"{probes}/shade"] > 0.9
    assert f"{moved}/changed/properties/linear/mask/shade" not in found
    assert f"{moved}/all/properties/linear/loss/position" in found
    counted = document["metrics"][f"{moved}/changed/properties/linear/loss/mean"]
    assert counted["n"] == 60
    assert metrics.group_of(f"{moved}/all/fg_ari/decoder") == "shifts"
