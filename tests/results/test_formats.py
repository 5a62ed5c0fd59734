"""What the table, CSV, Markdown, LaTeX and JSON show."""

import csv
import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from slotbench.cli.printing import evaluation_table
from slotbench.grid import Cell, Table, to_lines
from slotbench.results import kept
from slotbench.results.export import results, to_csv
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.wording import DEFAULT_METRICS, number
from tests.results import results as fake

FG, PROPS = "fg_ari/attention", "properties/linear/mask/mean"


def lines_of(text, name):
    return [line for line in text.splitlines() if line.startswith(name)]


def test_the_json_contract(tmp_path):
    warning = fake.make_status(warnings=["7 slots for up to 10 objects"])
    for seed in (0, 1):
        fake.add_run(tmp_path, fake.ALL, seed=seed, status=warning)
    fake.add_run(tmp_path, fake.ALL, objective="simclr", alignment="pool")
    for objective in ("reconstruction+simclr:0.1", "mine"):
        fake.add_run(tmp_path, fake.ALL, objective=objective)
    document = leaderboard(tmp_path).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == 1
    for row in document["rows"]:
        words = "dataset origin core objective alignment preset family seeds failed metrics"
        assert {*words.split(), "cost", "warnings", "settings"} <= row.keys()
        assert all({"mean", "low", "high", "n"} <= cell.keys() for cell in row["metrics"].values())
    first = document["rows"][0]
    assert (first["dataset"], first["origin"]) == ("clevr:clevr6", "rendered")
    assert first["warnings"] == ["7 slots for up to 10 objects"]
    cost = {"steps": 3000, "seconds": 300, "images_per_second": 320, "parameters": 210_000}
    assert first["cost"] == {**cost, "device": "cpu, 2 threads"}
    assert [(row["objective"], row["family"]) for row in document["rows"]] == [
        ("reconstruction", "reconstruction"),
        ("simclr", "self-supervised"),
        ("reconstruction+simclr:0.1", "combined"),
        ("mine", "unknown"),
    ]


@pytest.mark.parametrize(
    ("devices", "shown"),
    [
        (("cpu, 2 threads", "cpu, 2 threads", "cuda"), "cpu, 2 threads"),
        (("cpu, 1 threads", "cpu, 1 thread", "cpu, 11 threads"), "cpu, 1 thread"),  # earlier runs
    ],
)
def test_times_on_other_devices_are_not_averaged(tmp_path, devices, shown):
    for seed, (device, seconds) in enumerate(zip(devices, (300.0, 200.0, 1.0), strict=True)):
        fake.add_run(
            tmp_path, fake.ALL, seed=seed, status=fake.make_status(seconds=seconds, device=device)
        )
    row = fake.only(leaderboard(tmp_path))
    assert (row["cost"]["seconds"], row["cost"]["device"]) == (250, shown)
    assert row["warnings"] == [f"cost is of the 2 of 3 runs on {shown}"]


def test_the_terminal_shows_one_line_a_row_and_what_rows_share_above_them(tmp_path):
    numbers = {FG: 0.5, "ari/attention": 0.25, PROPS: 0.7}
    for objective, alignment in (("reconstruction", None), ("simclr", "hungarian")):
        for seed in range(5):
            first = {FG: 0.5 + 0.1 * seed, "health/effective_rank": 9.0}
            run = {"objective": objective, "alignment": alignment, "seed": seed}
            fake.add_run(tmp_path, {**numbers, **first}, **run)
    fake.add_run(tmp_path, numbers, objective="byol", status=fake.make_status("failed"))
    fake.add_run(tmp_path, numbers, origin="original")
    text = fake.text_of(leaderboard(tmp_path), 80)
    assert "clevr:clevr6 · 64 px · rendered (not the original clevr)" in text
    shared = "slot-attention, quick, hungarian alignment, 96,000 images, not tuned, cpu, 2 threads"
    assert shared in " ".join(text.split())
    (simclr,) = lines_of(text, "simclr ")
    assert simclr.split() == ["simclr", "5", "*0.70", "[0.50,", "0.90]", "*0.25", "*0.70", "5.0"]
    (byol,) = lines_of(text, "byol ")
    assert byol.split() == ["byol", "0,", "1", "failed", "—", "—", "—", "5.0"]
    assert len(lines_of(text, "reconstruction  ")) == 2
    assert max(map(len, text.splitlines())) <= 80
    assert "effective_rank" not in text
    assert text.rstrip().endswith("p = 1.000).")
    fake.add_run(tmp_path, fake.ALL, objective="moco")
    wide = fake.text_of(leaderboard(tmp_path), 120, wide=True)
    words = ("self-supervised", "IQM 0.70", "3,000", "5.0 min", "0.21 M", "320", "cpu, 2 threads")
    for word in (*words, *DEFAULT_METRICS, f"{FG}: 0.00 [0.00, 0.00], 5 pairs"):
        assert word in wide
    assert max(map(len, wide.splitlines())) <= 120
    assert "too few seeds" not in wide
    assert "comparisons lack seeds: each needs 3 on both sides." in wide


