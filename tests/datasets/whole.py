"""What the tests of datasets share: preparing, interrupting, comparing, training."""

import json
import math

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare import preparation as module
from slotbench.datasets.prepare.parts import Parts
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from slotbench.results import judge, verify
from tests.small import CPU, started


def evaluated(path, results, metrics="segmentation,health", split="test"):
    """What an evaluation says after three steps of training on a prepared file."""
    few = ("train.batch_size=4", "core.slots=4")
    run = started(path.parent, results, *few, dataset=str(path))
    assert run.status()["step"] == 3
    return judge.evaluate(run, CPU, path.parent, split=split, metrics=metrics)


def whole(name, folder, variant=None, *, source=None, sizes=None, masks=True):
    """The path of a file that was prepared, verified, trained on and evaluated."""
    data = folder / "data"
    path = prepare(Request(name, variant, source, 32, sizes=sizes, workers=1, data_dir=data))
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


def requests_of(name, size, variant=None):
    """A function: folder of original files -> request; the data folder lies beside it."""

    def request(root, variant=variant, **fields):
        asked = {"image_size": size, "data_dir": root.parent / "data", **fields}
        return Request(name, variant, root, **asked)

    return request


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
