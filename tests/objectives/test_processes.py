"""Two processes with half the batch each do what one does with the whole of it."""

import pytest
import torch

from tests.commands import run_ranks
from tests.objectives import processes, tiny
from tests.objectives.processes import CASES

WORLD = 2


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """What each process found, for every case."""
    meeting = tmp_path_factory.mktemp("meeting")
    run_ranks("tests.objectives.processes", meeting, data[False].path.parent, meeting)
    return [torch.load(meeting / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(filter(None, case)))
def test_gradients_and_state_are_those_of_one_process(data, shared, case):
    whole = processes.outcome(*tiny.made_of(data, case[0], alignment=case[1]))
    for found in (part[case] for part in shared):
        torch.testing.assert_close(found["loss"], whole["loss"], rtol=1e-5, atol=1e-6)
        assert found["gradients"].keys() == whole["gradients"].keys()
        scale = torch.stack([g.norm() for g in whole["gradients"].values()]).norm()
        for name, gradient in whole["gradients"].items():
            assert (found["gradients"][name] - gradient).norm() <= 2e-5 * scale, name
        for name, value in whole["state"].items():
            torch.testing.assert_close(found["state"][name], value, rtol=1e-5, atol=1e-6)
    one, two = (part[case]["state"] for part in shared)
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


def test_a_loss_of_half_the_batch_is_another_one(data):
    """So that the test above can fail: what couples samples is not the mean of two halves."""
    for name in ("simclr", "vicreg", "swav", "covariance", "cswm", "supervised"):
        made, batch = tiny.made_of(data, name)
        whole = made.loss(batch)["loss"].detach()
        halves = [
            made.loss(processes.replace(processes.share(batch, rank, WORLD), world=1, rank=0))
            for rank in range(WORLD)
        ]
        mean = torch.stack([half["loss"].detach() for half in halves]).mean()
        assert not torch.allclose(mean, whole, rtol=1e-3)
