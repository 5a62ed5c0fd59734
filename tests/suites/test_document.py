"""A suite's file: what it means, and how its mistakes are explained."""

import itertools
import os
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from slotbench import api, registry
from slotbench.errors import UserError
from slotbench.suites.document import KEYS, PREPARE, read
from slotbench.suites.state import STATES

PAGE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()
HEAD = 'name = "a"\nquestion = "Why?"\n'


def suite(tmp_path, text, head=HEAD):
    file = tmp_path / "a.toml"
    file.write_text(head + text)
    return read(file)


def test_the_combinations_are_the_product_without_what_is_skipped(tmp_path):
    found = suite(
        tmp_path,
        """
        [axes]
        objective = ["simclr", "byol", "vicreg"]
        alignment = ["pool", "hungarian"]
        seed = [0, 1]
        core.width = [8, 16]
        [[skip]]
        objective = ["byol", "vicreg"]
        alignment = "pool"
        [[skip]]
        objective = "simclr"
        core.width = 16
        """,
    )
    product = itertools.product(*found.axes.values())
    expected = [
        dict(zip(found.axes, values, strict=True))
        for values in product
        if not (values[0] in ("byol", "vicreg") and values[1] == "pool")
        and not (values[0] == "simclr" and values[3] == 16)
    ]
    combinations = found.combinations()
    assert len(combinations) == len(expected) == 12
    assert all(values in expected for values in combinations)
    assert [values["seed"] for values in combinations] == [0] * 6 + [1] * 6


def test_names_may_be_a_list_or_a_text_with_commas(tmp_path):
    listed = suite(
        tmp_path, f'metrics = ["health"]\n{AXES}[prepare]\nshifts = ["crop", "occlusion"]\n'
    )
    text = suite(tmp_path, f'metrics = "health"\n{AXES}[prepare]\nshifts = "crop,occlusion"\n')
    assert listed == text


def test_both_ways_of_writing_a_field_are_the_same(tmp_path):
    plain = suite(tmp_path, "[axes]\ncore.width = [8]\n[axes.encoder]\nchannels = [8]\n")
    quoted = suite(tmp_path, '[axes]\n"core.width" = [8]\n"encoder.channels" = [8]\n')
    assert plain.axes == quoted.axes == {"core.width": (8,), "encoder.channels": (8,)}
    both = suite(tmp_path, '[axes]\ncore = ["slot-attention"]\n"core.width" = [8, 16]\n')
    assert len(both.combinations()) == 2


def test_short_forms(tmp_path):
    found = suite(
        tmp_path,
        'seeds = 3\nbudget = "100:images"\nmetrics = "segmentation,health"\n'
        '[axes]\nencoder = ["cnn"]\nviews.crop = [[0.2, 1.0]]\n',
    )
    axes = {"seed": (0, 1, 2), "encoder.name": ("cnn",), "views.crop": ((0.2, 1.0),)}
    assert found.axes == axes
    assert found.fixed == {"budget": "100:images"}
    assert found.metrics == ("segmentation", "health")


