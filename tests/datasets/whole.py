"""A dataset from beginning to end, as a user takes it: prepare, verify, train, evaluate."""

import json
import math

import torch

from slotbench.config.resolve import Choice
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare.preparation import Request, prepare
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


def whole(
    name, folder, *, variant=None, source=None, image_size=32, sizes=None, masks=True, **fields
):
    """The path of the file, after three steps of training on it and an evaluation of those.

    ``masks`` says whether the dataset has any: without, segmentation cannot be scored, and the
    evaluation has to say so. ``fields`` are further ones of the request.
    """
    data = folder / "data"
    options = {} if image_size is None else {"image_size": image_size}
    request = Request(
        name, variant, source, sizes=sizes, workers=1, data_dir=data, **options, **fields
    )
    path = prepare(request)
    assert [file.name for file in data.iterdir()] == [path.name]
    _is_whole(path, source, image_size)
    host = Host(torch.device("cpu"))
    choice = Choice(str(path), preset="quick", steps=3, overrides=TINY)
    run = workflow.start(choice, host, data, folder / "results", evaluate=False)
    assert run.status()["step"] == 3
    found = judge.evaluate(run, host, data, split="test", metrics="segmentation,health")
    _is_judged(found, path, masks)
    return path


def _is_whole(path, source, image_size):
    facts = verify.dataset(path)
    assert facts["origin"] == ("rendered" if source is None else "original")
    assert image_size in (None, facts["image_size"])
    assert set(facts["manifest"]) == set(facts["images"]) >= set(SPLITS)
    assert all(facts["images"].values())
    with DatasetFile(path) as dataset:
        assert dataset.attributes["licence"]
        sources = json.loads(dataset.attributes["sources"])
        assert bool(sources) == (source is not None)
        if sources:
            assert all(entry["file"] for entry in sources)
            assert dataset.attributes["split_rule"]


def _is_judged(found, path, masks):
    with DatasetFile(path) as dataset:
        assert found["fingerprint"] == dataset.fingerprint
        assert found["images"] <= dataset.size("test")
    numbers = {key: cell["value"] for key, cell in found["metrics"].items()}
    assert any(key.startswith("health/") for key in numbers)
    assert all(value is None or math.isfinite(value) for value in numbers.values()), numbers
    assert ("fg_ari/decoder" in numbers) == masks, (numbers, found["skipped"])
    assert masks or found["skipped"]
