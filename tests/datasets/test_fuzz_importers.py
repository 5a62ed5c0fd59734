"""Mutated original files: each importer reads them, or names the file that is wrong."""

import gzip
import json
import shutil
import struct
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.datasets import originals_clevrtex as tex
from tests.datasets import originals_coco as coco
from tests.datasets import originals_movi as movi
from tests.datasets import originals_shapestacks as stacks
from tests.datasets import sources
from tests.datasets.originals import frame
from tests.datasets.originals_clevr_zip import clevr_files, zip_bytes
from tests.datasets.originals_images import grey, palette, rgb, with_checksums
from tests.datasets.trees import CHANGES, CUT, INPUTS, changed, fuzz, prepared_or_refused

JUNK = [None, True, -1, 0, 1, 9, 20, 10**30, 1.5, float("nan"), "", "1", "../x", "CUBE"]
JUNK += [[], [[]], {}, [1, 2, 3], [1, "2", 3], [[1, 2, 3, 4, 5, 6]], [[1e9] * 6], {"counts": {}}]
JUNK += [{"size": [20, 28], "counts": [560]}, {"size": [20, 28], "counts": "1"}]
ALONE = ("multi-dsprites", "tetrominoes")
"""Datasets whose original is one file."""
WORDS = ("too few", "2017", "annotations", "mask", "properties.csv", "env_", "CLEVR.zip")


def write_clevr(root):
    """The members of the archive; :func:`packed` makes a zip of them."""
    for name, data in clevr_files([3, 4], [3, 3], "").items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_folder(root):
    labels = np.kron(np.array([[0, 1], [2, 3]]), np.ones((5, 5), int))
    rows = [f"{i}.png,{k},x{k},{k}" for i in range(4) for k in (1, 2, 3)]
    root.mkdir()
    for index in range(4):
        (root / f"{index}.png").write_bytes(rgb(np.full((10, 10, 3), index)))
        (root / f"{index}_mask.png").write_bytes(grey(labels))
    (root / "properties.csv").write_text("\n".join(["image,object,a,b", *rows]))
    return root


def write_records(name):
    """Records in plain files, which are read as gzipped ones are."""

    def write(root):
        root.mkdir()
        sources.SOURCES[name].make(root, 10)
        for file in root.iterdir():
            file.write_bytes(gzip.decompress(file.read_bytes()))
        return root

    return write


def write_stacks(root):
    towers = {name: listed[:1] for name, listed in stacks.TOWERS.items()}
    return stacks.write(root, towers=towers)


def write_movi(root):
    return movi.write(root, sizes={"train": (2,), "validation": (1,)}, side=8)


SOURCES = {
    "clevr": ("clevr10", write_clevr),
    "clevrtex": ("full", lambda root: tex.write(root, images=10)),
    "coco": ("instances", coco.write),
    "folder": ("default", write_folder),
    "movi": ("a", write_movi),
    "multi-dsprites": (None, write_records("multi-dsprites")),
    "objects-room": (None, write_records("objects-room")),
    "shapestacks": ("default", write_stacks),
    "tetrominoes": (None, write_records("tetrominoes")),
}


def places(document):
    """Every (container, key) of a JSON document."""
    found = []
    if isinstance(document, dict | list):
        pairs = list(document.items() if isinstance(document, dict) else enumerate(document))
        for key, value in pairs:
            found += [(document, key), *places(value)]
    return found


def mended(data, name):
    """The checksums of a PNG or of records, made right again."""
    if data.startswith(b"\x89PNG"):
        return with_checksums(data)
    out, place = b"", 0
    while ".tfrecord" in name and place + 16 <= len(data):
        length = struct.unpack("<Q", data[place : place + 8])[0]
        body = data[place + 12 : place + 12 + min(length, len(data))]
        out += frame(body)
        place += 16 + len(body)
    return out or data


def mutated(data, name, mend, draws):
    changes, cut, junk, values = draws
    if mend and name.endswith(".json"):
        document = json.loads(data)
        for place, value in junk:
            found = places(document)
            container, key = found[place % len(found)]
            container[key] = deepcopy(value)
        return json.dumps(document).encode()
    if values and ("_flat" in name or "_mask" in name):
        labels = np.resize(np.array(values), (30, 40) if "_flat" in name else (10, 10))
        return grey(labels, 16) if max(values) > 255 else palette(labels)
    data = changed(data, changes, cut)
    return mended(data, name) if mend else data


def packed(root):
    files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    archive = root.with_name("CLEVR.zip")
    archive.write_bytes(zip_bytes(files, stored=True))
    return archive


@INPUTS
@pytest.mark.parametrize("dataset", SOURCES)
def test_every_importer_reads_or_names_the_file(inputs, dataset, tmp_path):
    variant, write = SOURCES[dataset]
    root, data = write(tmp_path / "source"), tmp_path / "data"
    wanted = (".json", ".png", ".jpg", ".csv", ".txt", ".map")
    files = [p for p in sorted(root.rglob("*")) if p.suffix in wanted or ".tfrecord" in p.name]
    files = [path for path in files if "_0001" not in path.name]  # passes that nobody reads
    texts = [path for path in files if path.suffix in (".json", ".csv", ".txt")]

    def check(path, mend, draws):
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        before = path.read_bytes()
        try:
            path.write_bytes(mutated(before, path.name, mend, draws))
            source = packed(root) if dataset == "clevr" else root
            source = next(root.iterdir()) if dataset in ALONE else source
            message = prepared_or_refused(dataset, variant, source, data)
        finally:
            path.write_bytes(before)
        assert not message or path.name in message or any(word in message for word in WORDS)

    junk = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(JUNK)), min_size=1, max_size=3)
    values = st.lists(st.integers(0, 400), max_size=3)
    draws = st.tuples(CHANGES, CUT, junk, values)
    fuzz(inputs, check, path=st.sampled_from([*files, *texts * 3]), mend=st.booleans(), draws=draws)


@INPUTS
def test_a_damaged_zip_is_read_or_named(inputs, tmp_path):
    whole, data = zip_bytes(clevr_files([3, 4], [3, 3], "")), tmp_path / "data"
    data.mkdir()

    def check(changes, cut):
        (tmp_path / "CLEVR.zip").write_bytes(changed(whole, changes, cut))
        message = prepared_or_refused("clevr", "clevr10", tmp_path / "CLEVR.zip", data)
        assert not message or "CLEVR.zip" in message or "too few" in message

    fuzz(inputs, check, changes=CHANGES, cut=CUT)
