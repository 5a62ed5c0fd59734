"""``verify BUNDLE``: hashes first, then every number again from the weights."""

import json
import shutil
import stat
import zipfile
from contextlib import nullcontext

import pytest
import safetensors.torch
import torch

from slotbench.files import sha256_of
from slotbench.results.bundle import MANIFEST
from slotbench.results.recompute import same_decimals
from tests.results.bundled import change, flip, seal, zipped

METRIC = "fg_ari/attention"


def test_every_number_comes_out_again(command, bundle, tmp_path):
    shutil.rmtree(tmp_path / "results" / "runs")  # the bundle and the dataset are enough
    for path in (bundle, zipped(bundle, tmp_path / "bundle.zip")):
        code, out, _ = command("verify", str(path), "--json")
        facts = json.loads(out)
        (found,) = facts["runs"]
        assert (code, facts["ok"], found["recomputed"]) == (0, True, True)
        assert METRIC in [cell["metric"] for cell in found["metrics"]]
        assert {cell["verdict"] for cell in found["metrics"]} == {"same"}
    code, out, _ = command("verify", str(bundle), "--no-recompute")
    assert (code, "5 files have the sha256 of the manifest" in out) == (0, True)
    assert "No number was computed again" in out


def moved(by):
    def edit(metrics):
        metrics[METRIC]["value"] += by

    return edit


MOVED = {
    "moved": (moved(3e-5), METRIC, 0),
    "contradicted": (moved(0.3), METRIC, 1),
    "interval": (lambda metrics: metrics[METRIC].update(low=-0.5), f"{METRIC}, low", 1),
    "images": (lambda metrics: metrics[METRIC].update(n=3), f"{METRIC}, n", 1),
    "gone": (lambda metrics: metrics["ari/attention"].update(value=None), "ari/attention", 1),
    "not computed again": (lambda metrics: metrics.update(mine=metrics[METRIC]), "mine", 1),
}


@pytest.mark.parametrize("case", MOVED)
def test_it_says_which_digits_moved(command, bundle, case):
    edit, metric, code = MOVED[case]
    change(bundle, "evaluation.json", lambda document: edit(document["metrics"]))
    ended, out, told = command("verify", str(bundle), "--json")
    (cell,) = [cell for cell in json.loads(out)["runs"][0]["metrics"] if cell["verdict"] != "same"]
    assert (ended, cell["metric"]) == (code, metric)
    assert cell["verdict"] == ("contradicted" if case in ("gone", "interval", "images") else case)
    assert ("contradicted" in told) == (cell["verdict"] == "contradicted")
    if metric == METRIC:
        assert cell["same_decimals"] == same_decimals(cell["stored"], cell["recomputed"])
        assert cell["stored"] - cell["recomputed"] == pytest.approx(-cell["difference"])
        assert f"{cell['stored']:.8f}" in command("verify", str(bundle))[1]
        assert command("verify", str(bundle), "--tolerance", "0.5")[0] == 0


def test_same_decimals_are_those_to_which_both_round_alike():
    pairs = {(0.1231, 0.1234): 3, (0.4999, 0.5001): 3, (1.1, 1.2): 0, (0.5, 1.6): None}
    assert {pair: same_decimals(*pair) for pair in pairs} == pairs


def lose(bundle, weights):
    weights.unlink()
    seal(bundle)


def link_out(bundle, weights):
    weights.rename(bundle.parent / "elsewhere")
    weights.symlink_to(bundle.parent / "elsewhere")


def list_outside(bundle, _):
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"]["../../x/y/z/status.json"] = next(iter(manifest["files"].values()))
    (bundle / MANIFEST).write_text(json.dumps(manifest))


TAMPERED = {
    "model.safetensors: its sha256 is not the manifest's": lambda _, weights: flip(weights),
    "model.safetensors: in the manifest, but missing": lambda _, weights: weights.unlink(),
    "model.safetensors: every run of a bundle has one": lose,
    "9-00000000/config.json: not in the manifest": lambda _, weights: shutil.copytree(
        weights.parent, weights.parent.parent / "9-00000000"
    ),
    "is a link or a device": link_out,
    "no plain relative path": lambda bundle, _: (bundle / ".profile").write_text("x"),
    "not valid JSON": lambda bundle, _: (bundle / MANIFEST).write_text("{"),
    "bad entry for '../../x/y/z/status.json'": list_outside,
}


