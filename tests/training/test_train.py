"""The loop's promises: resuming is bit-identical, a bad loss stops the run, nothing is lost."""

import math
import os
import re
import shutil
import signal
from contextlib import nullcontext

import pytest
import torch

from slotbench.config.run_config import TrainConfig
from slotbench.errors import RunLocked, TrainingError, UserError
from slotbench.files import reason_of
from slotbench.results import judge
from slotbench.results import work as workflow
from slotbench.results.finding import all_runs, find
from slotbench.results.run import Run, read_model
from slotbench.training.loop import Trainer, learning_rate
from tests.conftest import write_blocks
from tests.objectives import tiny
from tests.small import CPU, assert_same_weights, started

SIMCLR = {"objective": "simclr", "alignment": "hungarian"}
EVERY = "train.val_every=4"
DIVERGE = ("train.learning_rate=1e9", "train.warmup=0")


@pytest.fixture(scope="module")
def trained(blocks, tmp_path_factory):
    """A finished run of three steps; do not change it."""
    return started(blocks, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def done(trained, tmp_path):
    """A copy of it, which may be changed."""
    shutil.copytree(trained.results_dir, tmp_path / "results")
    return find(trained.id, tmp_path / "results")


def resume(run, data, **options):
    return workflow.resume(run.id, CPU, data, run.results_dir, evaluate=False, **options)


def test_a_disk_that_fills_under_the_metrics_is_told_with_their_name(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as full:
        Run(tmp_path).add_metrics({"step": 1})
    assert f"or a limit on file sizes is reached ({metrics})" in reason_of(full.value)


@pytest.mark.parametrize("fields", [{}, SIMCLR, {"objective": "simclr", "alignment": "pool"}])
def test_a_run_leaves_what_a_run_directory_holds(blocks, tmp_path, fields):
    done = started(blocks, tmp_path, EVERY, steps=6, **fields)
    names = {path.name for path in done.path.iterdir()}
    files = "config.json status.json metrics.jsonl checkpoint.pt model.safetensors environment.json"
    assert names >= {*files.split(), "pictures"}
    assert done.status()["state"] == "done"
    rows = done.metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["loss"] > 0 for row in rows)
    assert {row["step"] for row in rows if "val_loss" in row} == {4, 6}
    assert len(list(done.pictures.glob("*.png"))) == 1


def test_random_is_done_at_once_with_the_weights_every_objective_starts_from(blocks, tmp_path):
    floor = read_model(started(blocks, tmp_path, objective="random"))
    still = "train.learning_rate=0.0"
    other = read_model(started(blocks, tmp_path, still, steps=1, **SIMCLR))
    core = [name for name in floor if name.startswith("core.")]
    assert core
    for name in core:
        assert torch.equal(floor[name], other[name])


def test_training_learns(blocks, tmp_path):
    rows = started(blocks, tmp_path, "train.warmup=5", steps=60).metrics()
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


@pytest.mark.parametrize("fields", [{}, SIMCLR])
def test_stopped_and_resumed_is_bit_identical(blocks, tmp_path, monkeypatch, fields):
    whole = started(blocks, tmp_path / "a", EVERY, steps=6, **fields)
    step = Trainer.train_step

    def stop_at_four(self, batch):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        started(blocks, tmp_path / "b", EVERY, steps=6, **fields)
    monkeypatch.undo()
    broken = find(whole.id, tmp_path / "b")
    assert broken.status() | {"state": "interrupted", "step": 4} == broken.status()
    resumed = resume(broken, blocks)
    assert_same_weights(whole, resumed)
    assert whole.metrics() == resumed.metrics()


def test_a_teacher_is_kept_by_its_id_and_the_folder_can_be_moved(blocks, tmp_path):
    teacher = started(blocks, tmp_path / "here", objective="random")
    told = (f"objective.teacher={teacher.path}", "objective.hidden=8")
    learner = started(blocks, tmp_path / "here", *told, objective="feature-reconstruction")
    assert learner.config().to_dict()["objective"]["teacher"] == teacher.id
    assert str(tmp_path) not in learner.config_file.read_text()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = find(learner.id, tmp_path / "there")
    found = judge.evaluate(moved, CPU, blocks, split="test", metrics="segmentation")
    assert "fg_ari/decoder" in found["metrics"]


def test_data_that_changed_is_refused(done, tmp_path):
    write_blocks(tmp_path / "clevr.h5", train=40)
    with pytest.raises(UserError, match="not the data"):
        resume(done, tmp_path)


def test_a_run_in_progress_is_not_started_twice(blocks, done):
    done.write_status("running")
    assert done.status()["state"] == "interrupted"  # nobody holds it
    with done.lock():
        assert done.status()["state"] == "running"
        with pytest.raises(UserError, match="another process"):
            resume(done, blocks)


def test_fewer_slots_than_objects_is_a_warning_that_stays(blocks, tmp_path):
    done = started(blocks, tmp_path, "core.slots=2", steps=1)
    assert done.status()["warnings"] == ["2 slots for up to 3 objects"]


RATES = [("none", 50, 1.0), ("none", 0, 0.1), ("cosine", 50, 0.5), ("cosine", 100, 0.0)]
RATES += [("exponential", 20, 0.5), ("exponential", 40, 0.25)]


@pytest.mark.parametrize(("decay", "step", "rate"), RATES)
def test_the_learning_rate_is_a_function_of_the_step(decay, step, rate):
    config = TrainConfig(steps=100, learning_rate=1.0, warmup=10, half_life=20, decay=decay)
    assert learning_rate(config, step) == pytest.approx(rate)


def test_bfloat16_trains(blocks, tmp_path):
    rows = started(blocks, tmp_path, "train.precision=bfloat16", steps=8, **SIMCLR).metrics()
    full = started(blocks, tmp_path, steps=8, **SIMCLR).metrics()
    assert rows[0]["loss"] != full[0]["loss"]
    assert rows[0]["loss"] == pytest.approx(full[0]["loss"], rel=0.05)


SPOILT = {
    "empty": b"",
    "nonsense": b"nonsense",
    "hostile": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "shape": lambda saved: saved["objective"].update({"core.mean": torch.zeros(3)}),
    "name": lambda saved: saved["objective"].update(x=saved["objective"].pop("core.mean")),
    "moment": lambda saved: saved["optimizer"]["state"][0].update(exp_avg=torch.zeros(3)),
    "count": lambda saved: saved["optimizer"]["state"][0].update(step=torch.zeros(3)),
    "seconds": lambda saved: saved.update(seconds=math.nan),
    "an aeon": lambda saved: saved.update(seconds=1e300),
    "type": lambda saved: saved["objective"].update({"core.mean": torch.zeros(1, 1, 8).double()}),
    "before": lambda saved: saved.update(step=-3),
    "beyond": lambda saved: saved.update(step=99),
    "step": lambda saved: saved.update(step="x"),
    "optimizer": lambda saved: saved.update(optimizer="x"),
    "moments": lambda saved: saved["optimizer"]["state"].popitem(),
    "all moments": lambda saved: saved["optimizer"]["state"].clear(),
    "a moment": lambda saved: saved["optimizer"]["state"][0].pop("exp_avg_sq"),
    "group": lambda saved: saved["optimizer"]["param_groups"][0]["params"].pop(),
    "groups": lambda saved: saved["optimizer"]["param_groups"].clear(),
    "order": lambda saved: saved["optimizer"]["param_groups"][0]["params"].reverse(),
    "another's": lambda saved: saved.update(run_id="0-0123abcd"),
}


def spoil(run, how):
    """Write other content into a run's checkpoint, or change what it holds."""
    if isinstance(how, bytes):
        run.checkpoint.write_bytes(how)
        return
    saved = torch.load(run.checkpoint, weights_only=True)
    how(saved)
    torch.save(saved, run.checkpoint)


@pytest.mark.parametrize("what", SPOILT)
def test_a_checkpoint_that_does_not_fit_is_refused(blocks, done, what):
    spoil(done, SPOILT[what])
    done.write_status("interrupted")
    said = "is not a checkpoint of slotbench, or is damaged"
    with pytest.raises(UserError, match="another config" if what == "another's" else said):
        resume(done, blocks)


@pytest.mark.parametrize("what", ["moments", "a moment", "group"])
def test_a_damaged_run_is_named_where_it_is_extended_and_damages_no_other(blocks, done, what):
    whole = done.checkpoint.read_bytes()
    spoil(done, SPOILT[what])
    with pytest.raises(UserError, match=re.escape(f"{done.path.name}/checkpoint.pt is not")):
        resume(done, blocks, steps=5)
    done.checkpoint.write_bytes(whole)
    assert resume(done, blocks, steps=5).status()["state"] == "done"


def test_the_optimiser_is_that_of_the_configuration_whatever_a_checkpoint_says(
    blocks, trained, done
):
    other = {"eps": "x", "weight_decay": 0.5, "maximize": True}
    spoil(done, lambda saved: saved["optimizer"]["param_groups"][0].update(other))
    one, two = (resume(run, blocks, steps=5) for run in (trained, done))
    assert one.model.read_bytes() == two.model.read_bytes()


@pytest.mark.parametrize(
    "choice", [{"objective": "supervised"}, SIMCLR, {**SIMCLR, "alignment": "mask"}]
)
def test_a_diverging_run_that_pairs_slots_fails_by_name(blocks, tmp_path, choice, capsys):
    with pytest.raises(TrainingError, match=r"not finite|holds NaN"):
        started(blocks, tmp_path, *DIVERGE, steps=9, **choice)
    (failed,) = all_runs(tmp_path)
    assert failed.status()["state"] == "failed"
    failed.checkpoint.unlink(missing_ok=True)
    with pytest.raises(TrainingError):
        resume(failed, blocks)
    assert "Going on from step 0" in capsys.readouterr().err


def test_weights_that_diverge_at_the_last_step_fail_the_run(blocks, tmp_path):
    with pytest.raises(TrainingError, match="the loss is not finite after step 1"):
        started(blocks, tmp_path, *DIVERGE, steps=1)
    (failed,) = all_runs(tmp_path)
    assert failed.status()["state"] == "failed"
    assert not failed.model.exists()


def test_a_dataset_without_test_images_is_refused_before_training(tmp_path, shown):
    data = write_blocks(tmp_path / "clevr.h5", test=0)
    words = ("train", "--dataset", data, "--steps", 1, "--results-dir", tmp_path / "results")
    code, _, told = shown(*words)
    assert code == 2
    assert "'test' holds no images" in told
    assert "--no-evaluate" in told
    assert not list(tmp_path.glob("results/runs/*"))


COMPARES = r"'val' has only one image, and the objective compares"
UNUSABLE = [("vicreg", 1, COMPARES), ("reconstruction+simclr:0.1", 1, COMPARES)]
UNUSABLE += [("slot-infonce", 1, COMPARES), ("reconstruction", 1, None)]
UNUSABLE += [("reconstruction", 0, "'val' holds no images")]


@pytest.mark.parametrize(("objective", "val", "said"), UNUSABLE)
def test_data_too_small_for_a_loss_leave_no_run(tmp_path, objective, val, said):
    data = write_blocks(tmp_path / "clevr.h5", val=val).parent
    starts = ("train.starts=2", "train.start_steps=1")
    for extra in ((), starts, ("train.batch_size=49",)):
        wanted = "only 48 images in 'train'" if extra and extra != starts else said
        with pytest.raises(UserError, match=wanted) if wanted else nullcontext():
            started(data, tmp_path / f"{len(extra)}", *extra, objective=objective, steps=1)
        assert bool(wanted) != any(tmp_path.glob(f"{len(extra)}/runs/*"))


def test_few_clips_of_val_are_one_batch(data, tmp_path):
    made = tiny.config(data[True], "slot-jepa-next", "train.batch_size=12")
    going = tiny.trainer(tmp_path, data[True], made)
    assert going.val_loader().loader.batch_size == data[True].rows("val") == 8


def test_the_directory_of_another_process_that_has_not_begun_stays(blocks, tmp_path, monkeypatch):
    def taken(run):
        (run.path / ".lock").touch()
        raise RunLocked("another process was faster")

    monkeypatch.setattr(Run, "lock", taken)
    with pytest.raises(RunLocked):
        started(blocks, tmp_path)
    (run,) = all_runs(tmp_path)
    assert {file.name for file in run.path.iterdir()} == {".lock", "config.json"}
