"""A plugin that breaks a contract, or raises, is named with its file and line."""

import re
from pathlib import Path

import pytest

from slotbench.files import read_json
from tests.plugged.texts import CORE, DISCS, DOTS, METRIC, OBJECTIVE, SMALL

RENDERED = "return batch"
DOUBLE = r"slots are torch.float64 \(8, 3, 32, 32\), expected torch.float32"
MATRIX = "context.means({'mine/a': __import__('torch').ones(3, 2)})"
ZERO = (
    "__import__('dataclasses').make_dataclass('C', "
    "[('a', __import__('slotbench').fields.Positive, 0.0)], bases=(NoOptions,), frozen=True)"
)
MADE = "super().__init__(core)"
RESULT = "__import__('slotbench').evaluation.result.Result"
SINGLE = f"{{'mine/a': {RESULT}(__import__('numpy').float32(0.5), 1)}}"
INFINITE = "context.means({'mine/a': __import__('torch').ones(3) / 0})"
FAULTS = {
    "raises": (OBJECTIVE, "mean = ", "mean = 1 / 0 #", "mine.py, line 15: ZeroDivisionError"),
    "takes less": (
        OBJECTIVE,
        "core, config)",
        "core)",
        r"Mine \(mine.py\) cannot be made: .* Write: def __init__\(self, core, config\)",
    ),
    "refuses": (OBJECTIVE, MADE, "raise ValueError('odd')", "12: ValueError: odd. Change it .* or"),
    "adds None": (OBJECTIVE, MADE, "None + 1", "mine.py, line 12: TypeError: unsupported operand"),
    "no core": (OBJECTIVE, MADE, "super().__init__(config)", "does not keep its 'core'"),
    "bare": (OBJECTIVE, MADE, "self.hidden = 3", r"Pass it to super\(\).__init__"),
    "a default": (
        OBJECTIVE,
        '"control", NoOptions',
        f'"control", {ZERO}',
        "mine' refuses .* a=0.0",
    ),
    "no loss": (OBJECTIVE, '"loss": mean', '"mean": mean', "no dictionary with the key 'loss'"),
    "no dictionary": (OBJECTIVE, '{"loss": mean}', "mean", "no dictionary with the key 'loss'"),
    "a vector": (
        OBJECTIVE,
        "mean()",
        "mean(0)",
        r"'loss' of its losses is torch.float32 \(\d+, \d+\)",
    ),
    "a text": (
        OBJECTIVE,
        "mean}",
        "mean, 'a': 'x'}",
        "'a' of its losses is str, expected a real tensor",
    ),
    "a complex": (OBJECTIVE, "mean()", "mean() * 1j", r"is torch.complex64 \(\)"),
    "a column": (OBJECTIVE, "mean}", "mean, 'step': mean}", "'step' cannot be the name of a loss"),
    "leaves": (OBJECTIVE, "mean = ", "raise SystemExit #", "mine.py, line 15: SystemExit"),
    "no file": (OBJECTIVE, "mean = ", "open('x') #", "mine.py, line 15: FileNotFoundError"),
    "anything": (OBJECTIVE, "mean = ", "raise BaseException #", "mine.py, line 15: BaseException"),
    "no weight": (OBJECTIVE, '"loss": mean', '"loss": mean.detach()', "not depend on any weight"),
    "no output": (CORE, "self.output(images)", "None", "it returns NoneType, expected SlotOutput"),
    "a pair": (CORE, "self.output(images)", "(1, 2)", "it returns tuple, expected SlotOutput"),
    "doubles": (CORE, "self.output(images)", "SlotOutput(images.double(), images, images)", DOUBLE),
    "other noise": (
        CORE,
        "    def f",
        "    def noise(self, *a): return 3\n\n    def f",
        r"noise\(2, gen",
    ),
    "core raises": (CORE, "", "", r"mine.py, line 11: AttributeError: 'Mine' object has no"),
    "few fields": (
        CORE,
        "CoreConfig\n\n",
        "__import__('slotbench').fields.NoOptions\n\n",
        "has no field 'slots'",
    ),
    "metric raises": (METRIC, "", "", "mine.py, line 10: ZeroDivisionError"),
    "a matrix": (METRIC, "1 / 0", MATRIX, "expected one value an image"),
    "no such array": (
        METRIC,
        '("mine/*",)',
        '("mine/*",); needs = ("slotss",)',
        "mine: 'slotss'. Did you mean 'slots'",
    ),
    "taken": (
        METRIC,
        "1 / 0",
        MATRIX.replace("(3, 2)", "(3)").replace("mine/a", "ari/decoder"),
        "unless segmentation",
    ),
    "draws raises": (DISCS, RENDERED, "1 / 0", r"mine.py, line 38: ZeroDivisionError"),
    "draws leaves": (DISCS, RENDERED, "raise SystemExit", "mine.py, line 38: SystemExit"),
    "draws nothing": (DISCS, RENDERED, "", "breaks the layout: 'NoneType' object"),
    "draws less": (DISCS, RENDERED, "return {k: v[1:] for k, v in batch.items()}", r"(15|7) rows"),
    "draws labels": (DISCS, "dot + 1\n", "dot + 9\n", "breaks the layout: mask has label"),
    "draws floats": (
        DISCS,
        RENDERED,
        "return {k: v * 1.0 for k, v in batch.items()}",
        "image: float64",
    ),
    "no layout": (DISCS, "return Layout(", "return str(", "takes at most"),
    "odd layout": (
        DISCS,
        '"numeric", dim=3',
        '"number", dim=3',
        r"Dots \(mine.py\) is no layout: properties.0.kind",
    ),
    "no results": (METRIC, "1 / 0", "[1]", "The metric mine gives no dictionary of key and Result"),
    "a number of NumPy": (
        METRIC,
        "1 / 0",
        SINGLE,
        "value=.*0.5.*: expected a finite number of Python",
    ),
    "infinite": (METRIC, "1 / 0", INFINITE, "or NaN for images to leave out"),
    "another key": (
        METRIC,
        "1 / 0",
        f"{{'x': {RESULT}(1.0, 1)}}",
        "The metric mine gives 'x', which is none of its keys",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_fails_in_a_command_is_named_with_what_it_should_do(
    command, blocks, capsys, fault
):
    text, before, after, message = FAULTS[fault]
    Path("mine.py").write_text(text.replace(before, after))
    kind = {OBJECTIVE: "--objective", CORE: "--core"}.get(text)
    words = ("train", kind, "mine", "--data-dir", str(blocks), *SMALL)
    if text is DISCS:
        words = ("prepare", *DOTS[1:], "--workers", "1")
    elif kind is None:
        assert command("train", "--data-dir", str(blocks), *SMALL) == 0
        (run,) = Path("results").glob("runs/*/*/*")
        words = ("evaluate", str(run), "--metrics", "mine", "--data-dir", str(blocks))
    assert command("--plugin", "mine.py", *words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(message, said), said
    assert "Traceback" not in said
    states = {read_json(file)["state"] for file in Path("results").rglob("status.json")}
    assert states <= {"failed", "done"}
