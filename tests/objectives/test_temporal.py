"""The objectives on frames, against loops over scenes and slots."""

import math

import pytest
import torch

from tests.objectives import tiny

SCENES, SLOTS = tiny.BATCH, 3


def made_of(data, name, *extra):
    made = tiny.objective(data[True], name, *extra)
    return made, tiny.batch_of(data, made)


def slots_of(made, batch):
    """Aligned slots, by frame, scene and slot."""
    vectors = made.rows(batch).vectors
    assert vectors.shape == (2, SCENES * SLOTS, 8)
    return [
        [list(frame[SLOTS * scene : SLOTS * (scene + 1)]) for scene in range(SCENES)]
        for frame in vectors
    ]


def entropy(anchor, candidates, positive, temperature):
    """Cross-entropy of one anchor to its positive by cosine similarity."""
    scores = [float(torch.cosine_similarity(anchor, each, dim=0)) for each in candidates]
    total = math.fsum(math.exp(score / temperature) for score in scores)
    return math.log(total) - scores[positive] / temperature


def mean(values):
    return math.fsum(values) / len(values)


@torch.no_grad()
def test_contrasting_sets_compares_the_moved_set_with_all_next_sets(data):
    made, batch = made_of(data, "contrasting-sets")
    noise = made.core.noise(2 * SCENES, batch.generator("slots"))
    sets = [
        [
            made.core(frame[scene : scene + 1], noise[SCENES * index + scene][None]).slots[0]
            for scene in range(SCENES)
        ]
        for index, frame in enumerate(batch.views.images)
    ]

    def vector(slots):
        return made.whole(torch.stack([made.each(slot) for slot in slots]).mean(dim=0))

    moved = [vector(slots + made.transition(slots)) for slots in sets[0]]
    later = [vector(slots) for slots in sets[1]]
    expected = mean([entropy(moved[scene], later, scene, 0.5) for scene in range(SCENES)])
    assert float(made.loss(batch)["loss"]) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(vector(sets[0][0].flip(0)), vector(sets[0][0]))


@torch.no_grad()
def test_slot_contrast_next_compares_each_slot_with_all_slots_of_the_batch(data):
    made, batch = made_of(data, "slot-contrast-next")
    now, later = (
        [made.projector(slot) for scene in frame for slot in scene]
        for frame in slots_of(made, batch)
    )
    expected = mean([entropy(now[row], later, row, 0.1) for row in range(SCENES * SLOTS)])
    assert float(made.loss(batch)["loss"]) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_scn_finds_a_slot_among_its_index_and_among_its_image(data):
    made, batch = made_of(data, "scn")
    now, later = (
        [[made.projector(slot) for slot in scene] for scene in frame]
        for frame in slots_of(made, batch)
    )
    time, diversity = [], []
    for scene in range(SCENES):
        for slot in range(SLOTS):
            anchor = now[scene][slot]
            same_index = [later[other][slot] for other in range(SCENES)]
            time.append(entropy(anchor, same_index, scene, 0.1))
            diversity.append(entropy(anchor, later[scene], slot, 0.1))
    losses = made.loss(batch)
    assert float(losses["time"]) == pytest.approx(mean(time), rel=1e-5)
    assert float(losses["diversity"]) == pytest.approx(mean(diversity), rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(mean(time) + mean(diversity), rel=1e-5)


@torch.no_grad()
def test_cswm_is_the_energy_of_the_transition_and_a_hinge(data):
    """Kipf sums an energy over dimensions; here it is a mean, of slots in units of their norm."""
    made, batch = made_of(data, "cswm", "objective.hinge=3")
    now, later = (
        [
            [(slot - slot.mean()) / (slot.var(correction=0) + 1e-5).sqrt() for slot in scene]
            for scene in frame
        ]
        for frame in slots_of(made, batch)
    )

    def energy(first, second):
        return float((first - second).square().mean()) / (2 * 0.5**2)

    positive, hinge = [], []
    for scene in range(SCENES):
        negative = []
        for slot in range(SLOTS):
            own = now[scene][slot]
            others = [now[scene][other] for other in range(SLOTS) if other != slot]
            message = sum(made.edge(torch.cat([own, other])) for other in others)
            moved = own + made.node(torch.cat([own, message]))
            positive.append(energy(moved, later[scene][slot]))
            negative.append(energy(now[scene - 1][slot], later[scene][slot]))
        hinge.append(max(0.0, 3 - mean(negative)))
    losses = made.loss(batch)
    assert float(losses["positive"]) == pytest.approx(mean(positive), rel=1e-4)
    assert float(losses["loss"]) == pytest.approx(mean(positive) + mean(hinge), rel=1e-4)
    assert mean(hinge) > 0