def test_an_interval_that_is_shown_ends_where_its_metric_does(tmp_path):
    for seed, value in enumerate((0.75, 0.99)):
        numbers = {FG: value, "recon_mse": value / 1000, "health/effective_rank": value}
        fake.add_run(tmp_path, numbers, seed=seed)
    board = leaderboard(tmp_path, metrics=(FG, "recon_mse", "health"))
    half = 12.706204736174694 * 0.12
    assert half > 1.5  # beyond -0.5 too
    (row,) = board.to_json()["rows"]
    assert row["metrics"][FG]["high"] == pytest.approx(0.87 + half)
    for text in (fake.text_of(board), fake.text_of(board, wide=True), board.to_markdown()):
        assert "[-0.50, 1.00]" in text  # ARI
        assert "[0.00, 2.39" not in text
        assert "[0, 0.0024]" in text or "[0.00, 0.0024]" in text  # an error
        assert "[-0.65, 2.39]" in text  # no range is known
    frame = board.to_frame().set_index("metric")
    assert frame.loc[FG, "low"] == pytest.approx(0.87 - half)


def test_a_name_that_is_cut_keeps_its_beginning_and_its_end():
    names = ("reconstruction+slot-infonce:0.02", "reconstruction+slot-infonce:0.02, steps=3000")
    rows = [[Cell(name), Cell("0.50")] for name in names]
    _, *lines = to_lines(Table("", ["objective", "FG-ARI"], rows, labels=1), 30)
    assert [line.plain.split() for line in lines] == [
        ["reconstructio…nce:0.02", "0.50"],
        ["reconstructio…eps=3000", "0.50"],
    ]


def test_an_evaluation_cuts_no_name_at_80_columns(capsys):
    name = "properties/linear/loss/material/dropped"
    value = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4000, "left_out": 0, "version": 2}
    result = {"split": "test", "images": 1000, "metrics": {name: value}}
    result["skipped"] = {"shifts": "the dataset has no shifted test sets"}
    Console(width=80).print(evaluation_table("0-abc", result))
    said = capsys.readouterr().out
    assert [name, "0.500", "0.250", "to", "0.750", "4,000"] in map(str.split, said.splitlines())
    assert "left out" not in said
    assert "shifts: not scored: the dataset has no shifted test sets" in said
    result["metrics"] = {name: {**value, "left_out": 3, "high": None}}
    Console(width=80).print(evaluation_table("0-abc", result))
    said = capsys.readouterr().out
    assert "left out" in said
    assert " to " not in said  # an interval has two ends


@pytest.mark.parametrize(("probed", "title"), [(1, "props"), (2, "probe")])
def test_of_properties_and_probe_the_terminal_shows_the_one_of_more_rows(tmp_path, probed, title):
    fake.add_run(tmp_path, {FG: 0.5, PROPS: 0.7})
    for objective in ("simclr", "byol")[:probed]:
        fake.add_run(tmp_path, {FG: 0.1, "linear_probe/slots/map": 0.8}, objective=objective)
    (head,) = lines_of(fake.text_of(leaderboard(tmp_path), 80), "objective ")
    assert {"props", "probe"} & set(head.split()) == {title}


