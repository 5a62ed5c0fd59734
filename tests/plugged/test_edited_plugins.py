"""What a plugin made before it was edited is never taken for its own."""

import json
from pathlib import Path

import pytest

from slotbench import plugins, registry
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo
from slotbench.results.run import Run
from tests.plugged.texts import DOTS, EXAMPLE, METRIC, MINE, OBJECTIVE, RANDOM, SMALL


def test_an_edited_plugin_makes_another_run(tmp_path):
    info = DatasetInfo("clevr", "clevr6", "rendered", "0" * 16, 64, 6, {})
    ids = []
    for text in (MINE, MINE.replace('"m", "m"', '"m", "n"')):
        before = {kind: registry.entries(kind) for kind in registry.KINDS}
        (tmp_path / "mine.py").write_text(
            RANDOM + text.replace("class Mine:", "class Mine(Random):")
        )
        plugins.load(str(tmp_path / "mine.py"))
        ids.append(resolve(Choice(objective="mine", preset="quick"), info).id)
        plugins._loaded.clear()
        registry.restore(before)
    assert ids[0] != ids[1]


@pytest.mark.usefixtures("command")
def test_what_an_edited_plugin_made_is_not_taken_for_its_own(blocks, shown, tmp_path):
    data = ("--data-dir", blocks)
    known = {kind: registry.entries(kind) for kind in registry.KINDS}
    file, metric = tmp_path / "mine.py", tmp_path / "metric.py"
    metric.write_text(
        METRIC.replace("Mine", "Other")
        .replace("1 / 0", "context.means({'mine/a': x})")
        .replace("return", "x = __import__('torch').ones(3)\n        return")
    )

    def typed(*words, edit=("", "")):
        """A command of another process, after an edit of the objective."""
        plugins._loaded.clear()
        registry.restore(known)
        file.write_text(file.read_text().replace(*edit))
        return shown("--plugin", file, "--plugin", metric, *words)

    file.write_text(OBJECTIVE)
    code, out, err = typed("train", "--objective", "mine", *data, *SMALL)
    assert code == 0, err
    assert f"type: slotbench --plugin {file} --plugin {metric} evaluate" in err
    run = Run(Path(out.strip()))
    judged = ("evaluate", run.path, "--metrics", "mine", "--json", *data)
    code, first, err = typed(*judged)
    assert code == 0
    assert "Warning" not in err
    assert "nothing is missing" in typed(*judged)[2]
    metric.write_text(metric.read_text().replace("ones(3)", "zeros(3)"))
    code, again, err = typed(*judged)
    assert code == 0
    assert "nothing is missing" not in err
    assert [
        json.loads(text)["runs"][str(run.path)]["metrics"]["mine/a"]["value"]
        for text in (first, again)
    ] == [1, 0]
    code, _, err = typed(*judged, edit=(".mean()", ".sum()"))
    assert "has changed since" in err
    for words in (("verify", run.path), ("train", "--resume", run.path, "--steps", 9, *data)):
        code, _, err = typed(*words)
        assert code == 2
        assert str(file) in err
        assert "Put it back as it was" in err


def test_editing_a_plugin_while_its_run_trains_changes_nothing(tmp_path):
    (file := tmp_path / "mine.py").write_text(MINE)
    plugins.load(str(file))
    entry = registry.get("objectives", "mine")
    before = entry.foreign_digest()
    file.write_text(MINE + "\n")
    assert entry.foreign_digest() == before == plugins.loaded()[0]["sha256"]


@pytest.mark.usefixtures("command")
def test_data_of_an_edited_plugin_are_not_taken_for_its_own(shown, tmp_path):
    known = {kind: registry.entries(kind) for kind in registry.KINDS}
    text = (EXAMPLE / "slotbench_example" / "dataset.py").read_text()
    for content, expected in ((text, 0), (text + "\n", 2)):
        plugins._loaded.clear()
        registry.restore(known)
        (tmp_path / "dots.py").write_text(content)
        code, _, err = shown("--plugin", "dots.py", *DOTS, "--workers", "1")
        assert code == expected, err
    assert "exists, with generator 'slotbench-example dots 1, " in err
