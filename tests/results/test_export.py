"""Every result of every run, with where it came from; nothing missing in silence."""

import csv
import io
import sys
from collections import defaultdict

import numpy as np
import pytest

from slotbench.results.export import COLUMNS, results, to_csv
from slotbench.results.leaderboard import leaderboard
from tests.results.results import ALL, add_run, make_config, make_status, publish, write

METRIC = "fg_ari/attention"
ENVIRONMENT = {"slotbench": "0.1.0", "python": "3.11.7", "threads": 2}
ENVIRONMENT |= {"git": {"commit": "c" * 40, "clean": False}}
ENVIRONMENT |= {"packages": {"torch": "2.15.0", "numpy": "2.4.6"}}


def fill(results_dir):
    """Two runs that count, one that failed, one not evaluated, one of other data, one published."""
    choice = {"objective": "simclr", "alignment": "pool", "overrides": {"core.slots": 9}}
    judged = {"model": "a" * 64, "groups": {"segmentation": 1}}
    status = make_status(flops=1.5e15)
    run = add_run(results_dir, ALL, seed=1, status=status, evaluation=judged, **choice)
    write(run / "environment.json", ENVIRONMENT)
    add_run(results_dir, {**ALL, METRIC: None}, seed=0)
    add_run(results_dir, seed=2, status=make_status("failed", reason='out of memory; "oom", \n2'))
    add_run(results_dir, seed=3)
    add_run(results_dir, ALL, seed=4, evaluation={"fingerprint": "other"})
    publish(results_dir, ALL, [20])


def test_a_row_says_where_its_number_came_from(tmp_path):
    fill(tmp_path)
    (row,) = [
        row for row in results(tmp_path) if row["objective"] == "simclr" and row["metric"] == METRIC
    ]
    assert tuple(row) == tuple(COLUMNS)
    config = make_config("simclr", 1, alignment="pool", overrides={"core.slots": 9})
    said = {
        "state=done reason= problems= dataset=clevr:clevr6 origin=rendered core=slot-attention",
        "objective=simclr family=self-supervised alignment=pool preset=quick split=test warnings=",
        "slotbench=0.1.0 python=3.11.7 torch=2.15.0 numpy=2.4.6 core_version=1 seed=1 value=0.5",
        "objective_version=1 image_size=64 n=2000 left_out=0 images=2000 threads=2 steps=3000",
        "seconds=300.0 images_per_second=320.0 parameters=210000.0 flops=1500000000000000.0",
        "counts=True published=False external=False low=None high=None git_clean=False",
    }
    expected = dict(pair.split("=") for line in said for pair in line.split())
    expected |= {"fingerprint": config["dataset"]["fingerprint"], "device": "cpu, 2 threads"}
    expected |= {"overrides": '{"core.slots": 9}', "metric": METRIC, "model_sha256": "a" * 64}
    expected |= {"git_commit": "c" * 40, "metric_version": str(row["metric_version"])}
    assert {key: str(row[key]) for key in COLUMNS if key != "run"} == expected
    assert (tmp_path / row["run"]).is_dir()


def test_every_run_is_there_and_says_whether_it_counts(tmp_path):
    fill(tmp_path)
    seeds = defaultdict(list)
    for row in results(tmp_path):
        seeds[row["seed"]].append(row)
    assert len(seeds) == 6
    # A value that is missing is a row with no value, not a row that is missing.
    assert [row["value"] for row in seeds[0] if row["metric"] == METRIC] == [None]
    assert len(seeds[0]) == len(seeds[1]) == len(ALL)
    for seed, words in ((2, "out of memory"), (3, "not evaluated")):
        (alone,) = seeds[seed]
        assert (alone["metric"], alone["value"], alone["counts"]) == (None, None, False)
        assert words in alone["reason"] + alone["problems"]
    assert {row["counts"] for row in seeds[4]} == {False}
    assert "other data" in seeds[4][0]["problems"]
    assert {(row["published"], row["counts"]) for row in seeds[20]} == {(True, True)}


def test_csv_reads_back_and_means_of_what_counts_are_the_leaderboards(tmp_path):
    fill(tmp_path)
    rows = list(results(tmp_path))
    back = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(back[0]) == list(COLUMNS)
    assert back == [{key: "" if of is None else str(of) for key, of in row.items()} for row in rows]
    means = defaultdict(list)
    for row in rows:
        if row["counts"] and row["metric"] == METRIC and row["value"] is not None:
            means[row["objective"]].append(row["value"])
    for row in leaderboard(tmp_path).rows:
        assert row.metrics[METRIC].mean == pytest.approx(np.mean(means[row.objective]))


def test_parquet_keeps_kinds_and_gaps(tmp_path, call):
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(tmp_path)
    out = tmp_path / "all.parquet"
    assert call("export", "--out", str(out))[0] == 0
    table = parquet.read_table(out)
    kinds = {field.name: str(field.type).replace("double", "float64") for field in table.schema}
    assert kinds == dict(COLUMNS)
    assert table.to_pylist() == list(results(tmp_path))
    assert table.schema.metadata[b"schema"] == b"1"


@pytest.fixture
def call(tmp_path, shown):
    """Runs a command on ``tmp_path``, as ``shown`` does."""
    return lambda *words: shown(*words, "--results-dir", tmp_path)


def test_the_command_writes_what_it_prints(tmp_path, call):
    fill(tmp_path)
    code, printed, _ = call("export")
    assert code == 0
    code, out, told = call("export", "--out", str(tmp_path / "new" / "all.csv"))
    assert (code, out) == (0, "")
    assert (tmp_path / "new" / "all.csv").read_text() == printed
    assert f"{len(list(results(tmp_path)))} rows of 6 runs" in told
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["all.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "parket", "--out", "x"), "Did you mean 'parquet'"),
        (("--format", "parquet"), "needs a file"),
        (("--cite", "--format", "csv"), "Unknown format of --cite"),
        ((), "No results in"),
        (("--out", "x.xlsx"), "x.xlsx: csv is written here, and .xlsx promises something else"),
        (("--cite", "--out", "x.csv"), "End the name in .md or .txt"),
        (("--out", "x.parquet"), 'pip install "slotbench[parquet]"'),
    ],
)
def test_a_mistake_exits_with_2(call, words, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, told = call("export", *words)
    assert (code, out) == (2, "")
    assert message in told
