"""No step waits for the device; nothing bad is saved; batches are the same wherever kept."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from slotbench.datasets.format.loader import Loader
from slotbench.errors import TrainingError
from slotbench.objectives.reconstruction import Reconstruction
from slotbench.results.finding import find
from slotbench.training import checkpoint
from slotbench.training.devices import Feed
from tests.objectives import tiny
from tests.small import started

CPU, ROWS = torch.device("cpu"), slice(1, 4)
WAIT = ("attention-consistency", "slotcon", "supervised")
"""Objectives that assign, which is solved on the CPU, or whose one_hot checks its range there."""


class Waits(TorchDispatchMode):
    """Notes the calls that make the host wait for a device: scalars read, sizes that depend on
    values, and tensors made of NumPy arrays or Python numbers, which are copied to the device."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.NAMES:
            self.found.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name", sorted(name for name, kind in tiny.kinds().items() if kind.trains and name not in WAIT)
)
def test_a_step_reads_nothing_from_the_device(data, tmp_path, name):
    kind = tiny.kinds()[name]
    dataset = data[kind.temporal]
    alignment = "shared" if kind.takes_alignment else None
    going = tiny.trainer(tmp_path / "run", dataset, tiny.config(dataset, name, alignment=alignment))
    feed = going.begin()
    going.advance(feed)
    with Waits() as seen:
        going.advance(feed)
    # The arrays of the batch, which Feed copies from pinned memory, and nothing else.
    assert seen.found == ["lift_fresh"] * (1 + len(going.objective.reads))


@pytest.mark.parametrize("log_every", [1, 5])
def test_the_first_bad_step_is_named_and_never_saved(blocks, tmp_path, monkeypatch, log_every):
    loss = Reconstruction.loss

    def broken(self, batch):
        bad = batch.purpose == "train" and batch.step in (3, 4)
        return {"loss": loss(self, batch)["loss"] * (float("inf") if bad else 1.0)}

    monkeypatch.setattr(Reconstruction, "loss", broken)
    rows = (f"train.log_every={log_every}", "train.val_every=9")
    with pytest.raises(TrainingError, match="not finite at step 4"):
        started(blocks, tmp_path, *rows, steps=9)
    failed = find("0-", tmp_path)
    assert failed.status()["state"] == "failed"
    assert failed.metrics()[-1] == {"step": 4, "finite": False}
    saved = checkpoint.load(failed.checkpoint, failed.config())
    assert saved.step == 3
    assert all(value.isfinite().all() for value in saved.objective.values())


def test_a_bad_step_leaves_weights_and_optimiser_as_they_were(data, tmp_path, monkeypatch):
    going = tiny.trainer(tmp_path / "run", data[False], tiny.config(data[False], "reconstruction"))
    feed = going.begin()
    going.advance(feed)
    before, state = tiny.state(going.objective), going.optimizer.state_dict()["state"]
    kept = {name: value.clone() for name, value in state[0].items()}
    monkeypatch.setattr(
        going, "loss", lambda _: {"loss": going.objective.core.mean.sum() * float("nan")}
    )
    for _ in range(2):
        going.advance(feed)
    assert tiny.differences(before, tiny.state(going.objective)) == []
    assert all(torch.equal(state[0][name], value) for name, value in kept.items())
    with pytest.raises(TrainingError, match="step 2"):
        going.save()


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("how", [{"kept": True}, {"kept": False, "ahead": True}])
def test_batches_kept_on_the_device_or_fetched_ahead_are_the_loaders(data, frames, how):
    loader = Loader(data[frames > 1], "train", 4, 0, keys=("image", "mask"), frames=frames)
    plain, feed = Feed(loader, CPU), Feed(loader, CPU, **how)
    for step in (0, 1, 2, 7, 1):
        for key, values in feed(step, ROWS).items():
            assert torch.equal(values, plain(step, ROWS)[key])
            assert torch.equal(values, torch.from_numpy(loader.batch(step)[key][ROWS]))
