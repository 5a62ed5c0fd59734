"""A bundle is whole, names every file's sha256, and holds nothing that is not finished."""

import json
import os
import re
import shutil
import zipfile

import pytest

from slotbench import api
from slotbench.errors import UserError
from slotbench.results.bundle import FILES, MANIFEST
from slotbench.results.leaderboard import leaderboard
from slotbench.results.publish import publish
from slotbench.results.run import Run


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_the_same_runs_give_the_same_archive(command, run, tmp_path):
    for name in ("one.zip", "two.zip"):
        code, out, _ = command("publish", str(run), "--out", str(tmp_path / name))
        assert (code, out.strip().endswith(name)) == (0, True)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert len(archive.namelist()) == 1 + len(FILES)


@pytest.mark.parametrize("kind", ["run", "baseline"])
def test_records_without_weights_stand_on_the_leaderboard(
    kind, results, run, blocks, command, refused
):
    environment = json.loads((run / "environment.json").read_text())
    environment["plugins"] = [{"file": "/home/me/mine.py", "names": ["objectives/mine"]}]
    (run / "environment.json").write_text(json.dumps(environment))
    if kind == "baseline":
        shutil.rmtree(results / "runs")
        words = ("--baseline", "kmeans", "--dataset", "clevr", "--metrics", "segmentation")
        assert command("evaluate", *words, "--data-dir", blocks)[0] == 0
        (run,) = results.glob("baselines/*/*")
        told = refused("publish", run, "--out", results / "published" / "mine.zip")
        assert "--out NAME.json" in told
    here = leaderboard(results).to_json()["rows"]
    out = results / "published" / "mine.json"
    assert command("publish", run, "--out", out)[0] == 0
    (record,) = json.loads(out.read_text())
    assert [each["file"] for each in record["environment"]["plugins"]] == ["mine.py"][
        : kind == "run"
    ]
    shutil.rmtree(run)
    there = leaderboard(results).to_json()["rows"]
    assert [row.pop("published") for row in (*here, *there)] == [0, 1]
    assert there == here


MISSING = {"status.json": "only finished runs", "evaluation.json": "is not evaluated"}
MISSING |= {"model.safetensors": "has no model.safetensors"}


def test_what_is_not_finished_is_not_published(refused, run, tmp_path):
    for name, words in MISSING.items():
        whole = (run / name).read_bytes()
        (run / name).unlink()
        if name == "status.json":
            (run / name).write_text(json.dumps({**json.loads(whole), "state": "failed"}))
        assert words in refused("publish", run, "--out", tmp_path / "bundle")
        assert not (tmp_path / "bundle").exists()
        (run / name).write_bytes(whole)


def test_an_edited_configuration_is_named(refused, run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["core"]["eval_iterations"] += 1
    (run / "config.json").write_text(json.dumps(config))
    for words in (("publish", run, "--out", tmp_path / "bundle"), ("verify", run)):
        assert "config.json has changed since" in refused(*words)
    assert not (tmp_path / "bundle").exists()


def test_nothing_is_replaced_unless_asked_and_no_folder_of_other_things(
    command, refused, run, bundle, tmp_path
):
    (bundle / MANIFEST).write_text("changed")
    assert "add --force" in refused("publish", run, "--out", bundle)
    assert command("publish", str(run), "--out", str(bundle), "--force")[0] == 0
    assert json.loads((bundle / MANIFEST).read_text())["files"]
    other = tmp_path / "other"
    other.mkdir()
    for name in ("thesis.tex", MANIFEST):  # a manifest makes no folder a bundle
        (other / name).write_text("x")
    assert "holds other things" in refused("publish", run, "--out", other, "--force")
    assert files(other) == [MANIFEST, "thesis.tex"]


@pytest.mark.parametrize("document", ["[]", '{"plugins": 7}', '{"plugins": [{"names": []}]}'])
def test_a_document_of_another_shape_is_named(refused, run, tmp_path, document):
    (run / "environment.json").write_text(document)
    for name in ("bundle", "records.json"):
        assert "environment.json: " in refused("publish", run, "--out", tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_disk_that_fills_up_leaves_nothing(run, tmp_path, name, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        publish([Run(run)], tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def link_out(run, copy):
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").symlink_to(run / "model.safetensors")
    return [Run(copy)]


REFUSED = {
    "is a link": (link_out, "bundle.zip"),
    "would be one folder of the bundle": (lambda *two: list(map(Run, two)), "bundle.zip"),
    "a folder is written here, and .gz promises": (lambda run, _: [Run(run)], "bundle.tar.gz"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_a_bundle_leaves_none(run, tmp_path, message):
    runs, name = REFUSED[message]
    copy = shutil.copytree(run, tmp_path / "other" / "/".join(run.parts[-4:]))
    with pytest.raises(UserError, match=re.escape(message)):
        publish(runs(run, copy), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_that_is_neither_run_nor_bundle_is_named(tmp_path):
    (tmp_path / "foreign").mkdir()
    os.mkfifo(tmp_path / "pipe")
    faults = {
        "foreign": "the folder has no file config.json",
        "pipe": "it is no folder",
        "pipe/folder": "it does not exist",
    }
    for name, fault in faults.items():
        with pytest.raises(UserError, match=rf"{name} is no run: {fault}\. Expected a folder"):
            api.show(tmp_path / name, results_dir=tmp_path)
    with pytest.raises(UserError, match="no prepared dataset, run or bundle"):
        api.verify(tmp_path)
