"""Images, masks and properties of every dataset that is drawn, its variants and its shifts.

Of an image, one value in a thousand may differ by at most 2: another architecture or C library may
round a colour to the other side. On one machine ``python -m tests.golden`` compares sha256.
"""

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from slotbench import registry
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request as PrepareRequest
from slotbench.datasets.prepare.preparation import prepare
from slotbench.datasets.shifts.kinds import SHIFTS, split_of, why_not
from slotbench.datasets.shifts.shift_images import change
from tests.datasets.sources import RENDERED as DRAWN
from tests.golden.store import load, load_arrays

SIZE, SEED = 32, 3
RENDERED = ("clevr", "clevrtex")
"""Their variants differ in what a scene holds; shifts of the first one are enough."""
FEW = ("clevrtex", "multi-dsprites-video")
"""Of these datasets one row of a split is enough; of others there are two of ``test``."""


@cache
def dataset(name, variant):
    return registry.get("datasets", name).load()(variant, SIZE, SEED)


def cases():
    """(dataset, variant, split) of all that is rendered, and of changes on finished images."""
    listed = []
    for name in DRAWN:
        for variant in registry.get("datasets", name).variants:
            made = dataset(name, variant)
            splits = ["train", "test", *made.shifted]
            if name not in RENDERED or variant == made.variants[0]:
                splits += [
                    split_of(shift) for shift in SHIFTS if not why_not(made, shift, "rendered")
                ]
            elif name == "clevrtex":
                splits = ["test"]
            listed += [(name, variant, split) for split in dict.fromkeys(splits)]
    on_images = [shift for shift, what in SHIFTS.items() if not what.only_drawn]
    return listed + [("clevr", "clevr6", f"changed-{shift}") for shift in on_images]


def drawn(name, variant, split):
    """The rows of a case, as ``prepare`` gets them."""
    made = dataset(name, variant)
    rows = 2 if split == "test" and name not in FEW else 1
    shift = split.removeprefix("changed-").removeprefix("test-")
    if split.startswith("changed-") or (shift in SHIFTS and shift not in made.drawn_shifts):
        batch = made.render("test", 0, 1)
        return dict(change(batch, made.layout, shift, made.occluder, SEED, 0))
    return dict(made.render(split, 0, rows))


def packed(batch):
    """Image, mask, and all other arrays one after the other by name; float64 holds them all."""
    rest = [batch[key].astype(np.float64).ravel() for key in _others(batch)]
    return {"image": batch["image"], "mask": batch["mask"], "numbers": np.concatenate(rest)}


def described(batch):
    """Shapes, dtypes and sha256 of a case."""
    digest = hashlib.sha256()
    for key in _others(batch):
        digest.update(batch[key].tobytes())
    return {
        "arrays": ", ".join(f"{key} {batch[key].dtype} {list(batch[key].shape)}" for key in batch),
        "image": hashlib.sha256(batch["image"].tobytes()).hexdigest(),
        "mask": hashlib.sha256(batch["mask"].tobytes()).hexdigest(),
        "numbers": digest.hexdigest(),
    }


def _others(batch):
    return sorted(set(batch) - {"image", "mask"})


def prepared():
    """What a prepared file says of itself, shifts and all; exact on one machine only."""
    sizes = {"train": 3, "val": 2, "test": 2}
    with tempfile.TemporaryDirectory() as folder:
        request = PrepareRequest(
            "multi-dsprites", "binarized", None, SIZE, sizes, SEED, 1, Path(folder), shifts=("all",)
        )
        with DatasetFile(prepare(request)) as file:
            manifest = json.loads(file.attributes["manifest"])
            return {
                **{key: str(value) for key, value in file.attributes.items()},
                "manifest": manifest,
                "fingerprint": file.fingerprint,
            }


def found():
    """Case -> shapes and sha256."""
    return {"/".join(case): described(drawn(*case)) for case in cases()} | {"file": prepared()}


def found_arrays():
    """Case and kind -> array."""
    return {
        f"{'/'.join(case)} {kind}": array
        for case in cases()
        for kind, array in packed(drawn(*case)).items()
    }


STORED, ARRAYS = load("data"), load_arrays()


def test_every_case_is_stored():
    assert {"/".join(case) for case in cases()} | {"file"} == set(STORED)


@pytest.mark.parametrize("case", cases(), ids="/".join)
def test_what_is_drawn_stays(case):
    name, batch = "/".join(case), drawn(*case)
    assert described(batch)["arrays"] == STORED[name]["arrays"]
    got = packed(batch)
    np.testing.assert_array_equal(got["mask"], ARRAYS[f"{name} mask"])
    np.testing.assert_allclose(got["numbers"], ARRAYS[f"{name} numbers"], rtol=1e-5, atol=1e-5)
    apart = np.abs(got["image"].astype(int) - ARRAYS[f"{name} image"])
    assert apart.max() <= 2
    assert (apart > 0).mean() <= 1e-3


def test_a_prepared_file_says_what_it_said():
    got, wanted = prepared(), STORED["file"]
    assert got["manifest"].keys() == wanted["manifest"].keys()
    for key in wanted.keys() - {"manifest", "fingerprint"}:
        assert got[key] == wanted[key], key
