"""What the tests of datasets that are folders of files share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.config.resolve import Choice
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare import preparation as module
from slotbench.datasets.prepare.parts import Parts
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from slotbench.results import judge, verify
from slotbench.results import work as workflow
from slotbench.training.loop import Host
from tests.datasets.whole import TINY


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


def train_and_evaluate(path, results):
    """The metrics after three steps on a prepared file."""
    host = Host(torch.device("cpu"))
    choice = Choice(str(path), preset="quick", steps=3, overrides=TINY)
    run = workflow.start(choice, host, path.parent, results, evaluate=False)
    metrics = "segmentation"
    found = judge.evaluate(run, host, path.parent, split="test", metrics=metrics)
    return dict(found)


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
