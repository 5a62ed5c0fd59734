"""Each tracker is read back by its own tools: begun, gone on with, and with its settings."""

import json
import struct

import pytest

from slotbench.tracking.mlflow import LIMIT, MLflow
from slotbench.tracking.tensorboard import TensorBoard
from slotbench.tracking.tracker import Tracked
from slotbench.tracking.wandb import WandB

SETTINGS = {"train.steps": 4, "train.learning_rate": 4e-4, "core.name": "slot-attention"}
LOSSES = {1: 0.75, 2: 0.5, 3: 0.25, 4: 0.125}


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "results/runs/clevr-clevr6/slot-attention+simclr/0-0123abcd"
    path.mkdir(parents=True)
    return path


def tell(kind, run, begin, end, state):
    """What the loop tells from one step to another, in one process."""
    tracker = kind(Tracked(run, SETTINGS, begin))
    for step in range(begin + 1, end + 1):
        tracker.log(step, {"loss": LOSSES[step], "learning_rate": 0.5})
    tracker.close(state)


def in_two_parts(kind, run):
    """Interrupted after step 3, whose checkpoint is that of step 2."""
    tell(kind, run, 0, 3, "interrupted")
    tell(kind, run, 2, 4, "done")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_each_step_once(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    in_two_parts(TensorBoard, run)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {event.step: event.value for event in events.Scalars("loss")} == LOSSES
    assert len(events.Scalars("loss")) == len(events.Scalars("learning_rate")) == 4
    (settings,) = events.Tensors("settings/text_summary")
    table = settings.tensor_proto.string_val[0].decode()
    assert "| core.name | slot-attention |" in table
    assert "| train.steps | 4 |" in table


def records(folder):
    """What W&B has kept for the day there is a network."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    data, at, whole, found = file.read_bytes(), 7, b"", []
    assert data.startswith(b":W&B")
    while at < len(data):
        # LevelDB's log: blocks of 32 KiB, in which no header of 7 bytes is cut in two.
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            found.append(Record.FromString(whole))
            whole = b""
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_offline_keeps_one_run(run, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    in_two_parts(WandB, run)
    wandb.teardown()  # as the end of a process does: what its service holds is written
    parts = sorted((run / "wandb").glob("offline-run-*"))
    name = json.loads((run / "tracking.json").read_text())["wandb"]
    assert name.startswith("0-0123abcd-")
    assert len(parts) == 2
    for part, steps in zip(parts, ((1, 2, 3), (3, 4)), strict=True):
        assert part.name.endswith(name)
        losses = {}
        for record in records(part):
            if record.HasField("history"):
                items = record.history.item
                row = {of.key or of.nested_key[0]: json.loads(of.value_json) for of in items}
                losses[row["_step"]] = row["loss"]
            if record.HasField("run"):
                told = {item.key: item.value_json for item in record.run.config.update}
                assert (record.run.run_id, record.run.project) == (name, "slotbench")
                assert json.loads(told["train.steps"]) == 4
        assert losses == {step: LOSSES[step] for step in steps}


def assert_mlflow(uri, run):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("slotbench")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == (run.name, "FINISHED")
    assert found.data.params == {key: str(value) for key, value in SETTINGS.items()}
    assert found.data.tags["group"] == "clevr-clevr6/slot-attention+simclr"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == LOSSES


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder as MLflow's server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    return (tmp_path / "mlruns").as_uri()


@pytest.mark.filterwarnings("ignore")
def test_mlflow_takes_any_number_of_settings_of_any_length_and_any_name(run, server):
    from mlflow.tracking import MlflowClient

    in_two_parts(MLflow, run)
    assert_mlflow(server, run)
    (run / "tracking.json").unlink()
    settings = {f"views.field_{number}": "x" * 9000 for number in range(230)}
    tracker = MLflow(Tracked(run, settings))
    tracker.log(1, {"test/ap@0.125": 0.5})
    tracker.close("failed")
    found = MlflowClient(server).get_run(tracker.id)
    assert found.data.metrics == {"test/ap_0.125": 0.5}
    assert found.data.params == dict.fromkeys(settings, "x" * LIMIT)
    assert found.info.status == "FAILED"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_in_its_own_database_whatever_the_folder_is_called(tmp_path):
    path = tmp_path / "does it work at 50%?" / "runs/clevr-clevr6/slot-attention+simclr/0-01"
    path.mkdir(parents=True)
    in_two_parts(MLflow, path)
    (tmp_path / "does it work at 50%?" / "mlflow.db").rename(tmp_path / "mlflow.db")
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == ["does it work at 50%?"]
    assert_mlflow(f"sqlite:///{tmp_path}/mlflow.db", path)
