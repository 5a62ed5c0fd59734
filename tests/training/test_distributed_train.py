"""Two processes with half of each batch do what one does with the whole of it."""

import json
from dataclasses import replace

import pytest
import torch

from slotbench.config.resolve import dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.views import ViewConfig, Views, make_views
from slotbench.errors import UserError
from slotbench.results import work as workflow
from slotbench.results.run import Run, read_model
from slotbench.training import checkpoint, devices
from slotbench.training.build import build
from slotbench.training.distributed import check_batch
from slotbench.training.flops import flops_of_step, flops_of_whole_step, take
from tests.commands import run_ranks
from tests.objectives import tiny
from tests.small import CPU
from tests.training import ranks
from tests.training.ranks import WORLD

NO_SAY = "core.norm_slots.bias"
"""Moves all queries alike, which attention does not see: its gradient is rounding alone, of which
Adam makes steps as large as of any other."""
SAME = ("reconstruction", "simclr", "moco", "flops", "starts")


@pytest.fixture(scope="module")
def together(blocks, tmp_path_factory):
    """The results of two processes that train every case of :mod:`tests.training.ranks`."""
    results = tmp_path_factory.mktemp("together")
    run_ranks("tests.training.ranks", results, blocks, results)
    return results


def said(results, case):
    return [json.loads((results / f"{rank}-{case}.json").read_text()) for rank in range(WORLD)]


def same_run(blocks, results, case):
    """The directory of a case, without training anything."""
    with DatasetFile(blocks / "clevr.h5") as dataset:
        config = resolve(ranks.choice(case), dataset_info(dataset))
    return Run.of(config, results)


def assert_close(one, two):
    """To rounding: little before the first step, more after it, where Adam divides by gradients."""
    first, second, start = read_model(one), read_model(two), build(one.config()).state_dict()
    assert first.keys() == second.keys() == start.keys()
    apart, moved = [], []
    for name, value in first.items():
        if not value.is_floating_point():
            assert torch.equal(value, second[name])
        elif not name.endswith(NO_SAY):
            apart.append((second[name] - value).norm())
            moved.append((value - start[name]).norm())
    assert torch.stack(apart).norm() < 0.01 * torch.stack(moved).norm()
    assert torch.stack(moved).norm() > 0.01
    assert [row.keys() for row in one.metrics()] == [row.keys() for row in two.metrics()]
    for row, other in zip(one.metrics(), two.metrics(), strict=True):
        rounding = 2e-4 if row["step"] == 1 else 1e-2
        for key, number in row.items():
            assert other[key] == pytest.approx(number, rel=rounding, abs=1e-5), key


@pytest.mark.parametrize("case", SAME)
def test_the_weights_and_metrics_are_those_of_one_process(blocks, together, tmp_path, case):
    shared = same_run(blocks, together, case)
    whole = ranks.alone(case, blocks, tmp_path)
    assert shared.id == whole.id
    assert_close(whole, shared)
    for key in ("state", "step", "steps", "flops_per_step", "parameters"):
        assert shared.status()[key] == whole.status()[key]
    assert shared.status()["device"].startswith("2 x ")
    assert {path.name for path in whole.path.iterdir()} == {
        path.name for path in shared.path.iterdir()
    }
    saved = [checkpoint.load(run.checkpoint, run.config()) for run in (whole, shared)]
    assert saved[0].objective.keys() == saved[1].objective.keys()
    assert saved[0].optimizer["state"].keys() == saved[1].optimizer["state"].keys()


def test_seconds_end_all_processes_at_the_same_step(blocks, together):
    first, second = said(together, "seconds")
    assert first["steps"] == second["steps"]
    status = same_run(blocks, together, "seconds").status()
    assert status["state"] == "done"
    assert 0 < status["step"] == len(first["steps"]) < 5000
    assert status["seconds"] >= 0.3


def test_a_signal_to_one_stops_all_and_one_process_goes_on(blocks, together, tmp_path):
    first, second = said(together, "stopped")
    assert first == second == {"steps": [0, 1, 2], "stopped": True}
    broken = same_run(blocks, together, "stopped")
    assert broken.status()["state"] == "interrupted"
    assert broken.status()["step"] == 3
    whole = ranks.alone("stopped", blocks, tmp_path)
    assert_close(whole, workflow.resume(broken.path, CPU, blocks, together, evaluate=False))


def test_the_others_write_and_say_nothing(together):
    assert "Training" in (together / "0.txt").read_text()
    assert (together / "1.txt").read_text() == ""


def test_views_of_a_part_are_the_rows_of_the_whole():
    images = torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    keys, config = (0, "train", 3), ViewConfig("simclr")
    whole = make_views(images, config, keys)
    for first, last in ((0, 3), (3, 7)):
        part = make_views(images[first:last], config, keys, first=first)
        assert torch.equal(part.matrices, whole.matrices[:, first:last])
        torch.testing.assert_close(part.images, whole.images[:, first:last])


@pytest.mark.parametrize("name", ["reconstruction", "vicreg", "slotcon"])
def test_the_cost_of_a_whole_batch_is_told_by_small_ones(data, name):
    made = tiny.objective(data[tiny.kinds()[name].temporal], name)
    batch = tiny.batch_of(data, made)
    many = take(batch, len(batch.images))
    for _ in range(2):  # 16 images
        many = doubled(many)
    assert flops_of_whole_step(made, many) == flops_of_step(made, many)
    assert flops_of_whole_step(made, take(many, 5)) == flops_of_step(made, take(many, 5))


def doubled(batch):
    views = batch.views and Views(*(torch.cat([part, part], 1) for part in batch.views))
    labels = {key: torch.cat([values, values]) for key, values in batch.labels.items()}
    return replace(batch, images=torch.cat([batch.images] * 2), views=views, labels=labels)


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can(blocks, tmp_path):
    check_batch(64, 4)
    with pytest.raises(UserError, match=r"train\.batch_size=8 .* train\.batch_size=9"):
        ranks.alone("simclr", blocks, tmp_path, processes=3)


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cpu", -1), ("mps", 2)])
def test_processes_that_a_machine_cannot_run_are_refused(device, gpus):
    with pytest.raises(UserError, match="--gpus"):
        devices.check_processes(torch.device(device), gpus)