def test_a_narrow_terminal_loses_no_metric_that_was_asked_for(tmp_path):
    for seed in range(2):
        numbers = {key: 0.111 * (index + 1) for index, key in enumerate(DEFAULT_METRICS)}
        fake.add_run(tmp_path, numbers, seed=seed, objective="simclr")
    text = fake.text_of(leaderboard(tmp_path, metrics=DEFAULT_METRICS), 60)
    assert max(map(len, text.splitlines())) <= 60
    for value in ("0.11", "0.22", "0.33", "0.44", "0.56"):
        assert f"{value} [{value}, {value}]" in text
    for width in (1, 5, 30):
        assert "simclr" in fake.text_of(leaderboard(tmp_path), width)


def test_the_budget_of_tuning_stands_beside_a_row(tmp_path):
    budget = {"trials": 12, "steps": 2500}
    for objective, tuning in (("simclr", {"tuning": budget}), ("byol", {})):
        run = fake.add_run(tmp_path, fake.ALL, objective=objective)
        fake.write(run / "config.json", fake.make_config(objective) | tuning)
    board = leaderboard(tmp_path)
    rows = {row["objective"]: row["tuning"] for row in board.to_json()["rows"]}
    assert rows == {"simclr": budget, "byol": None}
    frame = board.to_frame().set_index("objective")
    assert set(frame.loc["simclr", "tuning_trials"]) == {12}
    assert frame.loc["byol", "tuning_steps"].isna().all()
    for text in (board.to_markdown(), fake.text_of(board, wide=True)):
        assert "12 trials of 2,500 steps" in text
    assert "tuned" not in fake.text_of(board)
    (tmp_path / "runs" / "clevr-clevr6" / "slot-attention+byol").rename(tmp_path / "elsewhere")
    assert "tuned: 12 trials of 2,500 steps" in fake.text_of(leaderboard(tmp_path))


def test_two_files_of_one_name_are_told_apart(tmp_path):
    fake.add_run(tmp_path, fake.ALL)
    fake.add_run(tmp_path, {"fg_ari/decoder": 0.2}, content="abcdefgh1234")
    assert "· content abcdefgh" in fake.text_of(leaderboard(tmp_path))


def test_the_best_of_a_column_is_marked_and_ties_are_all_best(tmp_path):
    fake.add_run(tmp_path, {FG: 0.801, "health/rank": 3.0, "recon_mse": 0.02})
    fake.add_run(tmp_path, {FG: 0.799, "health/rank": 9.0, "recon_mse": 0.01}, objective="simclr")
    fake.add_run(tmp_path, {FG: 0.7, "health/rank": 1.0}, objective="random")
    # Alone in its dataset: best of nothing.
    fake.add_run(tmp_path, {FG: 0.95}, variant="clevr10")
    board = leaderboard(tmp_path, metrics=["all"])
    markdown = board.to_markdown()
    counts = {"**0.80**": 2, "**0.01**": 1, "**": 6}
    assert {mark: markdown.count(mark) for mark in counts} == counts
    counts = {"*0.80": 2, "*9.00": 0, "*0.95": 0}
    assert {mark: fake.text_of(board).count(mark) for mark in counts} == counts
    assert board.to_latex().count(r"\textbf{0.80}") == 2


NUMBERS = {0.8649: "0.86", -0.004: "-0.004", 0.0: "0.00", None: "—", 1234.5: "1,234.50"} | {
    0.00123: "0.0012",
    -0.5: "-0.50",
}


def test_numbers():
    assert {value: number(value) for value in NUMBERS} == NUMBERS
    assert number(-0.0) == "0.00"  # equal to 0.0 as a key


def test_csv_is_long_and_exact_and_so_is_the_frame(tmp_path):
    fake.add_run(tmp_path, {"fg_ari/decoder": 1 / 3, "ari/decoder": None}, seed=0)
    fake.add_run(tmp_path, {"ari/attention": 0.25}, objective="simclr", alignment="pool")
    board = leaderboard(tmp_path)
    lines = list(csv.DictReader(io.StringIO(board.to_csv())))
    keys = ["ari/attention", "fg_ari/decoder"]
    expected = [(objective, key) for objective in ("reconstruction", "simclr") for key in keys]
    assert [(line["objective"], line["metric"]) for line in lines] == expected
    assert float(lines[1]["mean"]) == 1 / 3
    assert (lines[1]["low"], lines[1]["n"]) == ("", "1")
    assert (lines[3]["mean"], lines[3]["n"]) == ("", "0")
    assert lines[0]["origin"] == "rendered"
    frame = board.to_frame()
    assert list(frame["metric"]) == keys * 2
    assert frame["mean"].dtype == float
    assert frame["mean"].dropna().tolist() == [1 / 3, 0.25]
    assert frame["n"].tolist() == [0, 1, 1, 0]
    assert list(frame) == list(lines[0])


