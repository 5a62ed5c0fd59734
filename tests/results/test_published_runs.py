"""Published runs with weights: used by their id, drawn on the page, never written into."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import slotbench
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.parts import join
from slotbench.errors import SlotbenchError
from slotbench.results import SHIPPED
from slotbench.results.bundle import FILES, MANIFEST, check_hashes, open_bundle
from slotbench.results.leaderboard import leaderboard
from slotbench.results.run import Run
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch, write_blocks
from tests.report.test_site import Page, site
from tests.results.bundled import SMALL, seal


@pytest.fixture
def published(results, bundle):
    """A results folder that holds a bundle and no run; the bundle's run."""
    shutil.rmtree(results / "runs")
    (results / "published").mkdir()
    shutil.move(bundle, results / "published" / "mine")
    return Run(next(results.glob("published/mine/runs/*/*/*")))


@pytest.fixture
def whole(published):
    """Checks in the end that nothing was written into the bundle."""
    yield
    with open_bundle(published.results_dir) as bundle:
        assert check_hashes(bundle) == []


def pictures(page, run):
    return [link for link in page.links if link.startswith(f"pictures/{run.id}-attention")]


@pytest.mark.usefixtures("whole")
def test_its_id_is_enough_to_load_predict_export_and_verify(
    published, run, results, blocks, tmp_path, shown
):
    there = ("--results-dir", results)
    core = slotbench.load(published.id[:6], results_dir=results)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = load_file(published.model)
    assert all(torch.equal(weights[name], of) for name, of in core.objective.state_dict().items())
    assert core(images).attention.shape[:2] == (2, 4)
    words = ("predict", published.id, blocks / "clevr.h5", "--out", tmp_path / "out", *there)
    assert shown(*words, "--device", "cpu")[0] == 0
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 24
    assert shown("export-model", published.id, "--out", tmp_path / "model", *there)[0] == 0
    assert shown("verify", published.id, *there)[0] == 0
    assert not run.exists()
    code, _, told = shown("export-model", "nothing", "--out", tmp_path / "none", *there)
    assert code == 2
    assert published.id in told  # what there is


@pytest.mark.usefixtures("whole")
def test_it_is_shown_and_judged_on_other_data_in_a_copy(published, results, tmp_path, shown):
    write_blocks(tmp_path / "clevr.h5")
    write_blocks(tmp_path / "other.h5", test=12)
    where = ("--data-dir", tmp_path, "--results-dir", results, "--device", "cpu")
    few = ("--images", "1", "--ranked", "0", "--no-properties")
    code, out, _ = shown("show", published.id, "--json", *few, *where)
    assert code == 0
    inside = published.path.relative_to(results / "published/mine")
    copy = results / "published/copies" / inside
    assert json.loads(out)["pictures"] == [str(copy / "pictures" / "test.png")]
    words = ("evaluate", published.id, "--metrics", "segmentation", *where)
    assert shown(*words, "--dataset", tmp_path / "other.h5")[0] == 0
    rows = leaderboard(results).to_json()["rows"]
    assert sorted((row["family"], row["seeds"], row["published"]) for row in rows) == [
        ("reconstruction", 1, 1),
        ("transfer", 1, 0),
    ]
    # Its own numbers stay those that were published, whatever this machine computes.
    assert shown(*words, "--force")[0] == 0
    judged = json.loads((copy / "evaluation.json").read_text())
    judged["metrics"]["fg_ari/attention"]["value"] = 0.123
    (copy / "evaluation.json").write_text(json.dumps(judged))
    assert leaderboard(results).to_json()["rows"] == rows


