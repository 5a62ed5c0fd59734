"""Sums of objectives on one core."""

import copy
from dataclasses import replace

import pytest
import torch

from slotbench.datasets.format.views import Views
from slotbench.errors import UserError
from tests.objectives import tiny

THREE = "reconstruction+simclr:0.1+byol:2"


def test_the_loss_is_the_weighted_sum_of_the_parts_on_views_of_their_own(data):
    made, batch = tiny.made_of(data, THREE, alignment="shared")
    assert made.views == 4
    assert batch.views is not None
    total = 0.0
    losses = made.loss(batch)
    for number, (name, weight, own) in enumerate(
        (("reconstruction", 1, None), ("simclr", 0.1, slice(0, 2)), ("byol", 2, slice(2, 4)))
    ):
        # The part by itself, with the weights that it has in the sum.
        alone = tiny.objective(data[False], name, alignment=None if own is None else "shared")
        prefix = f"members.{number}."
        state = {key.removeprefix(prefix): value for key, value in made.state_dict().items()}
        alone.load_state_dict({key: state[key] for key in alone.state_dict()})
        views = None if own is None else Views(*(part[own] for part in batch.views))
        expected = alone.loss(replace(batch, views=views))["loss"]
        torch.testing.assert_close(losses[f"{name}/loss"], expected.detach())
        assert not losses[f"{name}/loss"].requires_grad
        total = total + weight * expected
    torch.testing.assert_close(losses["loss"], total)


def test_there_is_one_core_and_it_starts_as_under_any_other_objective(data):
    made = tiny.objective(data[False], THREE)
    alone = tiny.objective(data[False], "reconstruction").core.state_dict()
    stored = made.state_dict()
    assert {key for key in stored if key.startswith("core.")} == {f"core.{key}" for key in alone}
    assert all(torch.equal(stored[f"core.{key}"], value) for key, value in alone.items())
    doubled = [key for key in stored if key.startswith("members.") and key.split(".")[2] == "core"]
    assert doubled == []
    assert len({id(weight) for weight in made.parameters()}) == len(list(made.parameters()))
    for moved in (made, made.double(), copy.deepcopy(made)):
        assert all(part.core is moved.core for part in moved.parts)
        assert {w.dtype for w in moved.core.parameters()} == {next(moved.parameters()).dtype}


def test_every_part_knows_the_steps_and_moves_its_state(data):
    made, batch = tiny.made_of(data, "moco+byol:0.5+dino:0.5", steps=7)
    assert {part.steps for part in made.parts} == {7}
    made.loss(batch)["loss"].backward()
    before = tiny.state(made)
    with torch.no_grad():
        for weight in made.core.parameters():
            weight.add_(0.01)
    made.after_step(0)
    changed = {key for key in tiny.differences(before, made.state_dict()) if "members" in key}
    assert {"members.0.queue", "members.0.position", "members.2.center"} < changed
    for number in range(3):
        assert f"members.{number}.teacher.core.encoder.trunk.0.weight" in changed


@pytest.mark.parametrize(
    "text",
    ["reconstruction+simclr:0.10", " reconstruction + simclr:.1", "reconstruction:1+simclr:1e-1"],
)
def test_one_sum_has_one_spelling_and_so_one_run(data, text):
    plain, other = (tiny.config(data[False], each) for each in ("reconstruction+simclr:0.1", text))
    assert other.names["objective"] == "reconstruction+simclr:0.1"
    assert other.id == plain.id != tiny.config(data[False], "reconstruction+simclr:0.2").id


def test_masks_are_those_of_the_part_that_decodes(data):
    made, batch = tiny.made_of(data, "simclr+reconstruction:0.5")
    masks = made.masks(batch.images)
    assert masks is not None
    torch.testing.assert_close(masks, made.parts[1].masks(batch.images))
    assert tiny.objective(data[False], "simclr+byol").masks(batch.images) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reconstruction+simclrr:0.1", "Unknown objective 'simclrr'. Did you mean 'simclr'"),
        ("reconstruction+simclr+simclr:2", "names an objective twice"),
        ("reconstruction+simclr:0", "'simclr:0' is no NAME or NAME:WEIGHT"),
        ("reconstruction+simclr:nan", "'simclr:nan' is no NAME"),
        ("reconstruction+simclr:much", "'simclr:much' is no NAME"),
        ("reconstruction+", "'' is no NAME"),
        ("simclr:0.5", "a single objective has no weight"),
        ("reconstruction+covariance:0.1", "reconstruction and covariance have a decoder each"),
        ("reconstruction+random", "'random' trains nothing"),
        ("cswm+simclr:0.1", "do not go together"),
    ],
)
def test_sums_that_make_no_sense_are_refused(data, text, message):
    with pytest.raises(UserError) as caught:
        tiny.config(data[False], text)
    assert message in str(caught.value)


def test_fields_are_those_of_the_parts_by_their_names(data):
    with pytest.raises(UserError, match="temperatur"):
        tiny.objective(data[False], THREE, "simclr.temperatur=0.1")
    with pytest.raises(UserError, match=r"temperature=-1\.0: expected greater than 0"):
        tiny.objective(data[False], THREE, "simclr.temperature=-1")
    made = tiny.objective(data[False], THREE, "simclr.temperature=0.7")
    assert made.parts[1].temperature == 0.7
