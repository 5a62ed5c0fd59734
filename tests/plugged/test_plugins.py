"""Names of one's own: from a package that is installed, and from a file that is not."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from slotbench import plugins, registry
from slotbench.errors import UserError
from slotbench.files import read_json
from slotbench.results.run import Run
from tests import commands
from tests.plugged.texts import DISCS, DOTS, DOTS_CHOSEN, EXAMPLE, EXAMPLES, METRIC, MINE, SMALL


def slotbench(*words, **options):
    return commands.slotbench(*words, **{plugins.VARIABLE: "", **options})


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package, installed beside this environment and without a network."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(EXAMPLE, folder / "source")  # pip builds in the source's folder
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    options = ("--no-build-isolation", "--disable-pip-version-check")
    subprocess.run([*pip, *options, "--target", folder / "site", source], check=True)
    return folder / "site"


def works(folder, **variables):
    """The dataset, the core and the objective of the examples, in processes; the run."""
    made = slotbench(*DOTS, "--workers", "1", cwd=folder, **variables)
    assert made.returncode == 0, made.stderr
    done = slotbench("train", "--core", "cells", *DOTS_CHOSEN, *SMALL, cwd=folder, **variables)
    assert done.returncode == 0, done.stderr
    return Run(folder / done.stdout.strip())


@pytest.mark.slow
def test_an_installed_package_adds_an_objective_a_core_and_a_dataset(
    installed, tmp_path, command, capsys
):
    found = {"PYTHONPATH": str(installed)}
    lists = json.loads(slotbench("list", "--json", cwd=tmp_path, **found).stdout)
    names = {entry["name"] for kind in ("objectives", "cores", "datasets") for entry in lists[kind]}
    assert {"alignment-uniformity", "cells", "dots"} <= names
    run = works(tmp_path, **found)
    assert (run.status()["state"], run.status()["step"]) == ("done", 2)
    assert command("evaluate", run.id) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Unknown core 'cells'" in said
    assert "If from a package, install it" in said


def test_the_examples_objective_is_its_formula(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from slotbench_example.objective import AlignmentUniformity, AlignmentUniformityConfig

    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, 5, 6, generator=generator), dim=2)

    class Rows(AlignmentUniformity):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.config, self.projector = AlignmentUniformityConfig(0.5), torch.nn.Identity()

        def rows(self, _):
            return type("Rows", (), {"vectors": 3 * vectors})

    near = (vectors[0] - vectors[1]).square().sum(dim=1).mean()
    spread = [torch.pdist(view).square().mul(-2).exp().mean().log() for view in vectors]
    expected = float(near + 0.5 * sum(spread) / 2)
    assert float(Rows().loss(None)["loss"]) == pytest.approx(expected, abs=1e-5)


def test_the_four_examples_are_short_and_run_as_they_stand(tmp_path):
    files = [EXAMPLE / "slotbench_example" / f"{name}.py" for name in EXAMPLES]
    assert all(len(file.read_text().splitlines()) <= 40 for file in files)
    named = {plugins.VARIABLE: os.pathsep.join(map(str, files))}
    run = works(tmp_path, **named)
    words = ("evaluate", run.path, "--metrics", "norm-spread", "--json")
    judged = slotbench(*words, cwd=tmp_path, **named)
    assert judged.returncode == 0, judged.stderr
    (document,) = json.loads(judged.stdout)["runs"].values()
    assert document["metrics"]["norm_spread"]["value"] > 0


def test_a_file_adds_names_to_every_process_and_the_run_remembers_it(tmp_path, command, capsys):
    source = EXAMPLE / "slotbench_example"
    plugin = tmp_path / "my names.py"
    plugin.write_text(
        "\n".join((source / f"{name}.py").read_text() for name in ("dataset", "objective"))
    )
    # By the variable: the rendering process is another one, and is told of it.
    variable = {plugins.VARIABLE: plugin.name}
    made = slotbench(*DOTS, "--workers", "1", cwd=tmp_path, **variable)
    assert made.returncode == 0, made.stderr
    before = {kind: registry.entries(kind) for kind in registry.KINDS}
    weight = ("--set", "objective.weight=2")
    assert command("train", *DOTS_CHOSEN, *weight, *SMALL, "--plugin", plugin.name) == 0
    run = Run(Path(capsys.readouterr().out.strip()))
    (stored,) = read_json(run.path / "environment.json")["plugins"]
    assert stored["file"] == str(plugin)
    assert stored["names"] == ["datasets/dots", "objectives/alignment-uniformity"]
    registry.restore(before)  # as in a process that was not told
    plugins._loaded.clear()
    os.environ[plugins.VARIABLE] = ""
    assert command("evaluate", run.id) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Unknown objective 'alignment-uniformity'" in said
    assert f"Add: --plugin '{plugin}'" in said
    plugin.rename(moved := tmp_path / "moved.py")
    assert command("evaluate", run.id) == 2
    assert f"Name it where it is now: there is no {plugin} any more" in " ".join(
        capsys.readouterr().err.split()
    )
    moved.rename(plugin)
    assert command("--plugin", plugin.name, "show", run.id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["config"]["objective"]["weight"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--plugin", "mine.py", "list", "objectives"),
        ("list", "objectives", "--plugin=mine.py"),
        ("list", "--plugin", "mine.py", "objectives", "--plugin", "./mine.py"),
    ],
)
def test_the_option_is_understood_wherever_it_stands(command, capsys, words):
    Path("mine.py").write_text(MINE + "\n\nprint('no result')\n")
    assert command(*words, "--json") == 0
    assert "mine" in [entry["name"] for entry in json.loads(capsys.readouterr().out)["objectives"]]
    assert os.environ[plugins.VARIABLE] == str(Path("mine.py").resolve())


REGISTERED = """from slotbench.registry import register
register("cores", "half", "h", "h", f"{__name__}:Half")
"""
NAMED = "make_dataclass('C', [('name', str, '')], frozen=True)"
BARE = """from torch import nn
from slotbench.registry import register


