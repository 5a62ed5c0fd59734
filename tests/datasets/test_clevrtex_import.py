"""ClevrTex, from folders and archives that the tests write."""

import json

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import prepare
from tests.datasets import originals_clevrtex as tex
from tests.datasets.originals_images import palette, rgb
from tests.datasets.whole import fingerprint, refused, requests_of

request = requests_of("clevrtex", 24, "full")
"""At this size nothing is resized."""


@pytest.fixture
def folder(tmp_path):
    return tex.write(tmp_path)


@pytest.mark.parametrize("prefix", ["Poliigon", ""])
def test_the_name_that_the_errata_give_is_the_same_material(prefix, folder):
    _thing(material=f"{prefix}FabricUpholsteryMidCenturyPebbles001")(folder)
    with DatasetFile(prepare(request(folder))) as dataset:
        # Of 20 images the first two are test, the next two val.
        code = dataset.read("val")["property/material"][1, 1]
        (known,) = [p.classes for p in dataset.layout.properties if p.name == "material"]
    assert known[code] == "poliigonfabricupholsterybrightanglepattern001"


def test_other_variants_beside_it_are_left_alone(folder):
    expected = fingerprint(prepare(request(folder)))
    tex.write(folder.parent / "both", "camo", 3)
    tex.write(folder.parent / "both")
    found = prepare(request(folder.parent / "both", data_dir=folder.parent / "again"))
    assert fingerprint(found) == expected


FIRST = tex.stem("full", 3)


def _file(ending, data):
    return lambda root: (root / f"{FIRST}{ending}").write_bytes(data)


def _thing(**fields):
    scene = tex.scene("full", 3)
    scene["objects"][1] |= fields
    return _file(".json", json.dumps(scene).encode())


def _gone(name):
    return lambda root: (root / name).unlink()


BAD = {
    "000003_flat.png: cannot be read": _gone(f"{FIRST}_flat.png"),
    "full_000003.png is missing, and there is one of index 19": _gone(f"{FIRST}.png"),
    "flat.png: label 12, expected 0 to": _file("_flat.png", palette(tex.labels(3) * 2)),
    "000003_flat.png: this PNG has colours": _file("_flat.png", rgb(tex.picture(3))),
    r"object 2: 'shape' is '\\x1b\[2Jcone', not one of cube": _thing(shape="\x1b[2Jcone"),
    "object 2: 'rotation' is not a number within a million": _thing(rotation=True),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_is_named(folder, message):
    BAD[message](folder)
    refused(request(folder), message)


def test_what_is_not_there_is_named(folder, tmp_path):
    refused(request(folder, "camo"), "no image of the variant camo.*It holds those of full")
    (tmp_path / "nothing").mkdir()
    refused(request(tmp_path / "nothing"), r"no image of the variant full \(CLEVRTEX_full_000000")
    few = tex.write(tmp_path / "few", images=9)
    refused(request(few), "9 records: too few for a test split")