@pytest.mark.usefixtures("whole")
def test_a_run_starts_from_it_and_none_goes_on_with_it(published, results, blocks, shown):
    where = ("--data-dir", blocks, "--results-dir", results)
    code, _, told = shown("train", "--resume", published.id, *where)
    assert code == 2
    assert f"slotbench train --init {published.id}" in told
    words = ("--no-evaluate", "--objective", "random", "--init", published.id)
    assert shown("train", *words, *SMALL, *where)[0] == 0
    (made,) = results.glob("runs/*/*/*")
    assert json.loads((made / "config.json").read_text())["init"]["run"] == published.id
    weights, start = load_file(made / "model.safetensors"), load_file(published.model)
    assert torch.equal(weights["core.encoder.norm.weight"], start["core.encoder.norm.weight"])


@pytest.mark.usefixtures("whole")
def test_its_masks_are_on_the_page_of_data_that_one_pixel_tells_apart(
    published, results, tmp_path, capsys
):
    """Rendered data join by their recipe, here as on the leaderboard."""
    sizes = {"train": 48, "val": 24, "test": 24}
    splits = {split: [blocks_batch(n, seed)] for seed, (split, n) in enumerate(sizes.items())}
    splits["train"][0]["image"][0, 0, 0, 0] += np.uint8(1)
    join(tmp_path / "clevr.h5", LAYOUT, splits, ATTRIBUTES)
    with DatasetFile(tmp_path / "clevr.h5") as data:
        info = published.config().dataset
        assert data.fingerprint != info.fingerprint
        assert data.recipe == info.recipe
    page = Page(site(results, tmp_path / "out", data_dir=tmp_path, pictures=True).index)
    assert "no pictures" not in capsys.readouterr().err
    assert len(set(pictures(page, published))) == 5
    head = page.text[: page.text.index('id="leaderboard"')]
    assert f"runs/{published.id}.html" in head
    assert "<small>published</small>" in head
    assert [row["from"] for row in page.table("board")] == ["published"]
    # Without the data there are no pictures, and no complaint but one line.
    page = Page(site(results, tmp_path / "none", pictures=True).index)
    assert pictures(page, published) == []


def test_of_two_published_copies_the_one_with_weights_counts(published, results):
    """Its numbers can be computed again."""
    names = ("config", "status", "evaluation", "environment")
    record = {name: json.loads((published.path / f"{name}.json").read_text()) for name in names}
    rows = leaderboard(results).to_json()["rows"]
    record["evaluation"]["metrics"]["fg_ari/attention"]["value"] = 0.123
    (results / "published" / "older.json").write_text(json.dumps([record]))
    board = leaderboard(results)
    assert board.to_json()["rows"] == rows
    assert board.warnings == ()


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def flipped(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def gone(file):
    file.unlink()


def other_shapes(file):
    weights = load_file(file)
    weights["core.encoder.norm.weight"] = torch.zeros(3)
    save_file(weights, file)
    seal(file.parents[4])


def code_inside(file):
    torch.save({"weights": Run}, file)
    seal(file.parents[4])


@pytest.mark.parametrize("damage", [cut, flipped, gone, other_shapes, code_inside])
def test_damaged_weights_leave_a_row_without_pictures_and_one_line(
    published, results, blocks, tmp_path, damage, capsys
):
    damage(published.model)
    with pytest.raises(SlotbenchError, match=r"model\.safetensors"):
        slotbench.load(published.id, results_dir=results)
    page = Page(site(results, tmp_path / "out", data_dir=blocks, pictures=True).index)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count(f"{published.id}: no pictures: ") == 1
    assert "Traceback" not in told
    assert [row["objective"] for row in page.table("board")] == ["reconstruction"]
    assert pictures(page, published) == []


def test_what_comes_with_slotbench_is_whole_small_and_named_by_its_configuration():
    manifests = sorted(SHIPPED.glob(f"*/{MANIFEST}"))
    assert manifests
    for path in manifests:
        with open_bundle(path.parent) as bundle:
            assert check_hashes(bundle) == []
            for folder in bundle.runs:
                run = Run(path.parent / folder)
                assert run.id == f"{run.config().seed}-{run.config().id}"
                assert sum((run.path / name).stat().st_size for name in FILES) < 1e6
