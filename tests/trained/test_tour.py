"""The notebook runs as it stands, in a folder with small data and few steps."""

import json
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tour.ipynb"


def code():
    document = json.loads(NOTEBOOK.read_text())
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def test_its_outputs_are_stripped():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code())


@pytest.mark.slow
def test_every_cell_runs(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    (tmp_path / "data").mkdir()
    shutil.copy(blocks / "clevr.h5", tmp_path / "data")
    names = {}
    for cell in code():
        exec("".join(cell["source"]).replace("STEPS = 400", "STEPS = 2"), names)
    assert set(names["board"]["objective"]) >= {"reconstruction", "slot-infonce"}
    assert names["output"].slots.shape[0] == 4
