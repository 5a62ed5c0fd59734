"""Progress in a log, and text that is never markup."""

import sys
from contextlib import suppress

import pytest

from slotbench import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.bar("Training", 100) as bar:
        for step in range(0, 100, 10):
            bar.set(step, detail="loss 0.1")
            now[0] += 10
    lines = [line for line in capsys.readouterr().err.splitlines() if "to go" in line]
    assert lines[0] == "Training: 30% loss 0.1, 0:01:10 to go"
    assert len([line for line in lines if line.startswith("Training: ")]) == 3


@pytest.mark.parametrize("done", [0, 1])
def test_an_error_has_a_bar_above_it_only_where_something_was_done(capsys, done):
    with suppress(ValueError), progress.bar("Drawing", 2) as bar:
        bar.set(done)
        raise ValueError
    assert ("Drawing" in capsys.readouterr().err) == bool(done)


@pytest.mark.parametrize("call", [progress.say, progress.warn])
def test_nothing_of_a_text_is_markup_or_control(call, capsys):
    call("[bold]a[/] \x1b[2J\u202e $x$")
    said = capsys.readouterr().err
    assert "[bold]a[/] ?[2J? $x$" in said


def test_a_full_disk_under_stderr_stops_nothing(monkeypatch):
    full = open("/dev/full", "w")  # noqa: PTH123, SIM115
    monkeypatch.setattr(sys, "stderr", full)
    with progress.bar("Training", 2) as bar:
        bar.set(1)
    progress.say("something")
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space left"):
        full.close()
