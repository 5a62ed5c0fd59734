"""Mutated original files: each importer reads them, or names the file that is wrong."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from slotbench.results import verify
from tests.commands import limited
from tests.datasets.originals import frame
from tests.datasets.originals_images import with_checksums
from tests.datasets.sources import SOURCES
from tests.fuzz.mutate import of_bytes, of_document

WORDS = ("too few", "2017", "annotations", "mask", "_flat.png", "properties.csv", "env_")
"""One of them says what contradicts the file, where that is named instead of it."""
TEXTS = (".json", ".csv", ".txt")
READ = (*TEXTS, ".png", ".jpg", ".map", ".zip", ".tfrecords")
FEW = {"movi": 4, "coco": 4, "folder": 7, "shapestacks": 3, "clevr-zip": 4}
"""Images of the source; others have ten. The TFRecords of CLEVR are large, and read as others."""


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


def of_zip(data, draw):
    """One member is mutated, and its checksum is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    texts = [name for name in members if ".json" in name]
    name = str(draw.choice(texts if draw.random() < 0.5 else list(members)))
    members[name] = mutated(members[name], name, draw)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def mutated(data, name, draw):
    """Half of what is no document passes its checksums."""
    if name.endswith(".zip") and draw.random() < 0.8:
        return of_zip(data, draw)
    if name.endswith(".json") and draw.random() < 0.7:
        return of_document(json.loads(data), draw)
    data = of_bytes(data, draw)
    return mended(data, name) if draw.random() < 0.5 else data


def outcome(source, root, data):
    """The message of the error, or nothing; whichever: no half-written file, no parts."""
    asked = Request(source.name, source.variant, root, image_size=16, data_dir=data)
    try:
        with limited(20):
            path = prepare(asked)
    except UserError as error:
        assert not list(data.glob("*"))
        return error.message
    verify.dataset(path)
    assert list(data.iterdir()) == [path]
    path.unlink()
    return ""


@pytest.mark.parametrize("case", [case for case in SOURCES if case != "clevr"])
def test_every_importer_reads_or_names_the_file(case, count, tmp_path):
    source = SOURCES[case]()
    root = source.written(tmp_path / "source", FEW.get(case, 10))
    found = sorted((tmp_path / "source").rglob("*"))
    files = [file for file in found if file.suffix in READ or ".tfrecord-" in file.name]
    files = [file for file in files if "_0001" not in file.name]  # passes that nobody reads
    for file in files:
        if file.read_bytes()[:2] == b"\x1f\x8b":  # plain records are read as gzipped ones are
            file.write_bytes(gzip.decompress(file.read_bytes()))
    files += 3 * [file for file in files if file.suffix in TEXTS]
    for number in range(count):
        draw = np.random.default_rng((len(files), number))
        file = files[int(draw.integers(len(files)))]
        whole = file.read_bytes()
        file.write_bytes(mutated(whole, file.name, draw))
        message = outcome(source, root, tmp_path / "data")
        words = (file.name, *WORDS)
        assert not message or any(word in message for word in words), (number, message)
        file.write_bytes(whole)
