"""``slotbench evaluate`` as it is typed."""

import json

import pytest

from tests.small import started


@pytest.fixture(scope="module")
def results(blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    started(blocks, folder, objective="random")
    return folder


@pytest.fixture
def evaluate(blocks, results, shown):
    """Runs the command, as ``shown`` does."""
    places = ("--data-dir", blocks, "--results-dir", results)
    return lambda *words: shown("evaluate", *words, *places)


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
