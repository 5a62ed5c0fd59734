"""The speedrun: goals are noted when they are first reached, and only training is timed."""

import os
import re

import pytest

from slotbench.config.resolve import dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.results.models import built
from slotbench.suites import speedrun
from tests.commands import sets
from tests.small import CPU, DECODER, SMALL, choice


@pytest.fixture
def scored(monkeypatch):
    """Scores of made-up checks; each check takes 1,000 seconds of a clock that is asked for."""
    now, left = [0.0], [(0.5, 0.1), (0.9, 0.2), (0.7, 0.9), (0.8, 0.6)]

    def scores(_, __):
        now[0] += 1000
        fg_ari, miou = left.pop(0)
        return {"fg_ari": fg_ari, "miou": miou, "ari": 0.0}

    def monotonic():
        now[0] += 1
        return now[0]

    monkeypatch.setattr(speedrun, "val_scores", scores)
    monkeypatch.setattr("slotbench.training.loop.time.monotonic", monotonic)
    return left


def test_goals_are_noted_once_and_checks_cost_no_time(blocks, tmp_path, scored, shown):
    board = tmp_path / "board.md"
    words = ("speedrun", "--seeds", 1, "--every", 2, "--threads", 1, "--note", "a try")
    places = ("--data-dir", blocks, "--device", "cpu", "--board", board)
    code, out, err = shown(*words, *places, *sets(*SMALL, *DECODER, "train.steps=10"))
    assert code == 0, err
    assert scored == []  # the fourth check reached both goals: step 8 of 10
    cells = [cell.strip() for cell in out.strip().strip("|").split("|")]
    assert cells[3:5] == ["a try", "reconstruction"]
    first, _, second, _ = cells[5:]
    assert 4 <= int(first) < 20  # four steps; two checks took 2,000 seconds
    assert int(first) < int(second) < 40
    text = board.read_text()
    assert text.startswith("| date | commit |")
    assert text.endswith(out)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_board_that_cannot_be_read_is_refused_before_anything_is_trained(
    tmp_path, monkeypatch, shown, content
):
    monkeypatch.setattr(speedrun, "speedrun", None)
    board = tmp_path / "board.md"
    if content is None:
        os.mkfifo(board)
    else:
        board.write_bytes(content)
    code, out, err = shown("speedrun", "--board", board)
    assert (code, out) == (2, "")
    assert str(board) in err


def test_seconds_of_other_starts_count_in_both_clocks(blocks, monkeypatch):
    """Wall seconds as the starts took them; processor seconds as the clock ran meanwhile."""
    spent = [0.0]

    def best(run, config, *_):
        spent[0] += 50.0
        return built(run, config), 100.0

    monkeypatch.setattr("slotbench.results.starts.best", best)
    monkeypatch.setattr(speedrun, "val_scores", lambda *_: {"fg_ari": 1.0, "miou": 1.0, "ari": 0.0})
    monkeypatch.setattr(speedrun.time, "process_time", lambda: spent[0])
    told = ("train.starts=2", "train.start_steps=2")
    with DatasetFile(blocks / "clevr.h5") as dataset:
        config = resolve(choice(*told, steps=4), dataset_info(dataset))
        made = speedrun.attempt(config, dataset, CPU, 2, ["FG-ARI 0.80"])
    ((step, wall, processor),) = made.reached.values()
    assert (step, processor) == (2, 50.0)
    assert 100 < wall < 150


def test_a_row_is_one_line_of_as_many_cells_and_a_goal_that_is_missed_has_a_dash(tmp_path):
    goal = next(iter(speedrun.GOALS))
    attempts = [speedrun.Attempt(0, {goal: (100, 12.4, 11.0)}), speedrun.Attempt(1)]
    row = speedrun.board_row(attempts, "a|b\n\x1b[2Jc\udcff", "simclr", CPU)
    speedrun.add_row(tmp_path / "board.md", row)
    *_, written = (tmp_path / "board.md").read_text().splitlines()
    assert written.isprintable()
    cells = re.split(r"(?<!\\)\|", written)
    assert len(cells) == len(speedrun.HEADINGS) + 2
    assert cells[6].strip() == "12, - (median -, worst -)"
