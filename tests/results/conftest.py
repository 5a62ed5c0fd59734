"""One trained run for all tests of bundles, and the command line on it."""

import shutil

import pytest

from tests.results.bundled import train_one


@pytest.fixture(scope="session")
def trained_once(blocks, tmp_path_factory):
    """A folder of results with one finished run; do not change it."""
    results = tmp_path_factory.mktemp("bundled")
    train_one(results, blocks)
    return results


@pytest.fixture
def results(trained_once, tmp_path):
    """A copy of it."""
    shutil.copytree(trained_once, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def run(results):
    (found,) = results.glob("runs/*/*/*")
    return found


@pytest.fixture
def command(results, blocks, shown):
    """Runs ``publish`` or ``verify``; exit code, stdout, stderr in one line."""

    def call(name, *words):
        places = ["--results-dir", str(results)]
        places += ["--data-dir", str(blocks), "--device", "cpu"] if name == "verify" else []
        if "--data-dir" in words:
            places = places[:2] + places[4:]
        return shown(name, *words, *places)

    return call


@pytest.fixture
def refused(command):
    """A command that explains the user's mistake and prints nothing else; the explanation."""

    def call(*words):
        code, out, told = command(*map(str, words))
        assert (code, out) == (2, ""), (words, code, out)
        return told

    return call


@pytest.fixture
def bundle(command, run, tmp_path):
    """The run as a folder that is a bundle."""
    assert command("publish", str(run), "--out", str(tmp_path / "bundle"))[0] == 0
    return tmp_path / "bundle"
