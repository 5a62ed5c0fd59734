"""What is evaluated again, what is kept, and what is stale."""

import shutil
from pathlib import Path

import pytest

from slotbench import api, registry
from slotbench.errors import UserError
from slotbench.evaluation import frozen_pass
from slotbench.evaluation.health import Health
from slotbench.evaluation.segmentation import METRICS
from slotbench.files import read_json, write_json
from slotbench.results import judge
from slotbench.results.run import Run
from slotbench.results.stored import merged
from tests.small import CPU, started


@pytest.fixture(scope="module")
def trained(blocks, tmp_path_factory):
    return started(blocks, tmp_path_factory.mktemp("results"), objective="random")


@pytest.fixture
def passes(monkeypatch):
    """The splits that the core passed over; one image, which checks what is stored, is no pass."""
    seen = []
    collect = frozen_pass.collect

    def noted(objective, dataset, split, limit, **options):
        seen.extend([split] * (limit > 1))
        return collect(objective, dataset, split, limit, **options)

    monkeypatch.setattr(frozen_pass, "collect", noted)
    return seen


@pytest.fixture
def evaluate(trained, blocks, passes):
    """Judges the run by groups of metrics; ``passes`` are then those of this evaluation."""

    def call(metrics="segmentation", split="test", **options):
        passes.clear()
        return judge.evaluate(trained, CPU, blocks, split=split, metrics=metrics, **options)

    return call


def test_evaluate_computes_what_is_missing(trained, evaluate, passes, capsys, monkeypatch):
    first = evaluate()
    assert passes == ["test"]
    assert set(first["metrics"]) == {f"{name}/attention" for name in METRICS}
    assert read_json(trained.evaluation) == first
    both = evaluate("segmentation,health")
    assert passes == ["test"]  # for the second draw
    assert both["metrics"].items() > first["metrics"].items()
    assert next(iter(both["metrics"])).endswith("/attention")
    capsys.readouterr()
    assert evaluate("health,segmentation") == both
    assert passes == []
    assert "nothing is missing" in capsys.readouterr().err
    # A definition that changed is computed anew, from what is kept of the model.
    monkeypatch.setattr(Health, "version", newest := Health.version + 1)
    monkeypatch.setattr(Health, "keys", ("health/slot_cosine",))
    monkeypatch.setattr(Health, "needs", ("slots",))
    monkeypatch.setattr(Health, "compute", lambda *_: {})
    registry.register("metrics")(Health)
    write_json(trained.evaluation, {**both, "skipped": {"health/slot_cosine": "", "dci": ""}})
    newer = evaluate("segmentation,health")
    assert (passes, newer["skipped"]) == ([], {"dci": ""})
    assert newer["groups"] == {"segmentation": 1, "health": newest}
    assert newer["metrics"]["fg_ari/attention"] == first["metrics"]["fg_ari/attention"]
    assert "health/slot_cosine" not in newer["metrics"]


def test_force_and_no_cache(trained, evaluate, passes):
    first, kept = evaluate(force=True), trained.path / "cache" / "test.npz"
    assert (passes, kept.is_file()) == (["test"], True)
    assert evaluate(force=True) == first
    assert passes == ["test"]
    kept.unlink()
    assert evaluate(force=True, cached=False) == first
    assert not kept.exists()


def test_an_evaluation_of_something_else_or_a_damaged_one_is_not_kept(trained, evaluate):
    trained.evaluation.unlink(missing_ok=True)
    first = evaluate()
    for field, other in {"model": "x", "fingerprint": "x", "seed": 7, "groups": {}}.items():
        write_json(trained.evaluation, {**first, field: other, "metrics": {}})
        both = evaluate("health,segmentation")
        assert both["metrics"].items() > first["metrics"].items()
    for field in ("images", "objects", "slots"):
        assert merged({**both, field: 7}, first) == first
    trained.evaluation.write_text("{")
    assert evaluate() == first
    assert evaluate(split="val")["split"] == "val"
    assert read_json(trained.evaluation) == first


HIGH = {"fg_ari/attention": {"value": "high", "version": 1}}


@pytest.mark.parametrize("change", [{"metrics": HIGH}, "{"])
def test_an_evaluation_of_another_shape_is_refused_by_name(trained, blocks, tmp_path, change):
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    api.evaluate(run.path, metrics="segmentation", data_dir=blocks)
    if isinstance(change, str):
        run.evaluation.write_text(change)
    else:
        write_json(run.evaluation, read_json(run.evaluation) | change)
    bad = r"evaluation\.json(: | is not valid JSON)"
    with pytest.raises(UserError, match=f"{bad}.* Type: slotbench evaluate "):
        api.show(run.path, data_dir=blocks)
    with pytest.raises(UserError, match=bad):
        api.publish([run.path], tmp_path / "out.zip")
    # Whoever judges the run again gets an evaluation that can be shown.
    api.evaluate(run.path, metrics="segmentation", data_dir=blocks)
    few = {"images": 1, "ranked": 0, "properties": False, "data_dir": blocks}
    assert api.show(run.path, **few)["evaluation"]
    # A folder that takes no pictures, such as a read-only one, is shown without.
    shutil.rmtree(run.pictures)
    run.pictures.touch()
    facts = api.show(run.path, **few)
    assert (bool(facts["evaluation"]), "No pictures: " in facts["lacking"]) == (True, True)


def test_an_own_run_is_shown_without_its_dataset(trained, tmp_path):
    facts = api.show(trained.path, data_dir=tmp_path)
    assert facts["status"]["state"] == "done"
    assert facts["drawn"] == {}
    assert "slotbench prepare" in facts["lacking"]


def test_one_bad_run_does_not_keep_the_others_from_being_evaluated(trained, blocks, tmp_path):
    bad, good = (Run(Path(shutil.copytree(trained.path, tmp_path / name))) for name in "ab")
    for run in (bad, good):
        run.evaluation.unlink(missing_ok=True)
    bad.model.write_bytes(b"x")
    with pytest.raises(UserError, match=r"1 of 2 runs could not be evaluated: a\."):
        api.evaluate(bad.path, good.path, metrics="segmentation", device="cpu", data_dir=blocks)
    assert good.evaluation.is_file()
    assert not bad.evaluation.is_file()


@pytest.mark.parametrize("step", ["1" + "0" * 400, "-1", '"x"'])
def test_a_step_that_no_run_has_is_no_row(tmp_path, step):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": {step}, "loss": 1}}\n{{"step": 7}}\n')
    assert Run(tmp_path).metrics() == [{"step": 7}]
