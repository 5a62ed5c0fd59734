"""Every core trains under every objective with every alignment, and resumes where it stopped."""

import math
import shutil
from collections import Counter

import pytest
import safetensors.torch

from slotbench import registry
from slotbench.errors import UserError
from tests.objectives import tiny

CORES = registry.names("cores")
PAIRS = [
    (name, alignment)
    for name, entry in registry.entries("objectives").items()
    for alignment in (registry.names("alignments") if entry.load().takes_alignment else [None] * 5)
]
"""Objective and alignment; one that takes none stands there as often as the others."""


def cover():
    """Every objective with every alignment, and as many cores; every core with every alignment."""
    cases = []
    for name, alignment in PAIRS:
        seen = Counter(core for core, _, other in cases if other == alignment)
        mine = Counter(core for core, other, _ in cases if other == name)
        core = min(CORES, key=lambda core, seen=seen, mine=mine: (seen[core], mine[core]))
        cases.append((core, name, alignment))
    return cases


COVER = cover()
SUMS = [("slot-attention", name, None) for name in ("moco:0.1+slotcon", "contrasting-sets+cswm")]
REST = [(core, *pair) for core in CORES for pair in dict.fromkeys(PAIRS)]
CASES = [
    *COVER,
    *SUMS,
    *(pytest.param(*case, marks=pytest.mark.slow) for case in REST if case not in COVER),
]


class Stream:
    """The loop's batches. Objectives that ask for the same share one copy."""

    def __init__(self):
        self.made = {}

    def batch(self, going, step):
        asked = going.objective
        key = (going.dataset.path, asked.views, asked.temporal, asked.reads, step)
        if key not in self.made:
            self.made[key] = tiny.batch(going, step)
        return self.made[key]


@pytest.fixture(scope="module")
def stream():
    return Stream()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all, emptied after each: a folder a test would take longer than its steps."""
    path = tmp_path_factory.mktemp("matrix") / "run"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_what_is_quick_covers_every_pair_with_an_alignment():
    objectives, alignments = registry.entries("objectives"), registry.names("alignments")
    for name, entry in objectives.items():
        taken = set(alignments) if entry.load().takes_alignment else {None}
        assert {case[2] for case in COVER if case[1] == name} == taken
        assert len({case[0] for case in COVER if case[1] == name}) >= 3
    for core in CORES:
        assert {case[2] for case in COVER if case[0] == core} == {None, *alignments}


@pytest.mark.parametrize(("core", "name", "alignment"), CASES)
def test_trains_saves_and_goes_on(data, stream, folder, core, name, alignment):
    dataset = data[tiny.is_temporal(name)]
    made = tiny.config(dataset, name, core=core, alignment=alignment)
    shutil.rmtree(folder, ignore_errors=True)
    if core in ("kmeans", "slot-mlp", "global") and name.startswith("attention-"):
        going = tiny.trainer(folder, dataset, made)
        with pytest.raises(UserError, match=f"core {core} learns no attention"):
            going.train_step(stream.batch(going, 0))
        return
    going = tiny.trainer(folder, dataset, made)
    going.objective.train()
    before = tiny.state(going.objective.core)
    for step in range(min(3, going.steps)):
        losses = going.train_step(stream.batch(going, step))
        assert all(math.isfinite(float(value)) for value in losses.values()), losses
        found = [weight.grad for weight in going.objective.core.encoder.parameters()]
        assert any(each is not None and each.abs().max() > 0 for each in found)
        going.step += 1
    going.save()
    resumed = tiny.trainer(folder, dataset, made)
    resumed.objective.train()
    assert resumed.step == going.step
    saved = tiny.state(going.objective)
    safetensors.torch.save(going.objective.state_dict())  # two names of one tensor are refused
    assert tiny.differences(saved, resumed.objective.state_dict()) == []
    # What trains has moved; the floor is what it was.
    trains = going.objective.trains
    assert bool(tiny.differences(before, going.objective.core.state_dict())) == trains
    if not trains:
        assert going.steps == 0
        return
    one, two = (each.train_step(stream.batch(each, 3)) for each in (going, resumed))
    assert one == two
    after = going.objective.state_dict()
    assert tiny.differences(after, resumed.objective.state_dict()) == []
    assert tiny.differences(saved, after)
