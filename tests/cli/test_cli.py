"""The command line as a user meets it, in a process of its own where that matters."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from slotbench import __version__, api
from slotbench.cli import app, main
from slotbench.errors import UserError
from tests.commands import ROOT, run_command, sets, slotbench


@pytest.fixture
def home(tmp_path, blocks):
    """A user's folder with a small ``clevr`` in it."""
    (tmp_path / "data").mkdir()
    shutil.copy(blocks / "clevr.h5", tmp_path / "data")
    return tmp_path


SMALL = (
    *["--preset", "quick", "--steps", "2", "--device", "cpu"],
    *sets("encoder.channels=8", "train.batch_size=8"),
)


def test_the_version_is_told(shown):
    assert shown("--version")[:2] == (0, f"slotbench {__version__}\n")


HELP = """from slotbench.cli import app
for words in (["--help"], ["train", "--help"], ["list"]):
    try: app(words)
    except SystemExit: pass
"""
METRICS = """from slotbench.evaluation.groups import default_groups, current_version
assert "segmentation" in default_groups() and current_version("fg_ari/decoder")
"""


@pytest.mark.parametrize("code", [HELP, METRICS, "import slotbench\n"])
def test_help_and_names_do_not_import_torch(tmp_path, code):
    code += "import sys; print({'torch', 'numpy', 'h5py', 'pandas', 'mitsuba'} & set(sys.modules))"
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)
    assert said.endswith("set()\n")


@pytest.mark.parametrize("words", [("list", "--json"), ("train", "--help")])
def test_a_reader_that_leaves_ends_a_command_quietly(words):
    code = f"import sys; from slotbench.cli import main; sys.argv = ['slotbench', *{words}]; main()"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


OPENS = """import os
from slotbench.registry import register
assert open(os.devnull).fileno() > 2

@register("presets", name="mine", summary="nothing", source="none")
def mine():
    return {}
"""


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 2), (0, 1, 2)])
def test_a_command_runs_with_closed_streams(closed, tmp_path):
    """No file that it opens becomes the stream to which a library writes."""
    (tmp_path / "a.py").write_text(OPENS)
    plugin = ("--plugin", tmp_path / "a.py")
    words = [sys.executable, "-m", "slotbench", *plugin, "list", "presets"]
    done = subprocess.run(
        words,
        capture_output=True,
        check=False,
        preexec_fn=lambda: [os.close(stream) for stream in closed],
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["0", "2"])
def test_a_width_that_holds_no_text_is_none(columns):
    told = slotbench("list", "presets", COLUMNS=columns)
    assert (told.returncode, told.stdout) == (0, slotbench("list", "presets", COLUMNS="80").stdout)
    assert "train" in slotbench("--help", COLUMNS=columns).stdout


def test_an_error_keeps_its_exit_code_where_stderr_is_full(tmp_path):
    words = [sys.executable, "-m", "slotbench", "show", "nothing"]
    with Path("/dev/full").open("wb") as full:
        assert subprocess.run(words, stderr=full, cwd=tmp_path, check=False).returncode == 2


