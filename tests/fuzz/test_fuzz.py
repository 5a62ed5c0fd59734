"""Every reader refuses a mutated file by a named problem: no traceback, no hang."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from slotbench import api
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.originals.archives import extract
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import parse_document, read_document, read_json
from slotbench.results import verify
from slotbench.results.bundle import check_hashes, open_bundle
from slotbench.results.documents import Evaluation, Status
from slotbench.results.export import results as exported
from slotbench.results.export import to_csv
from slotbench.results.finding import all_runs, find
from slotbench.results.judge_external import Request, evaluate_predictions
from slotbench.results.models import trained
from slotbench.results.publish import publish
from slotbench.suites.document import read
from slotbench.suites.state import Journal
from slotbench.training import checkpoint
from tests.commands import limited
from tests.datasets.test_archives import KINDS as PACKED
from tests.fuzz.mutate import mutants
from tests.results.results import ALL, make_config, make_evaluation, make_status
from tests.small import started

SUITE = """name = "mine"
question = "Does it matter?"
[axes]
objective = ["simclr", "reconstruction"]
seed = [0, 1]
"core.width" = [16, 32]
[fixed]
preset = "quick"
[[skip]]
objective = "simclr"
seed = 1
"""


def fuzz(file, count, use, *, named=False):
    """Use a file with each mutation; how many were refused, where ``named`` by its name."""
    whole, refused, said = file.read_bytes(), 0, []
    for number, data in enumerate(mutants(whole, len(whole), count)):
        file.write_bytes(data)
        try:
            with limited(20):
                use()
        except SlotbenchError as error:
            refused += 1
            said.append(error.message)
        except Exception as error:
            raise AssertionError(f"mutation {number} of {file.name}: {data[:300]!r}") from error
    assert all("Traceback" not in message for message in said)
    assert not named or all(file.name in message for message in said)
    file.write_bytes(whole)
    use()
    return refused


@pytest.fixture(scope="module")
def results(blocks, tmp_path_factory):
    """Two finished runs, judged."""
    folder = tmp_path_factory.mktemp("fuzz")
    for seed in (0, 1):
        run = started(blocks, folder, steps=2, seed=seed)
        api.evaluate(run.path, metrics="segmentation", data_dir=blocks, results_dir=folder)
    return folder


@pytest.fixture
def own(results, tmp_path):
    """A copy of the results that a test may damage."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def first(folder):
    return all_runs(folder)[0]


@pytest.mark.parametrize(
    "name", ["config.json", "status.json", "evaluation.json", "environment.json", "metrics.jsonl"]
)
def test_one_bad_run_never_hides_the_other(own, name, count):
    other = all_runs(own)[1].id

    def use():
        board = api.board(own)
        assert board.rows
        counted = [seed for row in board.rows for seed in row.seeds]
        assert int(other.partition("-")[0]) in counted
        assert board.to_csv()
        assert to_csv(exported(own)).count(other)

    fuzz(first(own).path / name, count, use)


@pytest.mark.parametrize("name", ["config.json", "status.json"])
def test_a_command_on_a_bad_run_names_the_problem(own, name, count):
    path = first(own).path

    def use():
        run = find(str(path), own)
        run.config()
        run.status()

    refused = fuzz(path / name, count, use)
    assert refused > count / 8


def test_checkpoints_and_weights(own, count):
    run = first(own)
    config = run.config()
    whole = checkpoint.load(run.checkpoint, config).objective

    def use():
        found = checkpoint.load(run.checkpoint, config).objective
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], value) for name, value in whole.items())

    assert fuzz(run.checkpoint, count, use, named=True)
    assert fuzz(run.model, count, lambda: trained(run, config))


def test_suites_and_journals(tmp_path, count):
    file = tmp_path / "mine.toml"
    file.write_text(SUITE)
    assert fuzz(file, count, lambda: read(file))
    journal = Journal(tmp_path, "mine")
    for event in ("begin", "submit", "end"):
        journal.write(event, engine="slurm", run="r", handle="1")
    fuzz(journal.file, count, lambda: (journal.events(), journal.open_handles("slurm")))


def test_prepared_datasets(path, count):
    fuzz(path, count, lambda: verify.dataset(path), named=True)


@pytest.mark.parametrize("kind", PACKED)
def test_archives(kind, tmp_path, count):
    files = {"a/b": b"text" * 30, "c": b"1234"}
    archive = PACKED[kind](tmp_path / kind, files)

    def use():
        out = extract([archive], tmp_path / "out")
        found = {path.read_bytes() for path in out.rglob("[!.]*") if path.is_file()}
        shutil.rmtree(out)
        # A plain tar has no checksum of its content.
        assert kind == "a.tar" or found <= set(files.values())

    assert fuzz(archive, count, use, named=True)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_predictions(blocks, tmp_path, form, count):
    draw = np.random.default_rng(0)
    with DatasetFile(blocks / "clevr.h5") as dataset:
        size = dataset.size("test")
    masks = draw.random((size, 3, 8, 8)).astype(np.float32)
    file = tmp_path / f"mine.{form}"
    if form == "npz":
        np.savez(file, masks=masks / masks.sum(axis=1, keepdims=True))
    else:
        with h5py.File(file, "w") as store:
            store["masks"] = masks / masks.sum(axis=1, keepdims=True)
    request = Request("clevr", "segmentation", 0, blocks, tmp_path / "results", force=True)
    fuzz(file, count, lambda: evaluate_predictions(file, "mine", request), named=True)


def test_bundles(own, tmp_path, count):
    for out in (tmp_path / "bundle.zip", tmp_path / "bundle"):
        publish([first(own)], out, force=False)

    def use(out):
        with open_bundle(out) as bundle:
            check_hashes(bundle)

    assert fuzz(tmp_path / "bundle.zip", count, lambda: use(tmp_path / "bundle.zip"))
    manifest = next((tmp_path / "bundle").glob("*.json"))
    assert fuzz(manifest, count, lambda: use(tmp_path / "bundle"))


def test_published_records(own, count):
    folder = own / "published"
    folder.mkdir()
    publish([first(own)], folder / "mine.json", force=False)
    shutil.rmtree(first(own).path)
    fuzz(folder / "mine.json", count, lambda: api.board(own).to_csv())


@pytest.mark.parametrize(
    ("document", "model"),
    [(make_evaluation(make_config(), ALL), Evaluation), (make_status(warnings=["x"]), Status)],
)
def test_the_fast_reader_says_what_the_thorough_one_says(tmp_path, document, model):
    file = tmp_path / "document.json"

    def outcome(read):
        try:
            return read()
        except UserError as error:
            return error.message

    for data in mutants(json.dumps({**document, "more": 1e3}).encode(), 7, 300):
        file.write_bytes(data)
        found = outcome(lambda: read_document(file, model))
        assert found == outcome(lambda: parse_document(read_json(file), model, str(file))), data
