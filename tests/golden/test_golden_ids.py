"""Ids of resolved configurations. An id is the name of a run's folder: it must not change."""

import json

import pytest

from slotbench import registry
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo, RunConfig
from tests.golden.store import FOLDER, load

INFO = DatasetInfo("clevr", "clevr6", "rendered", 16 * "0123", 64, 6, {})
VIDEO = DatasetInfo("multi-dsprites-video", "binarized", "rendered", 16 * "4567", 64, 3, {})
DOCUMENTS = ("config-reconstruction.json", "config-combination.json")
"""Two ``config.json`` as runs left them, verbatim; the first is of an early published run."""
OVERRIDES = {
    "seed": {"seed": 7},
    "steps": {"steps": 123},
    "budget of seconds": {"budget": "600:seconds"},
    "budget of flops": {"budget": "2e15:flops"},
    "budget of images": {"budget": "32000:images"},
    "train": {"overrides": ("train.learning_rate=1e-4", "train.decay=none", "train.clip=0.5")},
    "core": {"overrides": ("core.slot_init=learned", "core.slots=9", "core.iterations=2")},
    "views": {"objective": "simclr", "overrides": ("views.flip=0.25",)},
    "combination": {"objective": "reconstruction+simclr:0.1"},
    "combination, pooled": {"objective": "reconstruction+simclr:0.1", "alignment": "pool"},
    "combination, other order": {"objective": "simclr:0.1+reconstruction"},
    "combination of three": {"objective": "reconstruction+vicreg:0.5+byol:2"},
    "combination, a part's field": {
        "objective": "reconstruction+simclr:0.1",
        "overrides": ("simclr.temperature=0.2",),
    },
    "covariance, weight": {"objective": "covariance", "overrides": ("objective.weight=0.25",)},
    "resnet, narrow": {"overrides": ("encoder.name=resnet18", "encoder.base=16")},
    "patch decoder, field": {"overrides": ("decoder.name=patch-mlp", "decoder.patch=8")},
}


def cases():
    """What is typed, by a name; every component once, then presets, then other options."""
    named = {f"core {name}": {"core": name} for name in registry.names("cores")}
    named |= {
        f"preset {name}": {"preset": name} for name in registry.names("presets") if name != "tuned"
    }
    for kind in ("encoder", "decoder"):
        named |= {
            f"{kind} {name}": {"overrides": (f"{kind}.name={name}",)}
            for name in registry.names(f"{kind}s")
        }
    named |= {f"objective {name}": {"objective": name} for name in registry.names("objectives")}
    for name in registry.names("alignments"):
        for objective in ("simclr", "byol"):
            named[f"{objective} by {name}"] = {"objective": objective, "alignment": name}
    return {**named, **OVERRIDES}


def made(**typed):
    """A configuration on the fixed data."""
    kind = registry.entries("objectives").get(typed.get("objective", ""))
    info = VIDEO if kind is not None and kind.load().temporal else INFO
    return resolve(Choice(**{"preset": "quick", **typed}), info)


def found():
    """Case or document -> id."""
    ids = {name: made(**typed).id for name, typed in cases().items()}
    return ids | {name: RunConfig.from_dict(document(name)).id for name in DOCUMENTS}


def document(name):
    """A stored ``config.json``."""
    return dict(json.loads((FOLDER / name).read_text()))


STORED = load("ids")


def test_every_case_has_its_id():
    assert set(cases()) | set(DOCUMENTS) == set(STORED)


@pytest.mark.parametrize("name", list(cases()))
def test_an_id_stays(name):
    config = made(**cases()[name])
    assert config.id == STORED[name]
    again = json.loads(json.dumps(config.to_dict()))
    assert RunConfig.from_dict(again).id == STORED[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_old_document_is_read(name):
    config = RunConfig.from_dict(document(name))
    assert config.id == STORED[name]
    assert json.loads(json.dumps(config.to_dict())) == document(name)
