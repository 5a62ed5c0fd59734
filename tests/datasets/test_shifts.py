"""Drawn shifts: image i of ``test-<shift>`` is image i of ``test`` with one thing changed."""

from functools import cache

import numpy as np
import pytest

from slotbench import registry
from slotbench.datasets.format.schema import SHIFT_FLAGS
from slotbench.datasets.shifts.kinds import ALL, SHIFTS, chosen, parse, shift_of, split_of, why_not
from slotbench.errors import UserError

DATASETS = {"clevr:clevr6": 5, "clevrtex:full": 2, "clevrtex:outd": 2, "objects-room:default": 5}
DATASETS |= {"multi-dsprites:colored_on_grayscale": 40, "multi-dsprites:binarized": 40}
DATASETS |= {"tetrominoes:default": 40}
"""Dataset -> images looked at."""


@cache
def built(reference):
    name, _, variant = reference.partition(":")
    kind = registry.get("datasets", name).load()
    return kind(variant, kind.image_size, 0)


@cache
def drawn(reference, split):
    return built(reference).render(split, 0, DATASETS[reference])


PAIRS = [
    (reference, shift)
    for reference in DATASETS
    for shift in built(reference).drawn_shifts
    if not why_not(built(reference), shift, "rendered")
]


def test_no_reason_reads_as_a_command_to_type():
    every = [
        built(f"{name}:{entry.variants[0]}") for name, entry in registry.entries("datasets").items()
    ]
    reasons = {why_not(dataset, shift, "rendered") for dataset in every for shift in SHIFTS}
    assert any("does not draw it" in reason for reason in reasons)
    assert not [reason for reason in reasons if reason.startswith("slotbench ")]


@pytest.mark.parametrize(("reference", "shift"), PAIRS)
def test_a_shifted_image_is_its_partner_but_for_what_the_shift_changes(reference, shift):
    plain, made = drawn(reference, "test"), drawn(reference, split_of(shift))
    layout = built(reference).shifted_layout(shift)
    flags = made.pop(SHIFT_FLAGS, None)
    assert layout.check(made) == DATASETS[reference]
    assert (flags is not None) == shift.startswith("object_")
    first = built(reference).layout.objects
    there = plain["visible"] if shift != "crop" else made["visible"]
    for prop in layout.properties:
        old, new = plain[prop.key], made[prop.key][:, :first]
        new_class = prop.kind == "categorical" and prop.name in SHIFTS[shift].new
        changed = there & False if flags is None else flags
        if prop.name in SHIFTS[shift].new:
            assert not new_class or (new[changed] == -1).all()
            np.testing.assert_array_equal(new[there & ~changed], old[there & ~changed])
        else:
            np.testing.assert_array_equal(new[there], old[there])
    shows = [(made["mask"] == slot + 1).any(axis=(1, 2)) for slot in range(layout.objects)]
    np.testing.assert_array_equal(made["visible"], np.stack(shows, axis=1))
    assert (plain["image"] != made["image"]).any(axis=(1, 2, 3)).all()
    if flags is not None:
        made[SHIFT_FLAGS] = flags
        one_object(reference, shift, plain, made)


def one_object(reference, shift, plain, made):
    flags = made[SHIFT_FLAGS]
    assert (flags.sum(axis=1) == 1).all()
    assert not (flags & ~made["visible"]).any()
    assert (plain["visible"] == made["visible"]).all()
    number = flags.argmax(axis=1)[:, None, None] + 1
    its = (made["mask"] == number) | (plain["mask"] == number)
    if shift != "object_shape":
        np.testing.assert_array_equal(made["mask"], plain["mask"])
    apart = abs(made["image"].astype(int) - plain["image"]).max(axis=-1)
    if reference.split(":")[0] in ("multi-dsprites", "tetrominoes"):
        # What is behind an object comes into sight where its shape gives way.
        assert shift == "object_shape" or not apart[~its].any()
    else:
        # Light and shadow reach beyond an object, but the rest of the scene stays.
        assert (apart[~its] > 40).mean() < 0.05
    assert (apart[its] > 0).mean() > (0.05 if shift == "object_shape" else 0.3)


@pytest.mark.parametrize(
    "reference", [key for key in DATASETS if "num_objects" in built(key).drawn_shifts]
)
def test_fuller_scenes_keep_the_objects_that_they_had(reference):
    plain, made = drawn(reference, "test"), drawn(reference, "test-num_objects")
    most = max(drawn(reference, split)["visible"].sum(axis=1).max() for split in ("test", "val"))
    assert made["visible"].sum(axis=1).min() > most
    before = plain["visible"].shape[1]
    assert (made["visible"][:, :before] >= plain["visible"]).all()


@pytest.mark.parametrize("reference", list(DATASETS))
def test_a_style_depends_on_the_index_alone_and_crop_shows_the_middle_larger(reference):
    again = built(reference).render("test-object_style", 1, 2)
    for key, array in drawn(reference, "test-object_style").items():
        np.testing.assert_array_equal(again[key], array[1:2], err_msg=key)
    plain, made = drawn(reference, "test"), drawn(reference, "test-crop")
    side = plain["mask"].shape[1]
    middle = ((0.5 + ((np.arange(side) + 0.5) / side - 0.5) / 1.5) * side).astype(int)
    expected = plain["mask"][:, middle][:, :, middle]
    assert (expected == made["mask"]).mean() > 0.93


def test_names_of_shifts():
    assert parse("crop, occlusion") == ("occlusion", "crop")
    assert parse("all") == (ALL,)
    assert shift_of("test-crop") == "crop"
    assert shift_of("test-empty_room") is None
    assert shift_of("test") is None
    for text, what in (
        ("crops", "Did you mean 'crop'"),
        (" , ", "no shift"),
        ("all,crop", "cannot be combined"),
    ):
        with pytest.raises(UserError, match=what):
            parse(text)


@pytest.mark.parametrize(
    ("reference", "origin", "possible"),
    [
        ("clevr:clevr6", "rendered", set(SHIFTS)),
        ("clevr:clevr10", "rendered", set(SHIFTS) - {"num_objects"}),
        ("clevr:clevr6", "original", {"occlusion", "crop", "object_color"}),
        ("clevrtex:full", "rendered", set(SHIFTS) - {"num_objects"}),
        ("clevrtex:full", "original", {"occlusion", "crop", "object_color"}),
        ("multi-dsprites:binarized", "rendered", set(SHIFTS)),
        ("multi-dsprites:colored_on_colored", "rendered", set(SHIFTS) - {"object_color"}),
        ("multi-dsprites:colored_on_colored", "original", {"occlusion", "crop"}),
        ("tetrominoes:default", "rendered", set(SHIFTS)),
        ("objects-room:default", "original", {"occlusion", "crop", "object_color"}),
        ("multi-dsprites-video:colored_on_colored", "rendered", {"occlusion", "crop"}),
    ],
)
def test_all_takes_what_is_possible_and_the_rest_is_refused_with_its_reason(
    reference, origin, possible
):
    dataset = built(reference)
    made, left_out = chosen(dataset, (ALL,), origin)
    assert set(made) == possible
    assert set(left_out) == set(SHIFTS) - possible
    for shift, reason in left_out.items():
        assert len(reason) > 20
        with pytest.raises(UserError, match=f"{shift}: {reference} cannot") as caught:
            chosen(dataset, ("crop", shift), origin)
        assert reason in caught.value.message