def test_the_home_folder_is_meant_after_an_equals_sign(shown, monkeypatch, tmp_path):
    """Shells do not expand it there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, _, told = shown("show", "0-abcdef", "--results-dir=~/results")
    assert (code, str(tmp_path / "home" / "results") in told.replace("\n", "")) == (2, True)


def test_completion_knows_names_without_torch(tmp_path):
    asked = {"COMP_WORDS": "slotbench train --objective si", "COMP_CWORD": "3"}
    told = {**os.environ, **asked, "_SLOTBENCH_COMPLETE": "complete_bash"}
    words = [sys.executable, "-X", "importtime", "-m", "slotbench"]
    options = {"capture_output": True, "text": True, "check": False}
    done = subprocess.run(words, env=told, cwd=tmp_path, **options)
    assert "simclr" in done.stdout
    assert "| torch\n" not in done.stderr


def test_names_that_are_not_utf8(home):
    """A script gets the path with its bytes, and the run is read from there."""
    folder = os.fsdecode(b"r\xff")
    done = slotbench("train", *SMALL, "--no-evaluate", "--results-dir", folder, cwd=home)
    assert done.returncode == 0, done.stderr
    run = done.stdout.strip()
    assert run.startswith(folder)
    assert slotbench("verify", run, cwd=home).returncode == 0


def test_a_link_to_itself_is_a_mistake(shown, tmp_path):
    (tmp_path / "loop.py").symlink_to("loop.py")
    code, _, told = shown("--plugin", str(tmp_path / "loop.py"), "list", "cores")
    assert code == 2
    assert "ymlink loop" in told or "there is no such file" in told


def test_an_error_that_a_library_raises_after_ctrl_c_is_ctrl_c(monkeypatch):
    def commit(**_):
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("optuna's")

    monkeypatch.setattr("slotbench.cli.app", commit)
    monkeypatch.setattr("sys.argv", ["slotbench", "list"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_the_three_commands_give_a_row(home):
    done = slotbench("train", "--objective", "simclr", *SMALL, cwd=home)
    assert done.returncode == 0, done.stderr
    run = done.stdout.strip().splitlines()[-1]
    assert (home / run / "evaluation.json").is_file()
    learnt, pictures, following = done.stderr.splitlines()[-3:]
    assert re.fullmatch(r"Learnt: fg_ari/attention -?[01]\.[0-9]{2}\.", learnt)
    assert pictures.startswith(f"Pictures: {run}/pictures ")
    assert following == "Next, type: slotbench leaderboard"
    board = slotbench("leaderboard", "--json", cwd=home)
    document = json.loads(board.stdout)
    (row,) = document["rows"]
    assert row["objective"] == "simclr"
    assert row["family"] == "self-supervised"
    assert row["origin"] == "rendered"
    assert set(row["metrics"]) >= {"fg_ari/attention", "properties/linear/loss/mean"}
    words = ("--index", "7,2", "--no-properties", "--ranked", "8", "--json")
    shown = slotbench("show", run, *words, cwd=home)
    facts = json.loads(shown.stdout)
    assert facts["status"]["state"] == "done"
    assert [one["index"] for one in facts["drawn"]["images"]] == [7, 2]
    assert {"test.png", "test-fg-ari-attention.png"} <= {path.name for path in home.rglob("*.png")}
    assert all((home / picture).is_file() for picture in facts["pictures"])
    assert slotbench("verify", run, cwd=home).returncode == 0
    again = slotbench("train", "--objective", "simclr", *SMALL, cwd=home)
    assert "done already" in again.stderr


MISTAKES = {
    "dataset": (("train", "--dataset", "clever"), "Did you mean 'clevr'"),
    "variant": (("train", "--dataset", "clevr:clevr1"), "Did you mean 'clevr1"),
    "core": (("train", "--core", "slot-atention"), "Did you mean 'slot-attention'"),
    "objective": (("train", "--objective", "simcrl"), "Did you mean 'simclr'"),
    "alignment": (("train", "--objective", "simclr", "--alignment", "pol"), "Did you mean 'pool'"),
    "preset": (("train", "--preset", "quik"), "Did you mean 'quick'"),
    "slots": (("train", "--set", "core.slots=1025"), "less than or equal to 1024"),
    "field": (("train", "--set", "train.stepz=1"), "Did you mean 'train.steps'"),
    "steps": (("train", "--steps", "1" + "0" * 20), "--steps 100000000000000000000: expected less"),
    "device": (("train", "--device", "gpu"), "Unknown device"),
    "device of predictions": (
        ("evaluate", "--predictions=x", "--dataset=clevr", "--name=x", "--device=cuda:9"),
        "Unknown device 'cuda:9'",
    ),
    "unprepared": (("train", "--dataset", "multi-dsprites"), "slotbench prepare multi-dsprites"),
    "no file": (("train", "--dataset", "some/where.h5"), "no such file"),
    "run": (("show", "0-abcdef"), "No run"),
    "empty board": (("leaderboard",), "slotbench train"),
    "list": (("list", "objectivs"), "Did you mean 'objectives'"),
    "size": (("prepare", "clevr", "--image-size", "4"), "expected 16 to 1024"),
    "source": (("prepare", "clevr", "--from", "none.tfrecords", "--force"), "none.tfrecords"),
    "other file": (("prepare", "clevr", "--seed", "3"), "--force"),
    "one word too many": (
        ("prepare", "clevr", "extra"),
        "prepare takes NAME, and got 'extra' besides. Type: slotbench prepare clevr All else",
    ),
    "no word": (("train", "clevr"), "train takes no argument, and got 'clevr' besides."),
    "processes": (("suite", "run", "demo", "--workers", "0"), "expected all, or 1 to"),
    "no index": (("show", "0-abcdef", "--index", ","), "expected numbers"),
    "unicode digits": (("prepare", "clevr", "--workers", "²"), "expected all, or 1 to"),
    "rows": (("prepare", "clevr", "--train", "99999999999"), "expected 1 to 100,000,000"),
    "device file": (("prepare", "clevr", "--from", "/dev/zero"), "neither a regular file nor"),
    "digits": (("show", "0-abcdef", "--index", "9" * 5000), "expected numbers"),
    "budget": (("train", "--budget", "1e300:steps"), "pays for more than 1,000,000,000"),
    "long name": (("train", "--resume", "a" * 5000), "File name too long"),
    "empty word": (("prepare", "clevr", "--from", ""), "There is an empty word, after --from."),
    "empty value": (("show", "0-abcdef", "--results-dir="), "--results-dir=: nothing follows."),
    "every": (("leaderboard", "--every", "3"), "--every 3 goes with --watch"),
    "file of results": (("leaderboard", "--results-dir", "data/clevr.h5"), "this is no folder"),
    "folder as file": (("speedrun", "--board", "data"), "data is a folder; expected a file"),
    "no folder for a file": (("speedrun", "--board", "no/b.md"), "there is no folder no. Make"),
    "tolerance": (("verify", "x", "--tolerance", "nan"), "expected a number"),
    "interval": (("leaderboard", "--watch", "--every", "inf"), "expected 0.2 to"),
    "no folder": (("train", *SMALL, "--results-dir", "/proc/self/fdinfo/x"), "No such file"),
    "folder without files": (
        ("prepare", "clevr", "--data-dir", "/proc"),
        "No such file or directory (/proc/.clevr.h5.lock). Check the path.",
    ),
    "file as folder": (("prepare", "clevr", "--data-dir", "data/clevr.h5"), "this is no folder"),
    "capitals": (("prepare", "CLEVR"), "Did you mean 'clevr'"),
    "far from any": (("evaluate", "x", "--metrics", "norm-spread"), "There are: segmentation"),
    "device of suites": (("suite", "cancel", "demo", "--device", "gpu"), "Unknown device 'gpu'"),
    "device of reports": (("report", "--no-pictures", "--device", "gpu"), "Unknown device 'gpu'"),
    "device of checks": (("verify", "clevr", "--device", "gpu"), "Unknown device 'gpu'"),
    "no seeds": (("speedrun", "--seeds", "0"), "--seeds 0: expected at least 1"),
    "goals": (("speedrun", "--goals", "3"), "--goals 3: expected 1 or 2"),
    "tuned on tuned": (("tune", "--preset", "tuned", "--dry-run"), "expected the preset that the"),
    "no objective": (("tune", "--objective", ",", "--dry-run"), "--objective names none"),
    "plugin": (("--plugin", "/dev/null", "list"), "this is no regular file"),
    "dataset file": (("train", "--dataset", "./data"), "this is a folder"),
    "dataset file without ending": (
        ("train", "--dataset", "notes"),
        "notes cannot be read as HDF5",
    ),
    "no teacher": (("train", "--teacher", "timm:x"), "'reconstruction' takes none"),
    "no target": (("verify", "notes"), "notes is a file, and no prepared dataset, run or bundle"),
}


SEEDED: dict[str, dict[str, Any]] = {
    "prepare": {"name": "clevr"},
    "train": {},
    "predict": {"run": "x", "path": "x", "out": "x"},
    "evaluate": {"baseline": "voronoi", "dataset": "clevr"},
    "reproduce": {"study": "x", "row": "x"},
}
WRONG = (
    ("train", {"seed": 1.5}, "train(seed=1.5): expected a whole number or None."),
    ("train", {"seed": True}, "a whole number"),
    ("train", {"objective": 5}, "a text or None"),
    ("train", {"set": [5]}, "a text or a dictionary"),
    ("train", {"resume": 5}, "a text or a path or a Run or None"),
    ("train", {"data_dir": None}, "a path or a text"),
    ("train", {"track": [None]}, "a text"),
    ("evaluate", {"metrics": 5}, "a list or a text"),
    ("verify", {"target": "x", "tolerance": "x"}, "a number"),
    ("leaderboard", {"scale": "yes"}, "True or False"),
    ("speedrun", {"every": 0}, "--every 0: expected at least 1"),
    *((name, {"seed": -1, **given}, "--seed -1: expected 0 to") for name, given in SEEDED.items()),
    ("prepare", {"name": "clevr", "seed": 2**63}, f"--seed {2**63}: expected 0 to"),
    ("train", {"sed": 1}, "Unknown argument of train 'sed'. Did you mean 'seed'?"),
    ("show", {}, "show(): missing a required argument: 'run'"),
)


@pytest.mark.parametrize(("name", "given", "message"), WRONG)
def test_a_value_of_another_type_is_refused_before_anything_is_done(name, given, message):
    with pytest.raises(UserError, match=re.escape(message)):
        getattr(api, name)(**given)


def test_whole_numbers_of_numpy_count_as_pythons(home):
    few = {"steps": np.int64(1), "evaluate": False, "data_dir": home / "data", "results_dir": home}
    run = api.train(seed=np.int64(3), preset="quick", set=sets("train.batch_size=8")[1:], **few)
    assert run.config().seed == 3


@pytest.mark.parametrize(
    ("option", "typed", "offered"),
    [
        ("leaderboard --family", "comb", "combined"),
        ("leaderboard --format", "la", "latex"),
        ("export --format", "p", "parquet"),
        ("prepare clevr --shifts", "crop,occ", "crop,occlusion"),
        ("train --device", "cu", "cuda"),
    ],
)
def test_the_shell_completes_words(monkeypatch, shown, option, typed, offered):
    monkeypatch.setenv("_SLOTBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"slotbench {option} {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(option.split()) + 1))
    assert offered in shown()[1].split()


@pytest.fixture
def inside(home, monkeypatch):
    """Runs a command in this process: the same entry point, without importing torch again."""
    monkeypatch.chdir(home)
    (home / "notes").write_text("mine")

    return run_command


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained_and_exits_with_2(inside, capsys, mistake):
    words, message = MISTAKES[mistake]
    assert inside(*words) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""


FORMS = (
    "verify clevr --against data/clevr.h5",
    "verify data/clevr.h5 --against clevr:clevr6",
    "tune --dry-run --objective simclr,byol --objective moco --workers all",
    "tune --dry-run --dataset data/clevr.h5 --device cpu",
    "evaluate --baseline voronoi --dataset clevr --metrics segmentation,slot-count",
    "evaluate --baseline voronoi --dataset clevr --metrics segmentation --metrics slot-count",
)


@pytest.mark.parametrize("words", FORMS)
def test_a_form_of_input_is_taken_wherever_it_has_a_meaning(inside, words):
    assert inside(*words.split()) == 0


def test_python_takes_paths_and_one_name_where_it_takes_several(home, monkeypatch):
    monkeypatch.chdir(home)
    data, key = Path("data/clevr.h5"), "fg_ari/attention"
    assert list(api.tune("simclr", dataset=data, dry_run=True, workers="all")) == ["simclr"]
    api.evaluate(baseline="voronoi", dataset=data, metrics=["segmentation"])
    with pytest.raises(UserError, match="nothing to evaluate"):
        api.evaluate([])
    one, several = (api.leaderboard(metrics=each, dataset=data) for each in (key, [key]))
    assert one.equals(several)
    settings = {"encoder.channels": 8, "views.crop": (0.6, 1), "core.seeded": True}
    few = {"preset": "quick", "steps": 2, "evaluate": False, "device": "cpu"}
    run = api.train(dataset=data, objective="simclr", set=settings, **few)
    assert run.config().sections["views"].crop == (0.6, 1)
    assert api.verify(run)["ok"]
    for runs in (run, run.path, [run.id]):
        with pytest.raises(UserError, match=f"{run.id}.*evaluate"):
            api.publish(runs, "bundle.zip")
    asked = {"ranked": 0, "properties": False, "device": "cpu"}
    for index in (3, "3", [3]):
        (image,) = api.show(run, index=index, **asked)["drawn"]["images"]
        assert image["index"] == 3


@pytest.mark.parametrize(
    "words",
    [
        "--gpus 3 --device cpu",
        "--objective feature-reconstruction --teacher nothing",
        "--objective random --init nothing",
    ],
)
def test_a_mistake_leaves_no_run_behind(inside, home, words):
    assert inside("train", "--preset", "quick", "--steps", "2", *words.split()) == 2
    assert list(home.glob("results/runs/*")) == []


def test_debug_shows_the_error_itself(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["slotbench", "show", "nothing", "--debug"])
    with pytest.raises(UserError, match="No run"):
        main()


@pytest.mark.slow
def test_a_full_disk_exits_with_2_and_leaves_nothing_half_written(home):
    done = slotbench("train", *SMALL, cwd=home, limit=4096)
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr
    assert list(home.rglob("*.tmp")) == []
    assert slotbench("train", "--no-evaluate", *SMALL, cwd=home).returncode == 0


def test_ctrl_c_while_modules_are_read_ends_without_a_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = slotbench("--version", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_half_written(home, number, monkeypatch):
    """SIGTERM and a closed terminal end a command as Ctrl-C does."""
    monkeypatch.chdir(home)
    assert run_command("train", "--objective", "random", "--no-evaluate", *SMALL) == 0
    (run,) = home.glob("results/runs/*/*/*")
    before = sorted(home.rglob("*"))
    old = signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr("safetensors.torch.save", lambda *_: signal.raise_signal(number))
    assert run_command("export-model", run, "--out", "exported") == 130
    signal.signal(number, old)
    assert sorted(home.rglob("*")) == before


def test_the_terminal_decides_where_lines_of_help_end():
    commands = dict(typer.main.get_command(app).commands)
    commands |= commands.pop("suite").commands
    for name, command in commands.items():
        assert not re.search(r"[^\n]\n[^\n]", command.help), name
