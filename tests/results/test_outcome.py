"""What ``train`` says was learnt."""

import json
import shutil

import pytest

from slotbench.files import write_json
from slotbench.results import SHIPPED
from slotbench.results.outcome import learnt
from slotbench.results.run import Run

PUBLISHED = SHIPPED / "quick-clevr6.json"


@pytest.mark.parametrize("beside", [True, False])
def test_a_score_stands_beside_floor_reconstruction_and_supervised(tmp_path, beside):
    records = json.loads(PUBLISHED.read_text())
    record = next(each for each in records if each["config"]["objective"]["name"] == "byol")
    run = Run(tmp_path / "runs" / "clevr-clevr6" / "slot-attention+byol" / "0-abc")
    run.path.mkdir(parents=True)
    for name in ("config", "status", "evaluation"):
        write_json(run.path / f"{name}.json", record[name])
    if beside:
        (tmp_path / "published").mkdir()
        for name in ("quick-clevr6.json", "supervised-clevr6.json"):
            shutil.copy(PUBLISHED.with_name(name), tmp_path / "published")
    score = record["evaluation"]["metrics"]["fg_ari/attention"]["value"]
    line = learnt(run, run.config())
    said = f"Learnt: fg_ari/attention {score:.2f}."
    if not beside:
        assert line == said
        return
    assert line.startswith(f"{said} Of the same data: floor (random)")
    scores = [
        each["evaluation"]["metrics"]["fg_ari/attention"]["value"]
        for each in records
        if not each["config"]["overrides"]
        and [each["config"][key]["name"] for key in ("objective", "core", "dataset")]
        == ["random", "slot-attention", "clevr"]
    ]
    assert f"floor (random) {sum(scores) / len(scores):.2f}, {len(scores)} seeds" in line
    assert "; reconstruction 0." in line
    assert "; supervised 0." in line
    assert "steps" not in line
    write_json(run.path / "status.json", {**record["status"], "step": 200})
    line = learnt(run, run.config())
    assert "; reconstruction 0.82, 6 seeds of 4,000 steps" in line
    assert f"{len(scores)} seeds;" in line  # the untrained core has no steps