def test_latex_has_no_bare_special_character(tmp_path):
    status, init = fake.make_status(device="<gpu> & co_1"), "50%_{a}&#$~^\\"
    overrides = {"core.slot_init": init}
    fake.add_run(tmp_path, {"fg_ari/decoder": 0.5}, overrides=overrides, status=status)
    latex = leaderboard(tmp_path).to_latex()
    assert r"50\%\_\{a\}\&\#\$\textasciitilde{}\textasciicircum{}\textbackslash{}" in latex
    assert r"\textless{}gpu\textgreater{} \& co\_1" in latex
    assert r"fg\_ari/decoder" in latex
    assert latex.isascii()
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 1
    (body,) = lines_of(latex, "reconstruction &")
    columns = latex.split(r"\begin{tabular}{")[1].split("}")[0]
    assert len(body.replace(r"\&", "").split("&")) == len(columns)


def test_text_of_others_breaks_no_table_is_no_markup_and_moves_no_cursor(tmp_path):
    warning = "<b>\x1b]0;owned\x07 [link](http://x) *a* `b` [bold]7 slots[/bold]"
    status = fake.make_status(warnings=[warning], device="a|b\nc")
    fake.add_run(tmp_path, {"fg_ari/decoder": 0.5}, preset="\x1b[2J", status=status)
    board = leaderboard(tmp_path)
    shown = fake.text_of(board, wide=True)
    texts = [shown, fake.text_of(board), board.to_markdown(), board.to_csv(), board.to_latex()]
    assert not any("\x1b" in text or "\x07" in text for text in texts)
    assert r"\<b\>?]0;owned? \[link](http://x) \*a\* \`b\`" in board.to_markdown()
    assert "[bold]7 slots[/bold]" in shown
    lines = [line for line in board.to_markdown().splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1", "-1", "@SUM(A1)"])
def test_text_in_csv_is_no_formula(tmp_path, name):
    fake.add_run(tmp_path, fake.ALL, preset=name, status=fake.make_status(device=name))
    for text in (leaderboard(tmp_path).to_csv(), to_csv(results(tmp_path))):
        cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
        assert f"'{name}" in cells
        assert name not in cells


def test_a_page_that_is_kept_is_made_anew_when_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "LEAST_RUNS", 2)
    found, words = tmp_path / "results", ("json", {"dataset": None})
    run = fake.add_run(found, fake.ALL)
    assert kept.page_key(found, words) == ""
    fake.add_run(found, fake.ALL, seed=1)
    key = kept.page_key(found, words)
    assert kept.recall(key) == ""
    kept.keep(key, "a page — 1")
    assert kept.recall(kept.page_key(found, words)) == "a page — 1"
    others = {kept.page_key(found, ("csv", {"dataset": None})), key}
    for file in ("evaluation.json", "status.json"):
        (run / file).write_text((run / file).read_text() + " ")
        others.add(kept.page_key(found, words))
    fake.publish(found, fake.ALL, [2])
    others.add(kept.page_key(found, words))
    assert len(others) == 5
    monkeypatch.setattr(kept, "MOST", 2)
    for other in others:
        kept.keep(other, "page")
    assert sum(kept.recall(other) == "page" for other in others) == 2


def test_reading_the_leaderboard_never_imports_torch(tmp_path):
    fake.add_run(tmp_path, fake.ALL)
    code = (
        "import sys; from pathlib import Path; import slotbench.results.leaderboard as board\n"
        "board.leaderboard(Path(sys.argv[1])).verdict.sentence\n"
        "assert not {'pandas', 'scipy', 'torch'} & sys.modules.keys()\n"
        "board.leaderboard(Path(sys.argv[1])).to_json()\n"
        "assert not {'scipy.stats', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
