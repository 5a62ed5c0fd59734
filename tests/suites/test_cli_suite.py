"""``slotbench suite`` as a user meets it."""

import json
from pathlib import Path

import pytest

from slotbench import api, registry
from slotbench.suites import local
from slotbench.suites.state import STATES, Journal, record_failure
from tests.commands import run_command
from tests.suites import tiny

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def call(eight, monkeypatch):
    """A command in this process, in that folder."""
    monkeypatch.chdir(eight.where.results_dir.parent)
    monkeypatch.setenv("COLUMNS", "150")
    return lambda *words: run_command("suite", *words)


@pytest.fixture
def scripted(monkeypatch):
    """Cells are done at once."""
    monkeypatch.setattr(local, "Local", lambda settings: tiny.Script(settings.folder))


MISTAKES = {
    "suite": (("run", "dmo"), "Did you mean 'demo'"),
    "no file": (("run", "none.toml"), "none.toml does not exist"),
    "engine": (("run", "tiny.toml", "--engine", "slrum"), "Did you mean 'slurm'"),
    "option": (("run", "tiny.toml", "--option", "mem_gb"), "expected KEY=VALUE"),
    "no options": (
        ("run", "tiny.toml", "--option", "a=4"),
        "--option: the engine 'local' has no such",
    ),
    "workers": (("run", "tiny.toml", "--workers", "0"), "--workers 0: expected all, or 1 to"),
    "unprepared": (("run", "alignment", "--data-dir", "."), "slotbench prepare clevr"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained_and_exits_with_2(call, capsys, mistake, tmp_path):
    words, message = MISTAKES[mistake]
    assert call(*words) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.replace("│", " ").split())
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not list(tmp_path.glob("results/runs/*"))


@pytest.mark.usefixtures("scripted", "call")
def test_python_runs_a_suite_as_the_command_does(eight):
    picture = api.suite_run("tiny.toml", device="cpu")
    assert picture.counts == api.suite_status("tiny", device="cpu").counts
    assert len(picture.cells("done")) == len(eight.cells) == 8


@pytest.mark.usefixtures("scripted")
def test_what_is_not_done_is_run_then_shown_by_file_and_by_name(call, capsys, eight):
    for cell in eight.cells[::3]:
        tiny.finish(cell.run.path)
    for _ in range(2):
        assert call("run", "tiny.toml", "--device", "cpu") == 0
    begun = [cell.key for number, cell in enumerate(eight.cells) if number % 3]
    assert tiny.submitted(eight.where.results_dir) == begun
    shown = capsys.readouterr()
    assert "All 8 runs are done. Next, type: slotbench leaderboard" in shown.err
    assert "[8/8] done" in shown.err
    assert "8 done" in shown.out
    for reference in ("tiny.toml", "tiny"):
        assert call("status", reference, "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["suite"] == "tiny"
        assert document["question"] == "Does anything happen?"
        assert document["counts"] == {**dict.fromkeys(STATES, 0), "done": 8}
        assert document["drivers"] == []
    assert len({cell["run"] for cell in document["cells"]}) == 8
    assert {cell["state"] for cell in document["cells"]} == {"done"}
    assert document["cells"][0]["values"] == {"dataset": "clevr", "objective": "random", "seed": 0}
    assert document["cells"][0]["command"].startswith("slotbench train --objective random")


@pytest.mark.usefixtures("scripted")
def test_a_failure_is_shown_exits_with_1_and_waits_for_retry(call, capsys, eight):
    failed = eight.cells[3]
    failed.run.path.mkdir(parents=True)
    record_failure(failed.run, "the loss is not finite at step 3")
    assert call("run", "tiny.toml") == 1
    capsys.readouterr()
    assert call("run", "tiny.toml", "--json") == 1
    assert failed.key not in tiny.submitted(eight.where.results_dir)
    shown = capsys.readouterr()
    assert "1 of 8 runs failed." in shown.err
    assert "slotbench suite retry tiny.toml" in shown.err
    document = json.loads(shown.out)
    (cell,) = [cell for cell in document["cells"] if cell["state"] == "failed"]
    assert (cell["run"], cell["reason"]) == (failed.key, "the loss is not finite at step 3")
    assert call("status", "tiny") == 0
    assert "the loss is not finite at step 3" in capsys.readouterr().out
    assert call("retry", "tiny") == 0
    assert tiny.submitted(eight.where.results_dir)[7:] == [failed.key]
    assert "All 8 runs are done" in capsys.readouterr().err


def test_status_and_cancel_before_anything_was_run(call, capsys, tmp_path):
    assert call("status", "tiny.toml") == 0
    assert "8 waiting" in capsys.readouterr().out
    assert not Path("results").exists()
    assert call("status", "alignment", "--data-dir", "none") == 0
    assert "slotbench prepare clevr" in capsys.readouterr().err
    assert call("cancel", "tiny.toml") == 0
    assert "It is not running" in capsys.readouterr().err
    journal = Journal(tmp_path / "results", "tiny")
    with journal.driving((tmp_path / "tiny.toml").read_bytes()):
        assert call("cancel", "tiny") == 0
    assert "Asked to stop" in capsys.readouterr().err
    assert [event.event for event in journal.events()] == ["cancel"]


@pytest.mark.parametrize(
    ("file", "reason"), [("status.json", "status.json"), ("evaluation.json", "not judged")]
)
def test_a_damaged_cell_is_shown_with_its_reason_beside_the_others(
    call, capsys, eight, file, reason
):
    for cell in eight.cells:
        tiny.finish(cell.run.path)
    journal = Journal(eight.where.results_dir, "tiny")
    journal.folder.mkdir(parents=True)
    journal.file.write_text('{"event": 3}\nnull\n[]\n{"event": "submit", "run": {}}\n')
    for content in ("{", "null", '{"state": "done", "step": "x"}', "[" * 10**5):
        (eight.cells[0].run.path / file).write_text(content)
        if file == "status.json":
            record_failure(eight.cells[0].run, "what is damaged has not failed")
        assert call("status", "tiny.toml", "--json") == 0
        cells = json.loads(capsys.readouterr().out)["cells"]
        assert [cell["state"] for cell in cells] == ["interrupted"] + ["done"] * 7
        assert reason in cells[0]["reason"]
    assert journal.events() == []


def test_suites_and_engines_are_listed(shown):
    document = json.dumps(json.loads(shown("list", "--json")[1]))
    for name in (*registry.names("suites"), *registry.names("engines")):
        assert f'"{name}"' in document
