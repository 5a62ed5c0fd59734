"""The pictures of a run: which files, which images, which colours, and that bytes repeat."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import BACKGROUND, PALETTE, Layout
from slotbench.errors import UserError
from slotbench.report import pictures
from slotbench.report import predicted as predictions
from slotbench.report.canvas import SIDE, blank
from slotbench.report.pictures import GAP, LABEL, MARGIN
from slotbench.report.seen import Viewer, look
from slotbench.report.show import draw, extremes
from tests.conftest import LAYOUT
from tests.report.models import COLORS, Model, write

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """What the probe says is tested elsewhere; here it is enough that it says something."""
    monkeypatch.setattr(predictions, "STEPS", 50)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "clevr.h5")


def drawn(path, folder, model, split="test", **options):
    with DatasetFile(path) as dataset:
        return draw(Viewer(model, dataset, split, 0, CPU), folder, title="a title", **options)


def pixels(file):
    return np.array(Image.open(file).convert("RGB"))


def column(page, number):
    """The colours of one column of panels, the legend below being cut off."""
    start = MARGIN + LABEL + number * (SIDE + GAP)
    strip = page[:-60, start : start + SIDE].reshape(-1, 3)
    return {tuple(map(int, color)) for color in np.unique(strip, axis=0)}


@pytest.mark.parametrize("decoder", [True, False])
def test_files_are_written_and_hold_a_panel_for_each_column(data, tmp_path, decoder):
    said = drawn(data, tmp_path, Model(decoder=decoder), images=3)
    sources = ["attention", "decoder"][: 1 + decoder]
    names = {"test.png", "test-properties.png", *(f"test-fg-ari-{each}.png" for each in sources)}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert [one["index"] for one in said.images] == [0, 1, 2]
    assert all(list(one["fg_ari"]) == sources for one in said.images)
    assert said.skipped == {}
    page = pixels(tmp_path / "test.png")
    # Image, truth, attention, the five slots; of a decoder its masks and the reconstruction.
    assert page.shape[1] == LABEL + (8 + 2 * decoder) * (SIDE + GAP) - GAP + 2 * MARGIN
    assert page.shape[0] > 3 * SIDE


def test_a_slots_share_is_that_of_the_masks_in_its_panel(data, monkeypatch):
    class Predicting(Model):
        def predictor_masks(self, images, output=None):  # noqa: ARG002
            masks = torch.zeros_like(output.attention)
            masks[:, 4] = 1
            return masks

    said = []
    monkeypatch.setattr(pictures, "paragraph", lambda text, *_: said.append(text) or blank(1, 1))
    with DatasetFile(data) as dataset:
        for decoder in (True, False):
            viewer = Viewer(Predicting(decoder=decoder), dataset, "test", 0, CPU)
            pictures.page("", [pictures.Section("", look(viewer, [0]))])
    assert sum(text.endswith("%") for text in said) == 10
    assert "wins 100 %" not in said


def test_a_slot_has_one_colour_in_every_panel(data, tmp_path):
    with DatasetFile(data) as dataset:
        images = dataset.read("test")["image"].astype(float) / 255
    for index in range(4):
        drawn(data, tmp_path, Model(), indices=(index,), ranked=0, properties=False)
        page = pixels(tmp_path / "test.png")
        present = {
            slot
            for slot in (1, 2, 3)
            if (np.abs(images[index] - COLORS[slot].numpy()).sum(axis=2) < 0.1).any()
        }
        for slot in range(1, 4):
            color = tuple(map(int, PALETTE[slot]))
            shown = slot in present
            # True masks, attention, decoder: the colour of a slot that wins pixels, and no other.
            assert [color in column(page, panel) for panel in (1, 2, 3)] == [shown] * 3
            assert color in column(page, 5 + slot)  # the frame of its own panel
            others = {tuple(map(int, PALETTE[other])) for other in range(1, 5)} - {color}
            assert not others & column(page, 5 + slot)
        assert BACKGROUND in column(page, 2)  # slot 1 is the ground, and nothing but the ground


def test_best_and_worst_agree_with_scikit_learn(data, tmp_path):
    said = drawn(data, tmp_path, Model(), ranked=24, properties=False)
    with DatasetFile(data) as dataset:
        batch = dataset.read("test")
    images = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2).float() / 255
    model = Model()
    output = model.core(images)
    masks = {"attention": output.attention, "decoder": model.decode(output, images).masks}
    assert set(said.extremes) == set(masks)
    for source, found in masks.items():
        expected = []
        for labels, truth in zip(found.argmax(dim=1).numpy(), batch["mask"], strict=True):
            expected.append(adjusted_rand_score(truth[truth > 0], labels[truth > 0]))
        ranks = said.extremes[source]
        assert ranks["mean"] == pytest.approx(np.mean(expected))
        for name, order in (("best", sorted(expected)[::-1]), ("worst", sorted(expected))):
            assert [one["fg_ari"] for one in ranks[name]] == pytest.approx(order[:4])
            for one in ranks[name]:
                assert one["fg_ari"] == pytest.approx(expected[one["index"]])
    # The model merges objects of one colour, so that images differ.
    assert said.extremes["attention"]["best"][0]["fg_ari"] == 1
    assert said.extremes["attention"]["worst"][0]["fg_ari"] < 0.5


def test_extremes_leave_out_images_without_objects_and_never_share_an_image():
    found = extremes([0.5, None, 0.9, 0.5, None, 0.1])
    assert [one["index"] for one in found["best"]] == [2, 0]
    assert [one["index"] for one in found["worst"]] == [5, 3]
    assert found["mean"] == pytest.approx(0.5)
    assert extremes([None]) == {"mean": None, "best": [], "worst": []}
    assert extremes([0.3])["best"] == []


def test_the_same_run_gives_the_same_bytes(data, tmp_path):
    for folder in ("one", "two"):
        drawn(data, tmp_path / folder, Model(), images=2)
    files = sorted((tmp_path / "one").iterdir())
    assert len(files) >= 3
    for file in files:
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_odd_sizes_are_drawn(tmp_path):
    layout = Layout(300, 20, LAYOUT.objects, LAYOUT.properties)
    path = write(tmp_path / "odd.h5", layout, (12, 6, 6))
    said = drawn(path, tmp_path / "out", Model(), images=2, ranked=6)
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert len(said.images) == 2


def test_a_dataset_without_properties_says_so(tmp_path):
    path = write(tmp_path / "plain.h5", Layout(32, 32, 3, ()), (8, 4, 4))
    said = drawn(path, tmp_path / "out", Model(), images=2)
    assert "no properties" in said.skipped["properties"]
    assert not (tmp_path / "out" / "test-properties.png").exists()


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"indices": (3, 24)}, "--index 24: test has images 0 to 23"),
        ({"images": 0}, "--images 0"),
        ({"split": "tset"}, "no split 'tset'"),
    ],
)
def test_a_wish_that_cannot_be_met_names_the_option(data, tmp_path, wish, named):
    with pytest.raises(UserError, match=named):
        drawn(data, tmp_path, Model(), **wish)
    assert list(tmp_path.iterdir()) == []
