"""What ``slotbench show`` prints in a terminal, and elsewhere."""

import re
import sys

import pytest
from PIL import Image

from slotbench.cli import actions
from slotbench.cli.glance import put_run
from slotbench.evaluation.groups import shown_keys
from tests.results.results import make_config, make_evaluation, make_status

ROWS = [Image.new("RGB", (3 * 128 + 16, 128), (200, 30 * k, 0)) for k in range(6)]


@pytest.fixture
def facts():
    config = make_config("simclr", alignment="hungarian", overrides={"train.steps": 3})
    numbers = {**dict.fromkeys(shown_keys(), 0.5), **{f"health/{k}": 0.25 for k in range(50)}}
    folder = "results/runs/clevr-clevr6/slot-attention+simclr/0-d2ac1d5e"
    return {
        "run": folder,
        "config": config,
        "status": make_status(),
        "evaluation": make_evaluation(config, numbers),
        "pictures": [f"{folder}/pictures/{name}.png" for name in ("test", "test-properties")],
        "drawn": {"images": [{"index": k, "fg_ari": {"attention": 0.5}} for k in range(6)]},
        "resume": "",
        "lacking": "",
    }


@pytest.fixture
def printed(facts, monkeypatch, capsys):
    def call(height=24, wanted=None, *, brief=True, rows=ROWS):
        screen = {"LINES": str(height), "COLUMNS": "80", "TERM": "xterm-256color"}
        for name, value in {**screen, "FORCE_COLOR": "1", "TERM_PROGRAM": "", "TMUX": ""}.items():
            monkeypatch.setenv(name, value)
        put_run(facts, rows, wanted, brief=brief)
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return call


@pytest.mark.parametrize(("height", "images"), [(24, 1), (34, 2), (50, 3), (100, 3)])
def test_in_a_terminal_it_fits_the_height(printed, height, images):
    lines = printed(height)
    assert len(lines) < height
    drawn = [line for line in lines if "\u2580" in line]
    assert 6 * images <= len(drawn) <= 39
    text = "\n".join(lines)
    assert "run      core slot-attention, encoder strided-cnn, objective simclr" in text
    assert "steps=3" in text
    assert all(key in text for key in shown_keys())
    assert "50 more numbers, every setting: add --all" in text
    assert "health/" not in text
    assert lines[-1].endswith("pictures: test.png, test-properties.png")


def test_the_images_that_are_asked_for_and_everything_are_shown(printed):
    drawn = [line for line in printed(24, 5) if "\u2580" in line]
    assert len(drawn) > 5 * 10
    text = "\n".join(printed(24, brief=False, rows=()))
    assert "health/49" in text
    assert "learning_rate=0.002" in text
    assert "/pictures/test.png\n" in text


@pytest.mark.parametrize(
    ("everything", "metrics", "whole"),
    [(False, "all", False), (True, "all", True), (False, "health", True)],
)
def test_evaluate_prints_the_main_numbers_in_a_terminal(
    facts, monkeypatch, capsys, everything, metrics, whole
):
    monkeypatch.setattr(actions.api, "evaluate", lambda **_: {"0-abc": facts["evaluation"]})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    actions.evaluate(everything=everything, metrics=[metrics], results_dir="results")
    text = capsys.readouterr().out
    assert all(key in text for key in shown_keys())
    assert ("health/49" in text, "50 more numbers: add --all" in text) == (whole, not whole)
