"""``leaderboard --watch``: in this process with a clock of its own, and in one that is stopped."""

import io
import signal
import time

import pytest
from rich.console import Console

from slotbench.errors import UserError
from slotbench.locks import hold
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.terminal import watch
from tests.commands import start_command
from tests.results.results import ALL, add_run, make_status, write


def test_a_page_is_shown_when_it_changed_and_ctrl_c_ends_it(tmp_path):
    looks, slept = [0], []
    stream = io.StringIO()

    def collect():
        looks[0] += 1
        if looks[0] == 7:
            raise KeyboardInterrupt
        return leaderboard(tmp_path)

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            add_run(tmp_path, ALL, objective="simclr")
        if len(slept) == 4:
            running = make_status("done")
            add_run(tmp_path, ALL, seed=1, objective="simclr", status=running)

    watch(collect, Console(file=stream, width=120), every=3.0, sleep=sleep)
    text = stream.getvalue()
    assert looks == [7]
    assert slept == [3.0] * 6
    # Nothing yet, one seed, two seeds: three pages for six whole looks.
    assert text.count("No results in") == 1
    assert text.count("Self-supervision against reconstruction: nothing") == 2
    assert "\x1b" not in text


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan")])
def test_an_interval_must_be_one(tmp_path, every):
    with pytest.raises(UserError, match="--every"):
        watch(lambda: leaderboard(tmp_path), Console(), every=every)


def test_runs_that_go_on_are_shown_with_their_step(tmp_path):
    add_run(tmp_path, ALL)
    status = make_status("running", step=1200)
    run = add_run(tmp_path, seed=1, objective="simclr", alignment="pool", status=status)
    with hold(run / ".lock"):
        board = leaderboard(tmp_path)
    assert board.running == (
        "Running: clevr:clevr6, slot-attention + simclr · pool, seed 1: step 1,200 of 3,000.",
    )
    assert leaderboard(tmp_path).running == ()


def test_the_command_stops_on_ctrl_c_without_an_error(tmp_path):
    run = add_run(tmp_path, ALL)
    words = ("leaderboard", "--watch", "--every", "0.2", "--results-dir", tmp_path)
    process = start_command(*words, PYTHONUNBUFFERED="1")
    seen, deadline = "", time.monotonic() + 60
    for text in ("nothing to compare", "1 failed"):
        while text not in seen and time.monotonic() < deadline:
            seen += process.stdout.readline()
        write(run / "status.json", make_status("failed", reason="no memory left"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "1 failed" in seen
    assert process.returncode == 0
    assert "Traceback" not in errors
