"""Published runs with weights: used by their id, drawn on the page, never written into."""

import json
import shutil
from pathlib import Path

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
from tests.results.bundled import SMALL, flip, seal


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
    published, run, results, blocks, tmp_path, shown, refused
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
    # It says what there is.
    assert published.id in refused("export-model", "nothing", "--out", tmp_path / "none")


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
def test_a_run_starts_from_it_and_none_goes_on_with_it(published, results, blocks, shown, refused):
    where = ("--data-dir", blocks, "--results-dir", results)
    told = refused("train", "--resume", published.id, *where[:2])
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


def older_record(run, results):
    """A record of other numbers; those of the copy with weights can be computed again."""
    names = ("config", "status", "evaluation", "environment")
    record = {name: json.loads((run.path / f"{name}.json").read_text()) for name in names}
    record["evaluation"]["metrics"]["fg_ari/attention"]["value"] = 0.123
    (results / "published" / "older.json").write_text(json.dumps([record]))


def transfer_in_the_bundle(run, _):
    (run.path / "transfer").mkdir()
    judged = json.loads(run.evaluation.read_text())
    judged["transfer"] = {"dataset": run.config().to_dict()["dataset"], "slots": 4}
    (run.path / "transfer/other.json").write_text(json.dumps(judged))


@pytest.mark.parametrize("add", [older_record, transfer_in_the_bundle])
def test_what_stands_beside_a_published_run_does_not_count(published, results, add):
    rows = leaderboard(results).to_json()["rows"]
    add(published, results)
    board = leaderboard(results)
    assert board.to_json()["rows"] == rows
    assert board.warnings == ()


def other_shapes(file):
    save_file({**load_file(file), "core.encoder.norm.weight": torch.zeros(3)}, file)
    seal(file.parents[4])


def code_inside(file):
    torch.save({"weights": Run}, file)
    seal(file.parents[4])


@pytest.mark.parametrize("damage", [flip, Path.unlink, other_shapes, code_inside])
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


def changed(name, old, new):
    """A file of the run says something else."""

    def damage(run):
        text = (run.path / name).read_text()
        assert old in text
        (run.path / name).write_text(text.replace(old, new))

    return damage


LISTED = "is not the file that the bundle's manifest.json lists"
FAULTS = {
    f"evaluation.json {LISTED}": changed("evaluation.json", '"images": 24', '"images": 23'),
    f"config.json {LISTED}": changed("config.json", '"seed": 0', '"seed": 1'),
    "published/mine holds no manifest.json": lambda run: (run.results_dir / MANIFEST).unlink(),
    "manifest.json: expected keys and values": lambda run: (run.results_dir / MANIFEST).write_text(
        "[1]"
    ),
}


@pytest.mark.parametrize(("said", "damage"), FAULTS.items())
def test_a_run_that_is_not_as_published_counts_nowhere_and_is_used_nowhere(
    published, results, blocks, tmp_path, shown, refused, damage, said
):
    # A second run: a bundle without a manifest has one reason, not one a run.
    shutil.copytree(published.path, published.path.with_name("1-12345678"))
    seal(published.results_dir)
    shutil.copytree(published.results_dir, results / "published/good")
    rows = leaderboard(results).to_json()["rows"]
    damage(published)
    board = leaderboard(results)
    assert board.to_json()["rows"] == rows
    (reason,) = board.warnings
    assert reason.startswith("published/mine")
    assert said.removeprefix("published/mine ") in reason
    page = shown("leaderboard", "--results-dir", results)[1]
    assert "Left out: 1 result of published runs" in page
    out, data = tmp_path / "out", ("--data-dir", blocks)
    for name in (published.id, published.path):
        for words in (
            ("show", name, *data),
            ("predict", name, blocks / "clevr.h5", "--out", out, *data),
            ("verify", name, *data),
            ("evaluate", name, *data),
            ("export-model", name, "--out", out),
            ("publish", name, "--out", out),
        ):
            assert said in refused(*words)
    assert not out.exists()
    assert not (results / "published/copies").exists()


def test_nothing_is_trained_where_bundles_stand(blocks, shown, tmp_path):
    where = ("--data-dir", blocks, "--results-dir", tmp_path / "published/mine")
    code, _, told = shown("train", *SMALL, *where)
    assert code == 2
    assert "published/mine" in told
    assert "--results-dir" in told


@pytest.mark.usefixtures("whole")
def test_without_its_data_it_is_shown_and_the_command_that_makes_them_is_told(
    published, results, tmp_path, shown
):
    where = ("--results-dir", results, "--data-dir", tmp_path / "none")
    code, out, _ = shown("show", published.id, *where)
    out = " ".join(out.split())
    assert code == 0
    assert "fg_ari/attention" in out
    assert "No pictures, because they need the dataset." in out
    command = f"slotbench prepare clevr --image-size 32 --data-dir {tmp_path / 'none'}"
    assert command in out
    assert "--train, --val, --test and --seed, where they were not the defaults" in out
    code, out, _ = shown("show", published.id, "--json", *where)
    assert json.loads(out)["pictures"] == []
    assert command in json.loads(out)["lacking"]
    # Other data of that name: they stay, and the right ones go beside them.
    write_blocks(tmp_path / "clevr.h5", test=12)
    where = ("--results-dir", results, "--data-dir", tmp_path)
    code, out, _ = shown("show", published.id, *where)
    assert code == 0
    beside = f"--data-dir {tmp_path}/{published.config().dataset.fingerprint[:8]}"
    assert out.count(beside) == 2
    assert "is not the data of the training" in out
    assert not (results / "published/copies").exists()


def test_a_command_makes_the_very_data_of_the_runs_that_come_with_slotbench(shown, tmp_path):
    run = Run(next(SHIPPED.glob("clevr6/runs/*/*/*")))
    code, out, _ = shown("show", run.path, "--data-dir", tmp_path, "--results-dir", tmp_path)
    assert code == 0
    assert out.rstrip().endswith(f"Type: slotbench prepare clevr --data-dir {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_ids_of_published_runs_are_told_apart_from_runs_here(published, results, blocks, shown):
    there = ("--results-dir", results)
    told = shown("show", "nope", *there)[2]
    assert f"{results}/runs holds none, and no published run has that id" in told
    assert f"Published: {published.id} (slot-attention+reconstruction)." in told
    assert f"{published.id} (slot-attention + reconstruction)" in shown(
        "leaderboard", "--wide", *there
    )[1].replace("\n", " ")
    shown("train", "--no-evaluate", *SMALL, "--seed", "3", "--data-dir", blocks, *there)
    (own,) = results.glob("runs/*/*/*")
    told = shown("show", "nope", *there)[2]
    assert (
        f"There are: {own.name} (slot-attention+reconstruction). Published: {published.id}" in told
    )


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
