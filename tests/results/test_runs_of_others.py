"""A run directory may come from anyone: nothing outside of it is written, emptied or waited for."""

import math
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slotbench import api
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import read_json, sha256_of, write_json
from slotbench.results.publish import writable
from slotbench.results.run import FOLDERS, Run
from tests.commands import limited
from tests.results.bundled import flip
from tests.small import started


@pytest.fixture(scope="module")
def trained(blocks, tmp_path_factory):
    return started(blocks, tmp_path_factory.mktemp("results"), steps=2)


@pytest.fixture
def theirs(trained, tmp_path):
    """A run that goes on from its last step, and a folder outside of it."""
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "results/runs/d/c+o" / trained.id)))
    write_json(run.status_file, {**read_json(run.status_file), "state": "interrupted"})
    (tmp_path / "mine").mkdir()
    return run


def use(run, blocks):
    """Write every file of a run that a command writes."""
    api.train(resume=run.path, evaluate=False, device="cpu", data_dir=blocks)
    for dataset in (None, "clevr"):
        options = {"dataset": dataset, "slots": 7 if dataset else None}
        api.evaluate(
            run.path, metrics="health", force=True, device="cpu", data_dir=blocks, **options
        )
    api.show(run.path, images=1, ranked=0, properties=False, device="cpu", data_dir=blocks)


def test_a_file_that_is_a_link_is_read_and_never_written_through(theirs, blocks, tmp_path):
    use(theirs, blocks)
    write_json(theirs.status_file, {**read_json(theirs.status_file), "state": "interrupted"})
    for file in [path for path in theirs.path.rglob("[!.]*") if path.is_file()]:
        mine = tmp_path / "mine" / "-".join(file.relative_to(theirs.path).parts)
        shutil.move(file, mine)
        file.symlink_to(mine)
    before = {path: sha256_of(path) for path in (tmp_path / "mine").iterdir()}
    assert len(before) > 9
    use(theirs, blocks)
    assert {path: sha256_of(path) for path in (tmp_path / "mine").iterdir()} == before
    assert theirs.status()["state"] == "done"


@pytest.mark.parametrize("kind", ["int8", "nan"])
def test_weights_that_are_not_those_of_the_model_are_named(theirs, kind):
    weights = load_file(theirs.model)
    name = next(name for name in weights if name.startswith("core."))
    weights[name] = weights[name].to(torch.int8) if kind == "int8" else weights[name] * math.nan
    save_file(weights, theirs.model)
    with pytest.raises(SlotbenchError, match=f"{name} (is torch.int8, not|holds NaN)"):
        api.load(theirs)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link_is_refused(theirs, blocks, tmp_path, name):
    shutil.rmtree(theirs.path / name, ignore_errors=True)
    (tmp_path / "mine" / "test.npz").write_text("precious")
    (theirs.path / name).symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=f"{name} is a link"):
        use(theirs, blocks)
    assert [file.read_text() for file in (tmp_path / "mine").iterdir()] == ["precious"]


@pytest.mark.parametrize("name", ["evaluation.json", "environment.json", "metrics.jsonl"])
def test_nobody_waits_at_a_pipe(theirs, blocks, name):
    (theirs.path / name).unlink(missing_ok=True)
    os.mkfifo(theirs.path / name)
    with limited(60):
        use(theirs, blocks)
    assert (theirs.path / name).is_file()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda file: file.symlink_to("nowhere")])
@pytest.mark.parametrize("name", ["checkpoint.pt", "evaluation.json", "environment.json"])
def test_a_file_that_is_none_is_found_by_verify_and_show(trained, tmp_path, name, make):
    run = Run(Path(shutil.copytree(trained.path, tmp_path / trained.id)))
    assert api.verify(run)["ok"]
    (run.path / name).unlink(missing_ok=True)
    make(run.path / name)
    with limited(60), pytest.raises(UserError, match=f"{name}: this is "):
        api.verify(run)
    if name == "evaluation.json":
        with limited(60), pytest.raises(UserError, match=name):
            api.show(run)


def test_of_two_bundles_with_one_id_none_is_taken_for_the_other(trained, tmp_path, monkeypatch):
    """One configuration that was trained on two machines has other weights on each."""
    results, place = tmp_path / "results", Path("runs", *trained.path.parts[-3:])
    runs = [Run(results / "published" / name / place) for name in ("one", "two")]
    monkeypatch.setattr(Run, "check", lambda _: None)  # whether it is as published is no matter
    for run in runs:
        shutil.copytree(trained.path, run.path)
        write_json(run.evaluation, {})
    assert api.find(trained.id, results).id == trained.id  # equal copies are one run
    flip(runs[1].model)
    with pytest.raises(UserError, match="2 runs match"):
        api.find(trained.id, results)
    assert writable(runs[0], results).path == writable(runs[0], results).path
    with pytest.raises(UserError, match="a copy of another run of that id"):
        writable(runs[1], results)
