"""What was not trained here is judged as runs are: same functions, same keys, same numbers."""

import json
import runpy
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation import dci
from slotbench.evaluation.baselines import BASELINES
from slotbench.evaluation.external import evaluate_given
from slotbench.evaluation.segmentation import METRICS
from slotbench.results import judge_external
from slotbench.results.leaderboard import leaderboard

SLOTS = 4


@pytest.fixture(autouse=True)
def _short_probes(monkeypatch):
    """Few steps and trees: what the probes find is the matter of their own tests."""
    monkeypatch.setitem(dci.TREES, "max_iter", 5)
    monkeypatch.setattr(
        "slotbench.results.judge_external.evaluate_given",
        lambda *args, **options: evaluate_given(*args, **{**options, "probe_steps": 40}),
    )


def arrays_of(blocks, *names):
    """Perfect masks, and slots that hold what is true of their object."""
    made = {}
    with DatasetFile(blocks / "clevr.h5") as dataset:
        for split, prefix in (("test", ""), ("train", "train_"), ("val", "val_")):
            batch = dataset.read(split)
            masks = batch["mask"][:, None] == np.arange(SLOTS)[:, None, None]
            slots = np.zeros((len(masks), SLOTS, 6), np.float32)
            slots[:, 1:, :3] = np.eye(4)[batch["property/color"]][..., :3]
            slots[:, 1:, 3:5] = batch["property/position"] / 32
            slots[:, 1:, 5] = batch["visible"]
            made |= {f"{prefix}masks": masks.astype(np.float16), f"{prefix}slots": slots}
    return {name: made[name] for name in names} if names else made


def request(tmp_path, blocks, metrics="all", force=False):
    return judge_external.Request("clevr", metrics, 0, blocks, tmp_path / "results", force)


def judge(tmp_path, blocks, *names, metrics="all", force=False, **options):
    path, asked = tmp_path / "predictions.npz", request(tmp_path, blocks, metrics, force)
    np.savez(path, **arrays_of(blocks, *names))
    return judge_external.evaluate_predictions(path, "SLATE (authors' code)", asked, **options)


def values(document):
    return {key: got["value"] for key, got in document["metrics"].items()}


def test_a_whole_file_gets_every_group_and_is_stored_with_its_origin(tmp_path, blocks):
    entry, document = judge(tmp_path, blocks)
    found = values(document)
    for metric in METRICS:
        assert found[f"{metric}/attention"] == 1
        assert f"{metric}/decoder" not in found
    groups = {key.split("/")[0] for key in found}
    assert {"properties", "linear_probe", "knn", "set_prediction", "dci", "health"} <= groups
    assert found["health/attention_entropy"] == 0
    assert "properties/linear/mask/mean" in found
    assert not any(key.startswith("linear_probe/features") for key in found)
    assert document["skipped"]["draws"] == "there is one prediction an image"
    assert entry.parent == tmp_path / "results" / "external" / "clevr-clevr6"
    assert entry.name.startswith("slate-authors-code-")
    config = json.loads((entry / "config.json").read_text())
    with DatasetFile(blocks / "clevr.h5") as dataset:
        assert config["dataset"]["recipe"] == dataset.recipe  # joins runs of other machines
    assert config["source"]["file"] == "predictions.npz"
    assert len(config["source"]["sha256"]) == 64
    assert config["source"]["arrays"]["train_slots"] == "float32 (48, 4, 6)"
    assert str(tmp_path) not in json.dumps(config)
    assert json.loads((entry / "evaluation.json").read_text()) == document
    assert (entry / "environment.json").is_file()
    # Three probes of the same slots, so far: anew, they find the same to the last digit.
    again = judge(tmp_path, blocks, metrics="set-prediction,dci,properties", force=True)
    assert again == (entry, document)


def test_only_what_is_missing_is_computed_and_another_file_starts_anew(
    tmp_path, blocks, monkeypatch
):
    first = judge(tmp_path, blocks, metrics="segmentation")
    assert set(first[1]["groups"]) == {"segmentation"}
    second = judge(tmp_path, blocks, metrics="segmentation,health")
    assert set(second[1]["groups"]) == {"segmentation", "health"}
    assert first[1]["metrics"].items() <= second[1]["metrics"].items()
    monkeypatch.setattr("slotbench.results.judge_external.evaluate_given", None)
    assert judge(tmp_path, blocks, metrics="health") == second
    monkeypatch.undo()
    other = judge(tmp_path, blocks, "masks", metrics="health")
    assert other[0] == second[0]
    assert set(other[1]["groups"]) == {"health"}


def test_masks_alone_are_segmentation_alone(tmp_path, blocks):
    _, document = judge(tmp_path, blocks, "masks", mask_source="decoder")
    scored = {key for key in values(document) if key.count("/") == 1 and "health" not in key}
    assert scored == {f"{metric}/decoder" for metric in METRICS}
    for group in ("properties", "linear-probe", "set-prediction", "dci"):
        assert document["skipped"][group] == "there are no slots"


