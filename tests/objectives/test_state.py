"""What holds for every objective: where its state is, when it changes, what has no say."""

import dataclasses
import math

import pytest
import torch

from slotbench.datasets.format.views import Views
from slotbench.errors import UserError
from slotbench.objectives.heads import Prototypes
from slotbench.objectives.two_views import MomentumTwoViews
from tests.objectives import tiny

KINDS = tiny.kinds()
TRAINED = [name for name, kind in KINDS.items() if kind.trains]
WITH_STATE = {"moco": ("queue", "position"), "supervised": ("moments",)}
WITH_STATE |= dict.fromkeys(("dino", "slotcon", "attention-consistency"), ("center",))
WITH_STATE |= {"byol": (), "attention-affinity": ()}
"""Buffers that a step moves, by the objectives that have any, or a momentum copy."""


def running(name):
    """Statistics that batch normalisation keeps in training mode, in every torch module."""
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_changes_running_statistics_and_after_step_what_the_objective_says(data, name):
    made, batch = tiny.made_of(data, name)
    before = tiny.state(made)
    losses = [made.loss(batch)["loss"] for _ in range(2)]
    assert torch.equal(*losses)
    assert all(running(key) for key in tiny.differences(before, made.state_dict()))
    losses[-1].backward()
    with torch.no_grad():
        for weight in made.core.parameters():
            weight.add_(0.01)
    before = tiny.state(made)
    made.after_step(0)
    changed = tiny.differences(before, made.state_dict())
    own = {key for key in changed if not key.startswith(("teacher.", "target."))}
    assert own == set(WITH_STATE.get(name, ()))
    taught = any(key.startswith("teacher.core.") for key in changed)
    assert taught == isinstance(made, MomentumTwoViews)
    assert (name in WITH_STATE) == bool(changed)
    before, _ = tiny.state(made), made.eval()
    with torch.no_grad():
        made.loss(batch)
    assert tiny.differences(before, made.state_dict()) == []


@pytest.mark.parametrize(
    "name", [n for n, kind in KINDS.items() if issubclass(kind, MomentumTwoViews)]
)
def test_a_momentum_copy_begins_as_its_original_and_learns_nothing(data, name):
    made, _ = tiny.made_of(data, name)
    assert "core" in made.teacher
    for key, module in made.teacher.items():
        assert tiny.differences(module.state_dict(), made.get_submodule(key).state_dict()) == []
    assert not any(weight.requires_grad for weight in made.teacher.parameters())


def permuted(batch, order):
    views = batch.views
    if views is not None:
        views = Views(views.images[:, order], views.matrices[:, order])
    labels = {key: values[order] for key, values in batch.labels.items()}
    return dataclasses.replace(batch, images=batch.images[order], views=views, labels=labels)


@pytest.mark.parametrize("name", TRAINED)
def test_the_order_of_the_images_has_no_say(data, name):
    """With a core that draws no noise, since noise goes by the place in the batch."""
    made, batch = tiny.made_of(data, name, core="bo-qsa")
    # The negatives of cswm are the scene before: turning the batch round leaves them.
    order = torch.tensor([3, 0, 1, 2] if name == "cswm" else [2, 0, 3, 1])
    value, other = (made.loss(each)["loss"].detach() for each in (batch, permuted(batch, order)))
    torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_numbers_that_no_loss_can_use_are_refused_by_name(name):
    for item in dataclasses.fields(KINDS[name].Config):
        whole = (0, -3) if item.default else (-3,)  # a field that is 0 takes 0
        values = {int: whole, float: (-2.0, math.nan, math.inf)}.get(type(item.default), ())
        for value in values:
            with pytest.raises(ValueError, match=rf"{item.name}={value}: expected"):
                KINDS[name].Config(**{item.name: value})


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.compares_images])
def test_a_batch_of_one_is_refused_where_images_are_compared(data, name):
    with pytest.raises(UserError, match=rf"train\.batch_size=1: the objective '{name}' compares"):
        tiny.made_of(data, name, "train.batch_size=1")


def test_the_edges_of_what_can_be_used_are_not_refused(data):
    for text in ("momentum=1", "momentum=0", "center_momentum=1.0"):
        tiny.made_of(data, "dino", f"objective.{text}")
    tiny.made_of(data, "cosine", "objective.margin=-0.5", "objective.weight=0")
    tiny.made_of(data, "simclr", "objective.temperature=none")
    with pytest.raises(UserError, match=r"temperature=0.0: expected greater than 0"):
        tiny.made_of(data, "simclr", "objective.temperature=0")


@pytest.mark.parametrize("name", TRAINED)
def test_half_precision_gives_about_the_same_loss(data, name):
    """Cores and heads round to 8 bits; what is computed from their results does not."""
    alignment = "shared" if KINDS[name].takes_alignment else None
    made, batch = tiny.made_of(data, name, alignment=alignment)
    with torch.no_grad():
        exact = made.loss(batch)["loss"]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = made.loss(batch)["loss"]
    assert rounded.dtype == torch.float32
    assert math.isclose(float(rounded), float(exact), rel_tol=0.05, abs_tol=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_computed_from_networks_is_computed_in_single_precision(data, name):
    """Autocast changes nothing but what networks compute, which here it may not."""
    made, batch = tiny.made_of(data, name)
    for part in made.modules():
        if part is not made and not isinstance(part, Prototypes):
            part.forward = torch.autocast("cpu", enabled=False)(part.forward)
    expected = made.loss(batch)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        found = made.loss(batch)["loss"]
    tiny.assert_same_loss(made, found, expected, rtol=1e-6, atol=1e-7)
