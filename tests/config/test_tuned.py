"""Files of tuned settings: those that tuning writes, and those that the package ships."""

import os
from dataclasses import replace

import pytest

from slotbench import registry
from slotbench.config import tuned
from slotbench.config.resolve import Choice, resolve
from slotbench.errors import UserError

FACTS = {"steps": 4, "trials": 2, "seeds": (1000,), "date": "2026-01-01", "score": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=" + "[" * 9999, "is not valid TOML"),
        (b"\xff", "is not valid TOML"),
        (None, "is not a regular file"),
    ],
)
def test_a_file_of_tuned_settings_that_cannot_be_read_is_named(tuned_folder, text, message):
    tuned_folder.mkdir()
    file = tuned_folder / "clevr-clevr6.toml"
    if text is None:
        os.mkfifo(file)
    else:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=rf"clevr-clevr6\.toml {message}") as error:
        tuned.read("clevr", "clevr6")
    assert "--preset quick" in error.value.advice


@pytest.mark.parametrize(
    ("preset", "field", "value", "message"),
    [
        ("nothing", "train.clip", "1", "Unknown preset 'nothing'"),
        ("tuned", "train.clip", "1", "preset tuned: expected the preset that"),
        ("quick", "nothing.clip", "1", "Unknown section 'nothing'"),
        ("quick", "decoder.channels", "8", "the objective 'simclr' has no decoder"),
        ("quick", "train.nothing", "1", "Unknown field 'train.nothing'"),
        ("quick", "train.clip", "x", "train.clip=x: expected a number"),
        ("quick", "encoder.name", "nothing", "Unknown encoder 'nothing'"),
        ("quick", "clip", "1", "expected SECTION.FIELD=VALUE"),
    ],
)
@pytest.mark.usefixtures("tuned_folder")
def test_tuned_settings_that_do_not_fit_are_named_with_their_file(
    info, preset, field, value, message
):
    key = tuned.key_of("slot-attention", "simclr", registry.names("alignments")[0])
    settings = tuned.Tuned(preset=preset, settings={field: value}, **FACTS)
    file = tuned.write("clevr", "clevr6", key, settings)
    with pytest.raises(UserError) as caught:
        resolve(Choice(objective="simclr", preset="tuned"), info)
    assert caught.value.message.startswith(f"{file}: {key}: ")
    assert message in caught.value.message
    assert "--preset quick" in caught.value.advice


@pytest.mark.usefixtures("tuned_folder")
def test_tuned_settings_name_components_and_any_text(info):
    key = tuned.key_of("slot-attention", "simclr", registry.names("alignments")[0])
    given = {"encoder.name": "cnn", "encoder.depth": "1", "core.width": "8"}
    settings = tuned.Tuned(preset="quick", settings=given, **FACTS)
    file = tuned.write("clevr", "clevr6", key, settings)
    assert tuned.read("clevr", "clevr6")[key].tuned == settings
    config = resolve(Choice(objective="simclr", preset="tuned"), info)
    assert (config.names["encoder"], config.sections["encoder"].depth) == ("cnn", 1)
    odd = settings.model_copy(update={"settings": {"encoder.weights": '/a "b"\\\U0001f600'}})
    tuned.write("clevr", "clevr6", "odd", odd)
    assert tuned.read("clevr", "clevr6")["odd"].tuned == odd
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # as editors on Windows do
    assert tuned.read("clevr", "clevr6")["odd"].tuned == odd


UNFINISHED = {"multi-dsprites-colored_on_colored"}
"""Data sets of the study on which not all contestants are tuned yet."""


@pytest.mark.parametrize("file", sorted(tuned.SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_shipped_settings_fit_with_equal_budgets(info, file):
    """Every contestant that the package tuned resolves."""
    name, _, variant = file.stem.rpartition("-")
    info = replace(info, name=name, variant=variant)
    known = {key: entry.tuned for key, entry in tuned.read(name, variant).items()}
    both = {"slot-attention/reconstruction", "slot-attention/slot-infonce"} <= known.keys()
    assert both != (file.stem in UNFINISHED)
    assert len({(each.trials, each.steps, each.seeds) for each in known.values()}) == 1
    for key, each in known.items():
        config = resolve(Choice(objective=key.split("/")[1], preset="tuned"), info)
        assert config.to_dict()["tuning"] == {"trials": each.trials, "steps": each.steps}