def test_slots_alone_are_probed_without_masks(tmp_path, blocks):
    _, document = judge(tmp_path, blocks, "slots", "train_slots")
    found, skipped = values(document), document["skipped"]
    assert {"properties/linear/loss/mean", "linear_probe/slots/count"} <= found.keys()
    assert not any("mask" in key or key.startswith(("fg_ari", "dci")) for key in found)
    for key in ("properties/linear/mask", "dci", "segmentation"):
        assert skipped[key].startswith("there are no masks"), key
    _, untrained = judge(tmp_path, blocks, "slots", "masks")
    reason = "there are no slots of the training images (train_slots)"
    assert untrained["skipped"]["properties"] == reason
    assert values(untrained)["health/effective_rank"] > 0


def test_a_bad_file_stores_nothing(tmp_path, blocks):
    path = tmp_path / "bad.npz"
    np.savez(path, masks=np.full((24, 4, 32, 32), np.nan))
    asked = request(tmp_path, blocks)
    for message, name, options in (
        ("image 0", "broken", {}),
        *(("--name", bad, {}) for bad in ("", " ", "a\nb", "x" * 81)),
        ("attention", "a", {"mask_source": "atention"}),
    ):
        with pytest.raises(UserError, match=message):
            judge_external.evaluate_predictions(path, name, asked, **options)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_entries_of_the_family_control(tmp_path, blocks, name):
    asked = request(tmp_path, blocks)
    entry, document = judge_external.evaluate_baseline(name, asked)
    assert entry.is_relative_to(tmp_path / "results" / "baselines" / "clevr-clevr6")
    found = values(document)
    # Neither attention nor decoder: the same numbers stand beside both.
    for metric in METRICS:
        assert found[f"{metric}/attention"] == found[f"{metric}/decoder"]
    assert judge_external.evaluate_baseline(name, asked) == (entry, document)
    (row,) = leaderboard(tmp_path / "results").to_json()["rows"]
    expected = {"objective": f"baseline:{name}", "family": "control", "external": False}
    assert row | expected | {"settings": "slots=4"} == row
    assert row["metrics"]["fg_ari/attention"]["mean"] == found["fg_ari/attention"]


def test_the_example_writes_a_file_that_is_read(tmp_path, blocks, monkeypatch):
    example = Path(__file__).parents[2] / "examples" / "export_predictions.py"
    lines = [line for line in example.read_text().splitlines() if line.strip()]
    assert len(lines) <= 15
    (tmp_path / "data").mkdir()
    shutil.copy(blocks / "clevr.h5", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example))
    with h5py.File("predictions.h5") as file:
        assert set(file) == arrays_of(blocks).keys()
    asked = request(Path(), Path("data"))
    found = judge_external.evaluate_predictions(Path("predictions.h5"), "random numbers", asked)
    assert values(found[1])["ari/attention"] < 0.2


def test_options_that_do_not_fit_are_explained():
    names = ("runs", "predictions", "baseline", "dataset", "name")
    for message, given in {
        "nothing to evaluate": {},
        "RUN and --baseline": {"runs": ["0-a"], "baseline": "kmeans"},
        "--baseline needs --dataset": {"baseline": "kmeans"},
        "--predictions needs --name": {"predictions": Path("a.npz"), "dataset": "clevr"},
        "--name goes with --predictions, not with --baseline": {"baseline": "kmeans", "name": "a"},
        "--mask-source goes with": {"runs": ["0-a"], "mask_source": "decoder"},
        "--slots goes with --baseline or RUN": {"predictions": "a.npz", "slots": 3},
        "--seed goes with": {"runs": ["0-a"], "seed": 1},
        "judged on test": {"baseline": "kmeans", "dataset": "clevr", "split": "val"},
        "--name goes with": {"runs": ["0-a"], "name": "mine"},
    }.items():
        with pytest.raises(UserError, match=message):
            judge_external.check_options(**{**dict.fromkeys(names), "split": "test", **given})


def test_the_command_line_judges_baselines_and_predictions(tmp_path, blocks, shown):
    path = tmp_path / "masks.npz"
    np.savez(path, **arrays_of(blocks, "masks"))
    where = ("--dataset", "clevr", "--data-dir", blocks, "--results-dir", tmp_path / "r", "--json")
    named = ("--predictions", path, "--name", "mine")
    for words in (("--baseline", "voronoi"), (*named, "--metrics", "segmentation")):
        code, out, _ = shown("evaluate", *words, *where)
        assert code == 0
        (entry,) = json.loads(out)["runs"]
        assert Path(entry, "evaluation.json").is_file()
    _, out, _ = shown("leaderboard", "--results-dir", tmp_path / "r", "--json", "--scale")
    rows = [(row["objective"], row["external"]) for row in json.loads(out)["rows"]]
    assert rows == [("mine", True), ("baseline:voronoi", False)]
    code, out, err = shown("evaluate", *named, *where, "--metrics", "segmentatoin")
    assert (code, out) == (2, "")
    assert "Did you mean 'segmentation'" in err
