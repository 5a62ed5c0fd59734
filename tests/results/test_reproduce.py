"""A published row is trained anew with its own settings, and held against the published seeds."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from slotbench import api
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.reproduce import prediction_interval
from tests.commands import run_command
from tests.results.bundled import SMALL


@pytest.fixture(scope="module")
def records(blocks, tmp_path_factory):
    """Published records of two seeds, of which no run is here."""
    results = tmp_path_factory.mktemp("published")
    places = ("--data-dir", str(blocks), "--results-dir", str(results))
    for seed in ("0", "2"):
        assert run_command("train", "--no-evaluate", *SMALL, "--seed", seed, *places) == 0
    runs = [str(path) for path in sorted(results.glob("runs/*/*/*"))]
    device = ("--metrics", "segmentation", "--device", "cpu")
    assert run_command("evaluate", *runs, *device, *places) == 0
    file = results / "tiny-blocks.json"
    api.publish(runs, file, results_dir=results)
    return json.loads(file.read_text())


@pytest.fixture
def call(records, blocks, tmp_path, shown):
    def run(*words, change=list):
        (tmp_path / "published").mkdir(exist_ok=True)
        told = json.loads(json.dumps(records))
        change(told)
        (tmp_path / "published" / "tiny-blocks.json").write_text(json.dumps(told))
        places = ("--results-dir", str(tmp_path), "--data-dir", str(blocks), "--device", "cpu")
        return shown("reproduce", *words, *places)

    return run


def test_the_first_free_seed_is_trained_with_the_settings_of_the_row(call, records):
    code, out, _ = call("tiny", "--row", "reconstruction", "--json")
    facts = json.loads(out)
    config = json.loads((Path(facts["run"]) / "config.json").read_text())
    assert facts["seed"] == config["seed"] == 1
    assert {**config, "seed": 0} == records[0]["config"]
    cell = facts["metrics"][0]
    assert cell["metric"] == PRIMARY
    assert cell["inside"] == (cell["low"] <= cell["value"] <= cell["high"]) == (code == 0)


def test_a_published_seed_gives_the_published_value(call, records):
    _, out, _ = call("tiny-blocks", "--row", "reconstruction", "--seed", "2", "--json")
    cell = json.loads(out)["metrics"][0]
    (value,) = (
        each["evaluation"]["metrics"][PRIMARY]["value"]
        for each in records
        if each["config"]["seed"] == 2
    )
    assert cell["value"] == pytest.approx(value, abs=1e-6)


def test_a_value_outside_of_the_interval_fails(call):
    def moved(records):
        for record in records:
            record["evaluation"]["metrics"][PRIMARY]["value"] = 2.0 + record["config"]["seed"] / 99

    code, out, err = call("tiny", "--row", "reconstruction", change=moved)
    assert code == 1
    assert "outside" in out
    assert "is not reproduced by this seed" in err


def other_version(records):
    for record in records:
        record["config"]["versions"]["objective"] = 99


def older_metric(records):
    for record in records:
        record["evaluation"]["metrics"][PRIMARY]["version"] = 0


CHANGES = {
    "an older version of the primary measure": (older_metric, "0 published seeds with"),
    "one seed": (lambda records: records.pop(), "expected 2 or more"),
    "another version": (other_version, "was trained by other versions"),
    "records that cannot be read": (
        lambda records: [each["config"]["train"].pop("steps") for each in records],
        "no run of it counts",
    ),
    "no encoder": (lambda records: [each["config"].pop("encoder") for each in records], "encoder"),
    "a section of another slotbench": (
        lambda records: [each["config"].update(teacher={"name": "x"}) for each in records],
        "does not know: teacher",
    ),
    "a field of another slotbench": (
        lambda records: [each["config"]["encoder"].update(colour=1) for each in records],
        "'colour'",
    ),
}


ROW = ("tiny", "--row", "reconstruction")
WRONG = {
    "study": ("huge", *ROW[1:], "Unknown published study 'huge'"),
    "negative seed": (*ROW, "--seed", "-1", "--seed -1: expected 0 to"),
    "row": ("tiny", "--row", "simclr", "There are: reconstruction."),
}
CASES = {name: (ROW, *case) for name, case in CHANGES.items()}
CASES |= {name: (words, list, message) for name, (*words, message) in WRONG.items()}


@pytest.mark.parametrize(("words", "change", "message"), CASES.values(), ids=CASES)
def test_a_row_that_cannot_be_trained_anew_leaves_no_run(call, tmp_path, words, change, message):
    code, _, err = call(*words, change=change)
    assert (code, message in err) == (2, True)
    assert not list(tmp_path.glob("runs/*/*/*"))


def test_two_rows_of_one_name_are_told_apart_by_their_keys(call):
    def two(records):
        other = json.loads(json.dumps(records))
        for record in other:
            record["config"]["train"]["learning_rate"] = 0.5
        records += other

    code, _, err = call("tiny", "--row", "reconstruction", change=two)
    assert (code, "2 rows of tiny have this name" in err) == (2, True)
    key = err.partition("--row ")[2].partition(" ")[0]
    assert key == "reconstruction:"
    assert err.count("2 seeds") == 2


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_interval_holds_95_of_100_further_seeds(n):
    drawn = np.random.default_rng(n).normal(0.8, 0.05, (4000, n))
    ends = [prediction_interval(list(values)) for values in drawn]
    held = [norm.cdf(high, 0.8, 0.05) - norm.cdf(low, 0.8, 0.05) for low, high in ends]
    assert np.mean(held) == pytest.approx(0.95, abs=0.006)
