"""Baselines and predictions from elsewhere, as rows beside runs; no evaluation takes place."""

import csv
import io

import pytest

from slotbench.errors import RunLocked
from slotbench.locks import hold
from slotbench.results import entries
from slotbench.results.leaderboard import leaderboard
from tests.results.results import ALL, add_run, make_config, make_evaluation, text_of

SLATE = "SLATE (authors' code)"


def add_entry(results, numbers, *, warnings=(), seed=0, kind="external", name=SLATE, **fields):
    """Write one entry as ``slotbench evaluate`` does."""
    own = {"slots": 7, "version": 1}
    if kind == "external":
        source = {"file": "my masks.npz", "sha256": "0" * 64, "mask_source": "predictor"}
        own = {"source": source}
    config = {"kind": kind, "name": name, "seed": seed, "dataset": make_config()["dataset"], **own}
    evaluation = make_evaluation(config, numbers, **fields)
    return entries.store(config, evaluation, list(warnings), results, 1)


def test_external_rows_are_marked_in_every_format(tmp_path):
    add_run(tmp_path, ALL)
    add_entry(tmp_path, {"fg_ari/attention": 0.7}, warnings=("masks: read as scores",))
    board = leaderboard(tmp_path)
    ours, theirs = board.to_json()["rows"]
    assert (ours["external"], theirs["external"]) == (False, True)
    assert (theirs["family"], theirs["objective"]) == ("external", SLATE)
    assert theirs["metrics"]["fg_ari/attention"]["mean"] == 0.7
    assert theirs["metrics"]["fg_ari/decoder"]["mean"] is None
    assert theirs["warnings"] == ["masks: read as scores"]
    assert theirs["cost"]["steps"] is None
    name = f"{SLATE} · external"
    assert f"| {name} |" in board.to_markdown()
    assert "external" in text_of(board)
    assert f"{SLATE} $\\cdot$ external" in board.to_latex()
    lines = list(csv.DictReader(io.StringIO(board.to_csv())))
    assert {line["external"] for line in lines if line["family"] == "external"} == {"True"}
    assert {line["external"] for line in lines if line["family"] != "external"} == {"False"}
    only = leaderboard(tmp_path, family="external").to_json()["rows"]
    assert [row["objective"] for row in only] == [SLATE]


def test_an_entry_that_another_process_writes_is_left_alone(tmp_path):
    path = add_entry(tmp_path, {"fg_ari/attention": 0.7})
    before = (path / "evaluation.json").read_bytes()
    with hold(path / ".lock"), pytest.raises(RunLocked):
        add_entry(tmp_path, {"fg_ari/attention": 0.2})
    assert (path / "evaluation.json").read_bytes() == before


def test_entries_take_no_part_in_comparisons(tmp_path):
    for seed in range(3):
        add_run(tmp_path, ALL, seed=seed)
        add_run(tmp_path, ALL, seed=seed, objective="simclr", alignment="pool")
    before = leaderboard(tmp_path).to_json()["comparisons"]
    add_entry(tmp_path, ALL)
    add_entry(tmp_path, ALL, kind="baseline", name="baseline:kmeans")
    after = leaderboard(tmp_path).to_json()
    assert after["comparisons"] == before
    families = [row["family"] for row in after["rows"]]
    assert families.count("control") == families.count("external") == 1


def test_the_same_name_and_seed_replace_the_entry_and_other_seeds_join_it(tmp_path):
    first = add_entry(tmp_path, {"ari/attention": 0.1})
    assert add_entry(tmp_path, {"ari/attention": 0.3}) == first
    other = add_entry(tmp_path, {"ari/attention": 0.5}, seed=1)
    assert other != first
    assert other.name.startswith("slate-authors-code-")
    (row,) = leaderboard(tmp_path).to_json()["rows"]
    assert row["seed_list"] == [0, 1]
    assert row["metrics"]["ari/attention"]["mean"] == pytest.approx(0.4)
    add_entry(tmp_path, {"ari/attention": 0.5}, name="SLATE")
    assert len(leaderboard(tmp_path).to_json()["rows"]) == 2


def test_an_entry_of_other_images_is_left_out_with_the_command_to_mend_it(tmp_path):
    add_run(tmp_path, ALL)
    for seed in range(3):  # more entries than runs: the runs decide nevertheless
        add_entry(tmp_path, ALL, images=1000, resolution=[32, 32], seed=seed)
    add_entry(tmp_path, ALL, kind="baseline", name="baseline:kmeans", images=500, seed=2)
    board = leaderboard(tmp_path)
    assert [row["objective"] for row in board.to_json()["rows"]] == ["reconstruction"]
    text = "\n".join(board.warnings)
    assert (
        "was evaluated on 1000 images at 32x32 px, others on 2000 at 64x64: left out. Type: "
        "slotbench evaluate --predictions 'my masks.npz' --dataset clevr:clevr6 --name "
        "'SLATE (authors'\"'\"' code)' --mask-source predictor --seed 1"
    ) in text
    again = "slotbench evaluate --baseline kmeans --dataset clevr:clevr6 --slots 7 --seed 2"
    assert again in text


def test_half_written_entries_are_listed_and_do_not_crash(tmp_path):
    add_run(tmp_path, ALL)
    bare = add_entry(tmp_path, ALL, name="bare")
    (bare / "evaluation.json").unlink()
    odd = add_entry(tmp_path, ALL, name="odd")
    (odd / "config.json").write_text('{"schema": 1, "kind": "hearsay", "name": "x", "seed": 0}')
    empty = bare.parent / "empty"
    empty.mkdir()
    board = leaderboard(tmp_path)
    assert len(board.rows) == 1
    for path in (bare, odd, empty):
        assert any(path.name in line.partition(": ")[0] for line in board.warnings), path


def test_no_path_of_this_machine_is_in_a_name(tmp_path):
    hostile = add_entry(tmp_path, ALL, name="../../etc/x\u202e<b>")
    assert hostile.parent == tmp_path / "external" / "clevr-clevr6"
    assert hostile.name.startswith("etc-x-b-")
    nameless = add_entry(tmp_path, ALL, name="模型")
    assert nameless.name.startswith("entry-")
