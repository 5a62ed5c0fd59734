"""What the tests of datasets share: preparing, interrupting, comparing, training, fuzzing."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.config.resolve import Choice
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare import preparation as module
from slotbench.datasets.prepare.parts import Parts
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from slotbench.results import judge, verify
from slotbench.results import work as workflow
from slotbench.training.loop import Host

TINY = (
    "encoder.channels=8",
    "core.width=8",
    "core.mlp_width=8",
    "core.slots=4",
    "decoder.channels=8",
    "decoder.grid=8",
    "decoder.size=16",
    "train.batch_size=4",
    "train.picture_every=0",
)


def evaluated(path, results, metrics="segmentation,health", split="test"):
    """What an evaluation says after three steps of training on a prepared file."""
    host = Host(torch.device("cpu"))
    choice = Choice(str(path), preset="quick", steps=3, overrides=TINY)
    run = workflow.start(choice, host, path.parent, results, evaluate=False)
    assert run.status()["step"] == 3
    return judge.evaluate(run, host, path.parent, split=split, metrics=metrics)


def whole(name, folder, *, source=None, sizes=None, masks=True):
    """The path of a file that was prepared, verified, trained on and evaluated.

    ``masks`` says whether the dataset has any: without, segmentation cannot be scored, and the
    evaluation has to say so.
    """
    data = folder / "data"
    path = prepare(Request(name, None, source, 32, sizes=sizes, workers=1, data_dir=data))
    assert [file.name for file in data.iterdir()] == [path.name]
    facts = verify.dataset(path)
    assert facts["origin"] == ("rendered" if source is None else "original")
    assert facts["image_size"] == 32
    assert set(facts["manifest"]) == set(facts["images"]) >= set(SPLITS)
    assert all(facts["images"].values())
    found = evaluated(path, folder / "results")
    with DatasetFile(path) as dataset:
        attributes = dataset.attributes
        assert attributes["licence"]
        sources = json.loads(attributes["sources"])
        assert bool(sources) == (source is not None) == ("split_rule" in attributes)
        assert all(entry["file"] for entry in sources)
        assert found["fingerprint"] == dataset.fingerprint
        assert found["images"] <= dataset.size("test")
    numbers = {key: cell["value"] for key, cell in found["metrics"].items()}
    assert any(key.startswith("health/") for key in numbers)
    assert all(value is None or math.isfinite(value) for value in numbers.values()), numbers
    assert ("fg_ari/decoder" in numbers) == masks, (numbers, found["skipped"])
    assert masks or found["skipped"]
    return path


def fingerprint(path):
    with DatasetFile(path) as dataset:
        return dataset.fingerprint


def read_all(path):
    with DatasetFile(path) as dataset:
        return {
            f"{split}/{key}": array
            for split in dataset.splits
            for key, array in dataset.read(split).items()
        }


def refused(request, message):
    """Preparing ends with this message and leaves nothing; returns the error."""
    with pytest.raises(UserError, match=message) as caught:
        prepare(request)
    assert not request.data_dir.exists() or not list(request.data_dir.iterdir())
    return caught.value


def prepared_or_refused(name, variant, source, data):
    """The message of the error, or nothing; whichever: no half-written file, no parts."""
    try:
        path = prepare(Request(name, variant, source, image_size=16, data_dir=data))
    except UserError as error:
        assert list(data.glob("*")) == []
        return error.message
    verify.dataset(path)
    assert [file.name for file in data.iterdir()] == [path.name]
    path.unlink()
    return ""


def stop_after(count, context, written):
    """Writing parts is interrupted after so many, whose names go to ``written``."""
    write = Parts.write

    def write_some(self, name, batch):
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(name)
        write(self, name, batch)

    context.setattr(Parts, "write", write_some)


def killed_after(request, parts, monkeypatch):
    """Prepare, and be interrupted after so many parts; the names of those."""
    written = []
    with monkeypatch.context() as context:
        context.setattr(module, "IMPORT_PART", 2)
        stop_after(parts, context, written)
        with pytest.raises(KeyboardInterrupt):
            prepare(request)
    return written


INPUTS = pytest.mark.parametrize("inputs", [40, pytest.param(300, marks=pytest.mark.slow)])
"""How many inputs :func:`fuzz` tries: few in ``make test``, more in ``make test-all``."""


def fuzz(inputs, check, **strategies):
    """Calls ``check`` with so many drawn inputs."""
    few = settings(max_examples=inputs, derandomize=True, deadline=None, database=None)
    few(given(**strategies)(check))()


KINDS = ("replace", "replace", "replace", "insert", "remove")
TEXT = st.text('0123456789,.-"\n/\\e[]{}: ax', min_size=1, max_size=3).map(str.encode)
NEW = st.one_of(TEXT, TEXT, st.binary(min_size=1, max_size=2))
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), NEW, st.sampled_from(KINDS)), min_size=1, max_size=3
)
CUT = st.one_of(st.just(0), st.just(0), st.integers(1, 10**6))
"""Bytes that are cut off at the end; most files stay whole."""


def changed(data, changes, cut):
    """``data`` with some bytes replaced, inserted or removed, and its end cut off."""
    for place, new, kind in changes:
        start = place % (len(data) + 1)
        stop = start if kind == "insert" else start + len(new)
        data = data[:start] + (b"" if kind == "remove" else new) + data[stop:]
    return data[: len(data) - cut % (len(data) + 1)]