AXES = '[axes]\nobjective = ["simclr"]\n'
MISTAKES = {
    "toml": ("[axes", "not valid TOML"),
    "key": (f"sedes = 2\n{AXES}", "Did you mean 'seeds'"),
    "no axes": ("", "no axes"),
    "axis": ("[axes]\nobjektive = ['simclr']\n", "Did you mean 'objective'"),
    "name": ("[axes]\nobjective = ['simcrl']\n", r"axes.objective: .*Did you mean 'simclr'"),
    "sum": ("[axes]\nobjective = ['simclr+bjol']\n", "Did you mean 'byol'"),
    "variant": (f"{AXES}dataset = ['clevr:clevr7']\n", "Did you mean 'clevr"),
    "no list": ("[axes]\nobjective = 'simclr'\n", "expected a list"),
    "empty": ("[axes]\nobjective = []\n", "no run"),
    "twice": ("[axes]\nobjective = ['simclr', 'simclr']\n", "twice"),
    "seed": (f"{AXES}seed = ['0']\n", "expected a whole number"),
    "seeds": (f"seeds = 2\n{AXES}seed = [0]\n", "set twice"),
    "half a seed": (f"seeds = 1.5\n{AXES}", "seeds = 1.5: expected a number of seeds"),
    "budget": (f"budget = '3:minutes'\n{AXES}", "Unknown unit of budget"),
    "preset": (f"{AXES}[fixed]\npreset = 'quik'\n", "Did you mean 'quick'"),
    "both": (f"{AXES}[fixed]\nobjective = 'byol'\n", "is both an axis and fixed"),
    "metrics of a type": (
        f"metrics = 5\n{AXES}",
        "metrics should be a valid string or a valid list",
    ),
    "a size": (f"{AXES}[prepare]\ntrain = {{a = 1}}\n", r"prepare\.train should be a valid string"),
    "metrics": (f"metrics = 'segmentatio'\n{AXES}", "Did you mean 'segmentation'"),
    "skip other": (f"{AXES}[[skip]]\ncore = 'kmeans'\n", "Unknown axis in skip 1"),
    "skip seed": (f"seeds = 2\n{AXES}[[skip]]\nseed = ['0']\n", """'"0"'. Did you mean '0'"""),
    "skip date": (f"{AXES}[[skip]]\nobjective = 2020-01-01\n", "2020-01-01"),
    "skip nothing": (f"{AXES}[[skip]]\nobjective = []\n", "it would skip no run"),
    "size": (f"{AXES}[prepare]\ntrain = '9'\n", "prepare.train = '9': expected a whole number"),
    "flag": (f"{AXES}[prepare]\ndownload = 1\n", "prepare.download = 1: expected true or false"),
    "shift": (f"{AXES}[prepare]\nshifts = 'crob'\n", "Did you mean 'crop'"),
    "skip all": (f"{AXES}[[skip]]\nobjective = 'simclr'\n", "all runs are skipped"),
    "skip table": (f"skip = 3\n{AXES}", "skip should be a valid list"),
    "nested": (f"a = {'[' * 5000}{']' * 5000}", "not valid TOML"),
    "no number": (f"{AXES}core.width = [nan]\n", "expected finite numbers"),
    "prepare": (f"{AXES}[prepare]\nimage_sise = 32\n", "Did you mean 'image_size'"),
    "a billion seeds": (f"seeds = 1000000000\n{AXES}", "expected at most 20,000"),
    "question": (AXES, "no question", ""),
    "file name": (AXES, "small letters", 'name = "../b"\nquestion = "Why?"\n'),
    "a large product": (f"seeds = 15000\n{AXES}core.width = [8, 16]\n", "30,000 combinations"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained_and_names_the_file(tmp_path, mistake):
    text, message, *head = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as error:
        suite(tmp_path, text, *head)
    assert error.value.message.startswith(str(tmp_path / "a.toml"))


def test_a_file_is_utf8_whatever_the_locale_and_may_begin_with_a_mark(tmp_path):
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf" + f'question = "Hält es?"\n{AXES}'.encode())
    code = "import sys; from pathlib import Path; from slotbench.suites.document import read\n"
    code += "print(ascii(read(Path(sys.argv[1])).question))"
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-c", code, str(file)]
    assert subprocess.check_output(words, env=plain, text=True) == "'H\\xe4lt es?'\n"
    file.write_bytes(b'question = "H\xe4lt es?"')
    with pytest.raises(UserError, match="not valid TOML in UTF-8"):
        read(file)


def test_the_page_shows_a_file_that_can_be_read(tmp_path):
    (example,) = re.findall(r"```toml[^\n]*\n(.*?)```", PAGE, re.DOTALL)
    found = suite(tmp_path, example, head="")
    assert len(found.combinations()) == 5 * (2 * 2 * 3 + 2 * 2)


def test_the_page_names_every_field_state_engine_and_suite():
    rows = set(re.findall(r"^\| `([^|]+)` ", PAGE, re.MULTILINE))
    assert {key.strip("[]") for key in rows} >= {*KEYS, *STATES} - {"axes", "fixed", "skip"}
    assert {"[axes]", "[fixed]", "[[skip]]", *registry.names("engines")} <= rows


@pytest.mark.parametrize("name", registry.names("suites"))
def test_list_and_page_ask_what_the_file_asks(name):
    entry = registry.get("suites", name)
    found = read(entry.load()())
    assert (found.name, found.question) == (name, entry.summary)
    runs = len(found.combinations())
    assert re.search(rf"^\| `{name}` \|.*\| {runs} \|$", PAGE, re.MULTILINE)


def test_keys_of_prepare_are_its_options():
    known = {"from" if name == "source" else name for name in signature(api.prepare).parameters}
    assert set(PREPARE) <= known
