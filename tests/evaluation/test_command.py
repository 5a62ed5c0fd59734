"""``slotbench evaluate`` as it is typed."""

import json
import sys

import pytest

from slotbench.cli import main
from slotbench.config.resolve import Choice
from slotbench.results import work as workflow
from tests.results.test_stored import CPU, TINY


@pytest.fixture(scope="module")
def results(blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    choice = Choice(objective="random", preset="quick", overrides=TINY)
    workflow.start(choice, CPU, blocks, folder, evaluate=False)
    return folder


@pytest.fixture
def evaluate(blocks, results, monkeypatch, capsys):
    """Runs the command; returns its exit code, stdout and stderr in one line each."""

    def call(*words):
        places = ("--data-dir", str(blocks), "--results-dir", str(results))
        monkeypatch.setattr(sys, "argv", ["slotbench", "evaluate", *words, *places])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, " ".join(shown.err.split())

    return call


def test_runs_are_judged_by_the_groups_named(evaluate, results):
    (path,) = results.glob("runs/*/*/*")
    code, out, _ = evaluate(path.name, "--metrics", "health,segmentation", "--json")
    assert code == 0
    (document,) = json.loads(out)["runs"].values()
    assert set(document["groups"]) == {"segmentation", "health"}
    assert (path / "cache" / "test.npz").is_file()
    code, out, err = evaluate(path.name, "--metrics", "segmentation", "--json")
    assert json.loads(out)["runs"] == {str(path): document}
    assert "nothing is missing" in err
    code, out, err = evaluate(path.name, "--metrics", "segmentation", "--force", "--json")
    assert json.loads(out)["runs"] == {str(path): document}
    assert "nothing is missing" not in err
    # The table says how far draws lie apart.
    assert "±" in evaluate(path.name, "--metrics", "draws")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [(("x",), "No run 'x'"), ((), "expected one of RUN, --predictions or --baseline")],
)
def test_mistakes_are_explained(evaluate, words, message):
    code, out, err = evaluate(*words)
    assert code == 2
    assert message in err
    assert out == ""
