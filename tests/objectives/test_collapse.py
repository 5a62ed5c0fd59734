"""Collapse is seen: slot health tells it, and the leaderboard's row says so."""

import pytest
import torch
from torch import nn

from slotbench import registry
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, images_on
from slotbench.datasets.format.views import ViewConfig, make_views
from slotbench.evaluation import health
from slotbench.evaluation.collapse import GREATEST_COSINE, LEAST_RANK, collapse_warning
from slotbench.objectives.objective import TrainBatch
from slotbench.results.leaderboard import leaderboard
from slotbench.rng import torch_generator
from slotbench.training.build import build
from tests.objectives import tiny
from tests.results.results import add_run, only, text_of

STEPS = 100
SIZES = ("core.width=16", "core.slots=4", "encoder.stride=4", "encoder.channels=16")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scenes(blocks):
    return DatasetFile(blocks / "clevr.h5")


def facts(slots):
    """Slot health by the evaluation's keys."""
    return {
        "health/effective_rank": health.effective_rank(slots),
        "health/slot_cosine": float(health.slot_cosine(slots).mean()),
    }


@torch.no_grad()
def measured(made, scenes):
    """Of the test images."""
    images = images_on(Loader(scenes, "test", 24, 0).batch(0), CPU)
    return facts(made.eval().core(images, made.core.noise(24, torch_generator("health"))).slots)


def train(made, scenes, rate):
    """Train on two views of the images; the last loss."""
    loader, optimizer = Loader(scenes, "train", 16, 0), torch.optim.Adam(made.parameters(), rate)
    for step in range(STEPS):
        images = images_on(loader.batch(step), CPU)
        views = make_views(images, ViewConfig(), (0, "train", step))
        loss = made.loss(TrainBatch(images, views, 0, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        made.after_step(step)
    return float(loss.detach())


def simsiam(scenes, seed, stop):
    """SimSiam on the slots themselves: its projector could take a collapse upon itself."""
    fields = ("objective.hidden=16", "objective.bottleneck=8", f"objective.stop_gradient={stop}")
    choices = tiny.config(scenes, "simsiam", *SIZES, *fields, alignment="hungarian", seed=seed)
    made = build(choices).train()
    made.projector = nn.Identity()
    return made


@pytest.mark.parametrize("seed", range(2))
def test_simsiam_collapses_without_its_stop_gradient_and_health_says_so(scenes, seed):
    collapsed, healthy = simsiam(scenes, seed, "false"), simsiam(scenes, seed, "true")
    before = measured(collapsed, scenes)
    assert collapse_warning(before) is None
    collapsed.train()
    # It looks like success: views agree, better than where the gradient is stopped.
    loss, with_stop = (train(made, scenes, 3e-3) for made in (collapsed, healthy))
    assert loss < -0.97
    assert loss < with_stop
    found = measured(collapsed, scenes)
    assert (
        found["health/slot_cosine"] > 0.99 > 0.9 > measured(healthy, scenes)["health/slot_cosine"]
    )
    assert "the representation collapsed" in str(collapse_warning(found))


def test_a_contrast_does_not_collapse(scenes):
    made = build(tiny.config(scenes, "simclr", *SIZES, alignment="hungarian")).train()
    train(made, scenes, 3e-3)
    found = measured(made, scenes)
    assert collapse_warning(found) is None
    assert found["health/effective_rank"] > 2


@pytest.mark.parametrize("core", registry.names("cores"))
def test_no_untrained_core_looks_collapsed(scenes, core):
    sizes = ("core.width=32", "encoder.channels=32", "encoder.stride=4")
    made = tiny.objective(scenes, "random", *sizes, core=core)
    assert collapse_warning(measured(made, scenes)) is None


def test_the_rule_against_representations_made_by_hand():
    generator = torch_generator("collapse")
    full = torch.randn(200, 4, 16, generator=generator)
    line = full[..., :1] * torch.randn(16, generator=generator) + 0.01 * full
    point = torch.ones(16) + 0.01 * full
    by_image = full[:, :1] + 0.01 * torch.randn(200, 4, 16, generator=generator)
    made = (full, line, point, by_image, torch.ones(200, 4, 16))
    told = [collapse_warning(facts(slots)) for slots in made]
    assert told[0] is None
    assert "along one line at most (effective rank 1.0" in str(told[1])
    assert "all slots of an image are alike (cosine similarity 1.000)" in str(told[2])
    assert "all slots of an image are alike" in str(told[3])
    assert "effective rank 0.00" in str(told[4])


def test_missing_values_say_nothing_and_the_thresholds_are_where_they_are_said_to_be():
    rank, cosine = "health/effective_rank", "health/slot_cosine"
    quiet = ({}, {rank: None, cosine: None}, {rank: LEAST_RANK}, {cosine: GREATEST_COSINE})
    assert [collapse_warning(found) for found in quiet] == [None] * 4
    for found in ({rank: LEAST_RANK - 0.01}, {cosine: GREATEST_COSINE + 0.001}):
        assert collapse_warning(found) is not None


def test_the_row_on_the_leaderboard_says_which_seeds_collapsed(tmp_path):
    for seed, rank in enumerate((1.04, 6.2, 1.1)):
        numbers = {"health/effective_rank": rank, "health/slot_cosine": 0.5}
        add_run(tmp_path, numbers, objective="simsiam", alignment="pool", seed=seed)
    board = leaderboard(tmp_path)
    row = only(board)
    assert row["seeds"] == 3
    assert [text[:38] for text in row["warnings"]] == [
        "seed 0: the representation collapsed: ",
        "seed 2: the representation collapsed: ",
    ]
    assert "effective rank 1.04" in " ".join(text_of(board, wide=True).split())