@pytest.mark.parametrize("problem", TAMPERED)
def test_a_bundle_that_is_not_as_published_is_an_error(command, bundle, problem):
    (weights,) = bundle.glob("runs/*/*/*/model.safetensors")
    TAMPERED[problem](bundle, weights)
    code, out, told = command("verify", str(bundle))
    assert code == 2
    assert problem in " ".join(f"{out} {told}".split())
    assert "same to the last bit" not in out
    assert "get it anew" in told


def link():
    info = zipfile.ZipInfo("runs/a/b/0-c/status.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["/etc/evil.json", "runs/../../../../x/status.json", "runs/a/b/c/evil.py", MANIFEST, link()],
    ids=str,
)
def test_an_archive_that_reaches_outside_is_an_error(refused, bundle, tmp_path, name):
    inside = sorted(path for path in tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match="Duplicate") if name == MANIFEST else nullcontext():
        archive = zipped(bundle, tmp_path / "bundle.zip", (name, b"{}"))
    assert "Traceback" not in refused("verify", archive)
    archive.unlink()
    assert sorted(path for path in tmp_path.rglob("*")) == inside


def set_config(section, field, value):
    def edit(document):
        document[section][field] = value

    return edit


FORGED = {
    "width": ("config.json", set_config("encoder", "channels", 16), "do not fit the configuration"),
    "huge": ("config.json", set_config("core", "width", 10**9), "holds a number above"),
    "rounds": ("config.json", set_config("core", "eval_iterations", 60_000), "asks for more"),
    "dataset": ("config.json", set_config("dataset", "name", "../../secret"), "names no dataset"),
    "teacher": ("config.json", set_config("objective", "teacher", "dino"), "not in the bundle"),
    "versions": (
        "evaluation.json",
        lambda document: document["metrics"][METRIC].update(version=999),
        "of version 999",
    ),
    "values": ("evaluation.json", lambda document: document.update(metrics=5), "metrics"),
    "none": ("evaluation.json", lambda document: document.update(metrics={}), "holds no number"),
    "images": ("evaluation.json", lambda document: document.update(images=10**6), "says images"),
    "weights": ("evaluation.json", lambda document: document.update(model="0"), "other weights"),
    "status": ("status.json", lambda document: document.update(step="x"), "status.json: step"),
}


@pytest.mark.parametrize("what", FORGED)
def test_numbers_that_cannot_be_computed_again_are_not_verified(command, bundle, what):
    name, edit, reason = FORGED[what]
    change(bundle, name, edit)
    code, out, told = command("verify", str(bundle), "--json")
    facts = json.loads(out)
    assert (code, facts["ok"]) == (1, False)
    assert any(reason in line for line in facts["unverified"])
    assert "--no-recompute" in told


def test_weights_that_cannot_be_read_or_judged_are_not_verified(command, bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    words = ("verify", str(bundle), "--json", "--data-dir", str(tmp_path / "empty"))
    code, out, _ = command(*words)
    (found,) = json.loads(out)["runs"]
    assert (code, found["recomputed"]) == (1, False)
    assert "prepare" in found["reason"]
    assert command(*words, "--no-recompute")[0] == 0
    (weights,) = bundle.glob("runs/*/*/*/model.safetensors")
    whole, tensors = weights.read_bytes(), safetensors.torch.load_file(weights)
    typed = {name: value.view(torch.int32) for name, value in tensors.items()}
    for spoiled in (whole[:500], whole[:-9], whole + whole, safetensors.torch.save(typed)):
        weights.write_bytes(spoiled)
        model = {"model": sha256_of(weights)}
        change(bundle, "evaluation.json", lambda document, model=model: document.update(model))
        code, out, _ = command("verify", str(bundle), "--json")
        assert (code, json.loads(out)["runs"][0]["recomputed"]) == (1, False)
        assert "do not fit" in out


def test_a_run_is_verified_with_the_weights_that_were_evaluated(command, refused, run):
    assert command("verify", str(run))[0] == 0
    flip(run / "model.safetensors")
    for words in (("verify", run), ("publish", run, "--out", "bundle")):
        assert "is not the model that evaluation.json was made of" in refused(*words)
    (run / "model.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    told = refused("export-model", run, "--out", "exported")
    assert "does not fit config.json" in told
    assert f"type: slotbench train --resume {run}" in told
