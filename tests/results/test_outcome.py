"""What ``train`` says was learnt."""

import json
import shutil

import pytest

from slotbench.files import write_json
from slotbench.results import SHIPPED
from slotbench.results.outcome import learnt
from slotbench.results.run import Run

PUBLISHED = SHIPPED / "quick-clevr6.json"


def stored(tmp_path, record):
    run = Run(tmp_path / "runs" / "clevr-clevr6" / "slot-attention+byol" / "0-abc")
    run.path.mkdir(parents=True)
    for name in ("config", "status", "evaluation"):
        write_json(run.path / f"{name}.json", record[name])
    return run


@pytest.mark.parametrize(
    ("score", "skipped", "reason"),
    [
        (None, {"segmentation": "no pixel is labelled"}, "no pixel is labelled"),
        ({"value": None, "n": 0, "version": 1}, {}, "no image of test shows an object"),
        (None, {}, "segmentation was not evaluated; --metrics segmentation does so"),
    ],
)
def test_a_missing_score_has_its_reason(score, skipped, reason, tmp_path):
    record = json.loads(PUBLISHED.read_text())[0]
    metrics = record["evaluation"]["metrics"]
    metrics = {key: value for key, value in metrics.items() if not key.startswith("fg_ari")}
    metrics |= {"fg_ari/attention": score} if score else {}
    record["evaluation"] |= {"metrics": metrics, "skipped": skipped}
    run = stored(tmp_path, record)
    assert learnt(run, run.config()) == f"Learnt: no fg_ari/attention: {reason}."


def test_a_score_stands_beside_floor_reconstruction_and_supervised(tmp_path):
    records = json.loads(PUBLISHED.read_text())
    record = next(each for each in records if each["config"]["objective"]["name"] == "byol")
    run = stored(tmp_path, record)
    score = record["evaluation"]["metrics"]["fg_ari/attention"]["value"]
    said = f"Learnt: fg_ari/attention {score:.2f}."
    assert learnt(run, run.config()) == said
    (tmp_path / "published").mkdir()
    for name in ("quick-clevr6.json", "supervised-clevr6.json"):
        shutil.copy(PUBLISHED.with_name(name), tmp_path / "published")
    line = learnt(run, run.config())
    assert line.startswith(f"{said} Of the same data: floor (random)")
    names = {"objective": "random", "core": "slot-attention", "dataset": "clevr"}
    scores = [
        each["evaluation"]["metrics"]["fg_ari/attention"]["value"]
        for each in records
        if not each["config"]["overrides"]
        and all(each["config"][key]["name"] == name for key, name in names.items())
    ]
    assert f"floor (random) {sum(scores) / len(scores):.2f}, {len(scores)} seeds" in line
    assert "; reconstruction 0." in line
    assert "; supervised 0." in line
    assert "steps" not in line
    write_json(run.path / "status.json", {**record["status"], "step": 200})
    line = learnt(run, run.config())
    assert "; reconstruction 0.82, 6 seeds of 4,000 steps" in line
    assert f"{len(scores)} seeds;" in line  # the untrained core has no steps
