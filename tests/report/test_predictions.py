"""Property predictions: what they say, and that a wrong one is seen without colour."""

import numpy as np
import pytest
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import PALETTE, Layout, Property
from slotbench.report import cards
from slotbench.report.cards import prediction_page
from slotbench.report.predicted import Prediction, Value, predict_objects
from slotbench.report.seen import Viewer, look
from tests.report.models import Model, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "clevr.h5", sizes=(300, 60, 24))


def predicted(path, model, indices, **options):
    with DatasetFile(path) as dataset:
        viewer = Viewer(model, dataset, "test", 0, CPU)
        found = predict_objects(viewer, look(viewer, indices), **{"steps": 1500, **options})
        return found, dataset.read("test")


def test_slots_that_hold_colour_and_place_are_read_right(data):
    found, batch = predicted(data, Model(), list(range(24)), steps=1500)
    classes = ("red", "green", "blue")
    colors, alone, near = [], 0, []
    for index, objects in found.items():
        visible = np.flatnonzero(batch["visible"][index])
        assert [one.label - 1 for one in objects] == list(visible)
        shown = batch["property/color"][index][visible]
        for one in objects:
            color, place = one.values
            assert color.true == classes[batch["property/color"][index, one.label - 1]]
            true = [float(part) for part in place.true.split(", ")]
            assert true == pytest.approx(batch["property/position"][index, one.label - 1], abs=0.6)
            # The model merges objects of one colour; the others have a slot of their own.
            if (shown == classes.index(color.true)).sum() == 1:
                alone += 1
                assert one.slot == 1 + classes.index(color.true)
                colors.append(color.right)
                assert color.right == (color.predicted == color.true)
                near.append(place.right)
    assert alone > 10
    assert np.mean(colors) > 0.9
    assert np.mean(near) > 0.8  # saying the mean is near for one object in nine


def test_objects_without_a_slot_have_no_prediction(data):
    found, batch = predicted(data, Model(slots=1), list(range(6)), steps=50)
    for index, objects in found.items():
        assert sum(one.slot is not None for one in objects) == 1
        assert all(bool(one.values) == (one.slot is not None) for one in objects)
        assert len(objects) == batch["visible"][index].sum()


def test_predictions_do_not_depend_on_which_images_are_asked_for(data):
    many, _ = predicted(data, Model(), [4, 7, 9], steps=60)
    one, _ = predicted(data, Model(), [9], steps=60)
    assert many[9] == one[9]


@pytest.fixture
def written(monkeypatch):
    """The texts that a page holds."""
    texts = []
    plain = cards.write
    monkeypatch.setattr(
        cards,
        "write",
        lambda pen, at, text, *rest: (texts.append(text), plain(pen, at, text, *rest)),
    )
    return texts


def test_a_page_names_every_property_predicted_and_true(data, written):
    found, _ = predicted(data, Model(), [0, 3], steps=60)
    with DatasetFile(data) as dataset:
        seen = look(Viewer(Model(), dataset, "test", 0, CPU), [0, 3])
    page = prediction_page("title", "note", seen, found)
    assert page.width > cards.PICTURE
    values = [value for objects in found.values() for one in objects for value in one.values]
    assert values
    for value in values:
        assert {value.name, value.predicted, value.true} <= set(written)
    for objects in found.values():
        for one in objects:
            assert any(text.startswith(f"object {one.label}, slot") for text in written)


def card(right, numeric=False):
    value = Value("color", "red", "red", right, numeric)
    return cards._card(Prediction(1, 0, (value,)), PALETTE, (90, 60, 90))


@pytest.mark.parametrize("numeric", [False, True])
def test_a_wrong_value_is_marked_by_more_than_colour(numeric):
    """The texts of the two cards are the same, and so is each one's place."""
    dark = [np.array(card(right, numeric).convert("L")) < 170 for right in (True, False)]
    assert (dark[0] != dark[1]).sum() > 15


def test_a_card_for_an_object_without_a_slot_says_so(written):
    cards._card(Prediction(2, None, ()), PALETTE, (120, 60, 90))
    assert any("no slot" in text for text in written)
    assert "slots are fewer than objects" in written


def test_numbers_have_digits_enough_to_tell_objects_apart(tmp_path):
    layout = Layout(32, 32, 3, (Property("position", "numeric", dim=2, unit="pixels"),))
    found, batch = predicted(write(tmp_path / "a.h5", layout, (40, 10, 4)), Model(), [0], steps=10)
    for one in found[0]:
        said = [float(text) for text in one.values[0].true.split(", ")]
        true = batch["property/position"][0, one.label - 1]
        assert said == pytest.approx(true, abs=0.5)
