import dataclasses

import pytest

from slotbench.config import mixture, tuned
from slotbench.config.mixture import canonical
from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import parse, parse_override
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError


def make(blocks, *overrides, **choices):
    choice = Choice(**{"preset": "quick", **choices, "overrides": overrides})
    with DatasetFile(blocks / "clevr.h5") as dataset:
        return resolve(choice, dataset_info(dataset))


def test_the_id_names_what_is_computed_and_not_how_it_was_typed(blocks):
    config = make(blocks)
    same = make(blocks, f"train.steps={config.train.steps}")
    assert same.id == config.id
    different = [make(blocks, seed=1), make(blocks, steps=7), make(blocks, "encoder.channels=8")]
    different += [make(blocks, objective="simclr"), make(blocks, preset="base")]
    assert len({config.id, *(other.id for other in different)}) == 6


def test_paper_takes_the_decoder_that_the_paper_has_for_the_dataset(blocks):
    info = make(blocks).dataset
    for dataset, decoder, channels in (
        ("clevr", "broadcast", 64),
        ("multi-dsprites", "broadcast-full", 32),
        ("tetrominoes", "broadcast-full", 32),
    ):
        config = resolve(Choice(preset="paper"), dataclasses.replace(info, name=dataset))
        assert config.names["decoder"] == decoder
        assert (
            config.sections["decoder"].channels == config.sections["encoder"].channels == channels
        )


def test_quick_sees_single_pixels_where_objects_have_one_colour(blocks):
    info = make(blocks).dataset
    for dataset, encoder, iterations, scale in (
        ("multi-dsprites:colored_on_colored", "pixels", 1, 0.0),
        ("multi-dsprites:colored_on_grayscale", "pixels", 1, 0.0),
        ("multi-dsprites:binarized", "strided-cnn", 5, 1.0),
        ("tetrominoes:default", "pixels", 5, 1.0),
        ("clevr:clevr6", "strided-cnn", 5, 1.0),
    ):
        name, variant = dataset.split(":")
        config = resolve(
            Choice(preset="quick"), dataclasses.replace(info, name=name, variant=variant)
        )
        core = config.sections["core"]
        assert config.names["encoder"] == encoder
        assert (core.iterations, core.key_position_scale) == (iterations, scale)


def test_slots_default_to_one_more_than_the_objects(blocks):
    assert make(blocks).sections["core"].slots == 4
    assert make(blocks, "core.slots=2").sections["core"].slots == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stepps=3", "Did you mean 'train.steps'"),
        ("trian.steps=3", "Did you mean 'train'"),
        ("train.steps=many", "expected a whole number"),
        ("train.compile=perhaps", "expected true or false"),
        ("train.decay=cosin", "Did you mean 'cosine'"),
        ("encoder.name=strided-cn", "Did you mean 'strided-cnn'"),
        ("core.name=x", "--core NAME"),
        ("views.flip=0.5", "has no views"),
        ("train.steps", "SECTION.FIELD=VALUE"),
        ("train.steps=0", "greater than or equal to 1"),
        ("core.slots=٣", "expected a whole number"),
        ("core.slots=1_0", "expected a whole number"),
    ],
)
def test_a_bad_override_is_named(blocks, override, message):
    with pytest.raises(UserError) as caught:
        make(blocks, override)
    assert message in str(caught.value)


@pytest.mark.parametrize("given", [{"steps": 4}, {"budget": "64:images"}])
def test_two_numbers_of_steps_are_refused(blocks, given):
    with pytest.raises(UserError, match=r"train.steps=3, --.*: which"):
        make(blocks, "train.steps=3", **given)


def test_an_alignment_is_refused_where_there_is_nothing_to_align(blocks):
    with pytest.raises(UserError, match="takes none"):
        make(blocks, alignment="pool")


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("1e4", int, 10_000),
        ("1e-3", float, 1e-3),
        ("true", bool, True),
        ("none", float | None, None),
        ("0.5,1", tuple[float, float], (0.5, 1.0)),
    ],
)
def test_values_are_read_by_type(text, wanted, value):
    assert parse(text, wanted, "field") == value


@pytest.mark.parametrize("text", ["1_0", "٣", "nan", ""])
def test_a_number_is_what_people_write_wherever_it_is_typed(blocks, text):
    with pytest.raises(UserError, match="expected a"):
        make(blocks, f"train.learning_rate={text}")
    with pytest.raises(UserError, match="expected a number"):
        make(blocks, budget=f"{text}:steps")
    with pytest.raises(UserError, match="is no NAME or NAME:WEIGHT"):
        make(blocks, objective=f"simclr+reconstruction:{text}")


@pytest.mark.parametrize("weight", [1e-300, 0.1, 1, 1e12, 1e300])
def test_a_sum_of_objectives_is_written_as_it_can_be_read(weight):
    written = canonical(
        f" simclr + byol:{weight:.3f}" if weight > 0.01 else f"simclr+byol:{weight}"
    )
    assert [part.weight for part in mixture.parse(written)] == [1, pytest.approx(weight)]
    assert canonical(written) == written


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"steps": 99}, r"--steps 99: expected start_steps=800 <= steps=99\."),
        ({"budget": "99:steps"}, r"--budget 99:steps: expected start_steps=800 <= steps=99\."),
    ],
)
def test_too_few_steps_for_several_starts_are_named_as_they_were_typed(blocks, choices, message):
    with pytest.raises(UserError, match=message):
        make(blocks, "train.starts=2", **choices)


def test_an_override_has_three_parts():
    assert parse_override("a.b=c=d") == ("a", "b", "c=d")


def test_tuned_settings_of_the_user_come_before_the_packages_which_is_never_written(
    tmp_path, monkeypatch
):
    facts = {"preset": "quick", "steps": 4, "trials": 2, "seeds": (1000,), "date": "2026-01-01"}
    ours, theirs = (
        tuned.Tuned(**facts, score=score, settings={"train.clip": str(score)})
        for score in (0.5, 0.25)
    )
    monkeypatch.setattr(tuned, "SHIPPED", tmp_path / "package")
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "package")
    tuned.write("clevr", "clevr6", "a", theirs)
    tuned.write("clevr", "clevr6", "b", theirs)
    (file,) = (tmp_path / "package").iterdir()
    before = file.read_bytes()
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "results" / "tuned")
    tuned.write("clevr", "clevr6", "a", ours)
    found = tuned.read("clevr", "clevr6")
    assert {key: entry.tuned for key, entry in found.items()} == {"a": ours, "b": theirs}
    assert file.read_bytes() == before
