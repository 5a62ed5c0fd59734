"""Mutated original files: each importer reads them, or names the file that is wrong."""

import gzip
import json
import shutil
import struct
import zipfile
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.datasets.originals import frame
from tests.datasets.originals_images import grey, palette, with_checksums
from tests.datasets.sources import SOURCES
from tests.datasets.whole import CHANGES, CUT, INPUTS, changed, fuzz, prepared_or_refused

JUNK = [None, True, -1, 0, 1, 9, 20, 10**30, 1.5, float("nan"), "", "1", "../x", "CUBE"]
JUNK += [[], [[]], {}, [1, 2, 3], [1, "2", 3], [[1, 2, 3, 4, 5, 6]], [[1e9] * 6], {"counts": {}}]
JUNK += [{"size": [20, 28], "counts": [560]}, {"size": [20, 28], "counts": "1"}]
WORDS = ("too few", "2017", "annotations", "mask", "properties.csv", "env_")
READ = (".json", ".png", ".jpg", ".csv", ".txt", ".map", ".zip")
FEW = {"movi": 4, "coco": 4, "folder": 7, "shapestacks": 3, "clevr-zip": 4}
"""Images of the source; others have ten. The TFRecords of CLEVR are large, and read as others."""


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
        labels = np.resize(np.array(values), (30, 40) if "_flat" in name else (24, 32))
        return grey(labels, 16) if max(values) > 255 else palette(labels)
    data = changed(data, changes, cut)
    return mended(data, name) if mend else data


def with_a_member_mutated(path, place, mend, draws):
    """A zip one of whose members is mutated, with the right checksum."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(members, key=lambda name: ".json" not in name)[place % len(members)]
    members[name] = mutated(members[name], name, mend, draws)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@INPUTS
@pytest.mark.parametrize("case", [case for case in SOURCES if case != "clevr"])
def test_every_importer_reads_or_names_the_file(inputs, case, tmp_path):
    source, data = SOURCES[case], tmp_path / "data"
    root = source.written(tmp_path / "source", FEW.get(case, 10))
    files = sorted(file for file in (tmp_path / "source").rglob("*") if file.is_file())
    for file in files:
        if file.read_bytes()[:2] == b"\x1f\x8b":  # plain records are read as gzipped ones are
            file.write_bytes(gzip.decompress(file.read_bytes()))
    files = [file for file in files if file.suffix in READ or ".tfrecord" in file.name]
    files = [file for file in files if "_0001" not in file.name]  # passes that nobody reads
    texts = [file for file in files if file.suffix in (".json", ".csv", ".txt")]

    def check(path, place, mend, draws):
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        before = path.read_bytes()
        try:
            if path.suffix == ".zip" and place:
                with_a_member_mutated(path, place, mend, draws)
            else:
                path.write_bytes(mutated(before, path.name, mend, draws))
            message = prepared_or_refused(source.name, source.variant, root, data)
        finally:
            path.write_bytes(before)
        assert not message or path.name in message or any(word in message for word in WORDS)

    junk = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(JUNK)), min_size=1, max_size=3)
    values = st.lists(st.integers(0, 400), max_size=3)
    draws = st.tuples(CHANGES, CUT, junk, values)
    path = st.sampled_from([*files, *texts * 3])
    fuzz(inputs, check, path=path, place=st.integers(0, 9), mend=st.booleans(), draws=draws)
