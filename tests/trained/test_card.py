"""``slotbench export-model``: the code on the card makes the core again, in its own process."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import slotbench
from slotbench.errors import UserError
from tests.trained.conftest import OPTIONS, SMALL

CHECK = """
names = ["trunk", "norm"] if hasattr(core.encoder, "norm") else ["trunk", "mlp"]
found = features(images, *names)
arrays = {"images": images, "slots": output.slots, "attention": output.attention}
import numpy
trainable = any(weight.requires_grad for weight in core.parameters())
numpy.savez("found.npz", **arrays, **found, trainable=trainable)
"""


def run_code(card, folder, more=""):
    """Run the code on a card in a process of its own."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", card, re.S))
    subprocess.run([sys.executable, "-c", code + more], cwd=folder, check=True)


def test_the_code_on_the_card_loads_the_core_without_its_config(run, results, tmp_path, shown):
    out = tmp_path / "exported"
    code, said, _ = shown("export-model", run.id, "--out", out, "--results-dir", results)
    assert code == 0
    assert said.split() == [str(out / "model.safetensors"), str(out / "README.md")]
    assert len({file.stat().st_mode for file in out.iterdir()}) == 1
    card = (out / "README.md").read_text()
    assert "registry" not in card
    assert "config.json" not in card
    run_code(card, out, CHECK)
    with np.load(out / "found.npz") as stored:
        found = dict(stored)
    core = slotbench.load(run)
    images = torch.from_numpy(found["images"])
    expected = core(images, core.core.noise(2, torch.Generator().manual_seed(0)))
    assert np.allclose(found["slots"], expected.slots, atol=1e-5)
    assert np.allclose(found["attention"], expected.attention, atol=1e-5)
    assert not found["trainable"]
    shapes = dict(re.findall(r"\| `([^`]+)` \| \((.*)\) \|", card))
    for name in set(found) & set(shapes):
        assert str(found[name].shape[1:])[1:-1] == shapes[name].partition(", ")[2]
    assert {"trunk", "norm"} & set(found) & set(shapes)


def test_an_export_is_replaced_only_when_asked_and_nothing_else_is(run, tmp_path):
    out = tmp_path / "exported"
    slotbench.api.export_model(run, out)
    with pytest.raises(UserError, match="was written before"):
        slotbench.api.export_model(run, out)
    slotbench.api.export_model(run, out, force=True)
    (tmp_path / "other").mkdir()
    for name in ("thesis.tex", "README.md"):  # a card's name makes no folder ours
        (tmp_path / "other" / name).write_text("precious")
    with pytest.raises(UserError, match="holds other things, such as thesis"):
        slotbench.api.export_model(run, tmp_path / "other", force=True)
    assert (tmp_path / "other" / "thesis.tex").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "other"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "core"),
    [("cnn", "bo-qsa"), ("resnet18", "sinkhorn-slots"), ("vit", "slot-mixture")],
)
def test_every_kind_of_encoder_is_loaded_by_its_card(blocks, tmp_path, encoder, core):
    small = {**SMALL, "encoder.name": encoder}
    small.pop("encoder.channels" if encoder == "vit" else "core.iterations")
    options = {**OPTIONS, "set": small, "core": core, "objective": "random"}
    run = slotbench.train(evaluate=False, data_dir=blocks, results_dir=tmp_path, **options)
    slotbench.api.export_model(run, tmp_path / "out")
    run_code((tmp_path / "out" / "README.md").read_text(), tmp_path / "out")