@register("encoders")
class Mine(nn.Module):
    name = summary = source = "m"
"""
BASE = "from slotbench.objectives.objective import Objective\n"


def mine(options):
    """The objective with other options."""
    text = MINE.replace("Config = NoOptions", f"Config = {options}")
    return f"from dataclasses import make_dataclass\n{text}"


def metric(more):
    """The metric with another class attribute."""
    return METRIC.replace('("mine/*",)', f"('a',); {more}")


MISTAKES = {
    "missing": (None, "there is no such file"),
    "raises": ("x = 1\nx.y\n", "line 2: AttributeError"),
    "syntax": ("x = 1\n\ndef (\n", "line 3: SyntaxError"),
    "exists": (MINE.replace('"mine"', '"random"'), "Mine (bad.py): the name 'random' is taken by"),
    "nothing": ("x = 1\n", "registers nothing"),
    "half": (MINE + "raise ValueError('too late')\n", "line 11: ValueError: too late"),
    "no name": (MINE.replace("name, summary", "named, summary"), "attribute 'name' is missing"),
    "family": (MINE.replace('"control"', '"../x"'), "self-supervised, control, or a name"),
    "family misspelt": (MINE.replace('"control"', '"selfsupervised"'), "or a name unlike these"),
    "no base": (MINE.replace("(Random)", ""), "expected a class that inherits Objective"),
    "no config": (BARE, "attribute 'Config' is missing"),
    "kind": (MINE.replace('"objectives"', '"objective"'), "Did you mean 'objectives'"),
    "address": (f"{REGISTERED}class Half: ...\n", "expected a class that inherits Core"),
    "a function": (
        'from slotbench.registry import register\n@register("metrics")\ndef mine(context): ...\n',
        "expected a class that inherits Metric",
    ),
    "no class": (REGISTERED, "cannot be found"),
    "config is a class": (mine("dict"), "expected a frozen dataclass"),
    "config may change": (mine("make_dataclass('C', [])"), "expected a frozen dataclass"),
    "config asks": (mine("make_dataclass('C', ['a'], frozen=True)"), "whose fields have defaults"),
    "config drops": (mine("type('C', (NoOptions,), {})"), "below @dataclass(frozen=True)"),
    "config has a name": (mine(NAMED), "other names than 'name' and 'alignment'"),
    "abstract": (f"{BASE}{MINE}".replace("(Random)", "(Objective)"), "the class has no loss"),
    "views": (MINE.replace("Config =", "views = 'two'; Config ="), "'views' is 'two'"),
    "takes less": (METRIC.replace(", context", ""), "takes (self), expected (self, context)"),
    "made of more": (
        metric("__init__ = lambda self, width: None"),
        "__init__ takes (width), expected (). Write: def __init__(self)",
    ),
    "made of less": (
        DISCS + "    def __init__(self, variant): ...\n",
        "__init__ takes (variant), expected (variant, image_size, seed). Write: def __init__(self,",
    ),
    "preset with options": (
        "from slotbench.registry import register\n"
        '@register("presets", name="m", summary="m", source="m")\ndef mine(size): ...\n',
        "it takes (size), expected (). Write: def mine()",
    ),
    "an array": (metric("needs = ('slots')"), "'needs' is 'slots'; expected a tuple of arrays"),
    "long": (MINE.replace('"mine"', f'"{"m" * 65}"'), "at most 64 small letters"),
    "no call": (MINE.replace('("objectives")', ""), 'Write: @register("objectives")'),
    "a path": (DISCS.replace('"three"', '"th/ree"'), "tuple of names that files may have"),
    "no test": (
        DISCS.replace('"test": 500', '"tests": 500'),
        "expected images of train, val and test",
    ),
    "direction": (metric("directions = {'a': 2}"), "'directions' is {'a': 2}"),
    "range": (metric("ranges = {'a': (0,)}"), "'ranges' is {'a': (0,)}"),
    "shown": (metric("shown = 'a'"), "'shown' is 'a'; expected a tuple"),
    "no variants": (DISCS.replace("variants,", "named,"), "attribute 'variants' is missing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_cannot_be_used_is_explained_and_leaves_nothing(command, capsys, mistake):
    text, message = MISTAKES[mistake]
    if text is not None:
        Path("bad.py").write_text(text)
    names = {kind: registry.names(kind) for kind in registry.KINDS}
    modules = set(sys.modules)
    assert command("list", "--plugin", "bad.py") == 2
    shown = capsys.readouterr()
    said = " ".join(shown.err.split())
    assert "--plugin bad.py" in said
    assert message in said
    assert "Traceback" not in said
    assert shown.out == ""
    assert {kind: registry.names(kind) for kind in registry.KINDS} == names
    assert not [name for name in set(sys.modules) - modules if "bad" in name]
    assert plugins.loaded() == []


@pytest.mark.parametrize(
    ("words", "variable", "message"),
    [
        (("list", "--plugin"), "", "--plugin: expected a file"),
        (("--plugin", "--json", "list"), "", "--plugin: expected a file"),
        (("list", "--plugin", "mine.txt"), "", "mine.txt: expected a Python file"),
        (("list", "--plugin", "a:b.py"), "", "its path has a ':'"),
        (("list",), "none.py", f"{plugins.VARIABLE} none.py: there is no such file"),
    ],
)
def test_a_plugin_that_is_no_file_is_explained(
    command, capsys, monkeypatch, words, variable, message
):
    Path("mine.txt").write_text(MINE)
    Path("a:b.py").write_text(MINE)
    monkeypatch.setenv(plugins.VARIABLE, variable)
    assert command(*words) == 2
    assert message in capsys.readouterr().err


def test_a_file_is_loaded_once_and_disturbs_no_module_of_its_name(tmp_path):
    classes = []
    for folder in ("a", "b"):
        file = tmp_path / folder / "json.py"
        file.parent.mkdir()
        file.write_text(MINE.replace('"mine"', f'"mine-{folder}"'))
        first = plugins.load(str(file))
        assert plugins.load(str(file.parent / "." / "json.py")) is first
        assert first.names == (f"objectives/mine-{folder}",)
        classes.append(registry.get("objectives", f"mine-{folder}").load())
    assert classes[0] is not classes[1]
    assert sys.modules["json"] is json


def test_words_after_two_dashes_are_not_read():
    assert plugins.take(["list", "--", "--plugin", "x"]) == (["list", "--", "--plugin", "x"], [])
    assert plugins.take(["--plugin=a=b.py", "list"]) == (["list"], ["a=b.py"])


def test_an_installed_package_that_fails_is_named_and_the_others_go_on(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "broken_names.py").write_text(
        "from slotbench.registry import register\n"
        'def cores():\n    register("presets", name="half", summary="h", source="h")(cores)\n'
        "    1 / 0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = registry.names("presets")
    registry._add_point(EntryPoint("x", "broken_names:cores", "slotbench.cores"))
    assert registry.names("presets") == before
    said = capsys.readouterr().err
    assert "broken_names:cores cannot add its cores (ZeroDivisionError: division by zero)" in said


def test_hints_speak_of_unknown_names_alone():
    with pytest.raises(UserError, match="schema") as other, plugins.hints():
        raise UserError("schema")
    assert other.value.advice == ""
