"""Every command of the documentation: run in a folder of its own, or at least understood.

A block ``console`` is run as it stands but for sizes (:func:`smaller`), and for ``RUN``, which
stands for the newest run. Its title says what it needs: :data:`KINDS` lists the titles, and what a
test does about each. A block whose title is a file's name is written to that file.
"""

import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from slotbench import plugins
from slotbench.cli import app
from slotbench.config import tuned
from slotbench.evaluation.evaluate import evaluate
from slotbench.suites import shipped
from tests.commands import run_command
from tests.conftest import write_blocks

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").glob("*.md")))
}
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
RUN, SLOW, READ = "run", "run where slow tests are wanted", "names and options must exist"
COUNTED = {
    "in a clone": 13,
    "needs GPUs": 1,
    "needs a cluster": 5,
    "needs a network": 8,
    "needs the original files": 8,
    "takes hours": 15,
    "until Ctrl-C": 1,
}
"""Commands that no test runs, by title. Whoever adds one changes the number."""
KINDS = {"": RUN, "takes minutes": SLOW, **dict.fromkeys(COUNTED, READ)}
SIZES = {
    "prepare": {"--train": 16, "--val": 8, "--test": 8, "--workers": 1, "--image-size": 32},
    "train": {"--steps": 2},
    "tune": {"--steps": 2, "--trials": 2},
}
DEAR = {"docs/evaluation.md", "docs/leaderboard.md", "docs/predictions.md"}
"""Pages whose commands train probes or draw many pictures: slow, small as they are."""
COMMANDS = typer.main.get_command(app).commands


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    title: str
    text: str

    @property
    def commands(self):
        """Its commands, each a list of words, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


BLOCKS = [Block(page, *found) for page in PAGES for found in FENCE.findall(PAGES[page].read_text())]


def console(*kinds):
    """The blocks of commands of these kinds."""
    return [each for each in BLOCKS if each.language == "console" and KINDS[each.title] in kinds]


def smaller(words):
    """The command with few images and steps, and on the CPU; nothing else of it changes."""
    name = next(word for word in words if word in COMMANDS)
    sizes = SIZES.get(name, {})
    kept = [now for before, now in pairwise(["", *words]) if not {before, now} & set(sizes)]
    if name == "train":
        kept += ["--set", "encoder.channels=8", "--set", "train.batch_size=8"]
        kept += [] if "--preset" in kept else ["--preset", "quick"]  # the default without a GPU
    if name in ("train", "tune", "report") and "--device" not in kept:
        kept += ["--device", "cpu"]
    return kept + [str(word) for pair in sizes.items() for word in pair]


def understood(words):
    """Read a command's names and options as the command line does, without running it."""
    words, _ = plugins.take(list(words))
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        command = command.commands[words.pop(0)]
    context = command.make_context("slotbench", words)
    assert not context.args


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in. Probes take few steps, and nothing is written elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(evaluate.__kwdefaults__, "probe_steps", 50)
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    (tmp_path / "demo.toml").write_text(tiny(shipped.demo().read_text()))
    (tmp_path / "photos").mkdir()
    for name in "abcdefgh":
        file = tmp_path / "photos" / f"{name}.png"
        Image.fromarray(np.full((40, 40, 3), ord(name), np.uint8)).save(file)
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.delenv("SLOTBENCH_PUBLISHED")  # a reader's leaderboard has the published runs
    return tmp_path


def tiny(text):
    """A suite of few steps and one seed."""
    text = re.sub(r"^(seeds|budget) = .*\n", "", text, flags=re.MULTILINE)
    return text.replace("[fixed]\n", "[fixed]\nsteps = 2\n")


def follow(page, folder, *kinds):
    """Do what the page says, block by block, in a folder with the files that it shows."""
    shown = [block for block in BLOCKS if block.page == page]
    told = [
        block
        for block in shown
        if block in console(*kinds) or (block.language, block.title) == ("python", "")
    ]
    for block in (block for block in shown if "." in block.title):
        text = tiny(block.text) if block.language == "toml" else block.text
        (folder / block.title).write_text(text)
    if not any(re.search(r"\bprepare\W+clevr\b", block.text) for block in told):
        (folder / "data").mkdir()
        write_blocks(folder / "data" / "clevr.h5")
    for block in told:
        if block.language == "python":
            small = re.sub(r"\btrain=[\d_]+", "train=16", block.text)
            small = re.sub(r"\b(val|test)=[\d_]+", r"\1=8", small)
            small = small.replace(".prepare(", ".prepare(image_size=32, name=")
            exec(compile(small.replace(".train(", ".train(steps=2, "), page, "exec"), {})
            continue
        for words in block.commands:
            execute(words)


def execute(words):
    if words[0] == "python":
        script = next(path for path in (Path(words[1]), ROOT / words[1]) if path.exists())
        subprocess.run([sys.executable, script, *words[2:]], check=True)
        return
    assert words[0] == "slotbench", f"no test runs {shlex.join(words)}"
    words = [f"./{word}.toml" if Path(f"{word}.toml").exists() else word for word in words[1:]]
    if "RUN" in words:
        if not Path("results/runs").exists():
            execute(["slotbench", "train", "--objective", "slot-infonce"])
        states = Path("results/runs").glob("*/*/*/status.json")
        newest = max(states, key=lambda path: path.stat().st_mtime_ns).parent
        words = [str(newest) if word == "RUN" else word for word in words]
    if "--gpus" in words:  # torch's launcher leaves files open, which a process of its own closes
        subprocess.run([sys.executable, "-m", "slotbench", *smaller(words)], check=True)
    else:
        assert run_command(*smaller(words)) == 0, shlex.join(words)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in DEAR else [])
        for page in sorted({block.page for block in console(RUN)})
    ],
)
def test_commands_of_a_page_work(page, folder):
    follow(page, folder, RUN)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in console(SLOW)}))
def test_commands_that_take_long_work_too(page, folder):
    follow(page, folder, RUN, SLOW)


def test_no_command_is_left_out_in_silence():
    assert Counter(each.title for each in console(READ) for _ in each.commands) == COUNTED
    for page, path in PAGES.items():
        text = FENCE.sub("", path.read_text())
        assert not re.findall(r"^(?: {4}|\$ )(?:slotbench|make|python|pip) .*", text, re.M), page
        assert "```" not in text, page
        assert not re.findall(r"^```(?:bash|sh|shell)", path.read_text(), re.M), page


def test_commands_that_are_not_run_are_understood():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in (words for block in console(READ, SLOW) for words in block.commands):
        if words[0] == "slotbench":
            understood(words[1:])
        elif words[0] == "make":
            assert set(words[1:]) <= targets
        elif words[:2] == ["python", "-m"]:
            assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()
        else:
            assert words[0] in ("gsutil", "torchrun", "export", "srun")


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_sentence_are_understood(page):
    for command in re.findall(r"`slotbench ([^`]+)`", PAGES[page].read_text()):
        words = re.sub(r"\b(N|S|SECONDS)\b", "1", re.sub(r"[][]|\.\.\.", "", command))
        try:
            understood(shlex.split(words))
        except Exception as error:  # of Click, or of the copy that a newer Typer brings
            if type(error).__name__ not in (
                "MissingParameter",
                "BadOptionUsage",
                "NoArgsIsHelpError",
            ):
                raise
