"""``prepare --download``, as a user types it."""

from dataclasses import replace

import pytest

from slotbench.datasets.dataset import Download
from slotbench.datasets.originals.multi_object import MULTI_OBJECT
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.sets.multi_dsprites import MultiDSprites
from slotbench.errors import UserError
from slotbench.registry import entries
from slotbench.results import verify
from tests.datasets.originals import SPRITES, record, write
from tests.datasets.server import good, serving


def test_a_dataset_is_downloaded_and_imported(tmp_path, monkeypatch, capsys):
    made = [record(SPRITES["binarized"], index, 2) for index in range(10)]
    records = write(tmp_path / "x", made).read_bytes()
    data, name = tmp_path / "data", "multi_dsprites_binarized.tfrecords"
    request = Request("multi-dsprites", "binarized", data_dir=data, download=True)
    with serving(good(records)) as server:
        moved = [url.replace(MULTI_OBJECT, server.base) for url in MultiDSprites.published]
        monkeypatch.setattr(MultiDSprites, "published", moved)
        path = prepare(request)
        assert verify.dataset(path)["origin"] == "original"
        assert (data / "originals" / "multi-dsprites" / name).read_bytes() == records
        said = capsys.readouterr().err
        assert said.index("Licence of multi-dsprites") < said.index(f"Downloading {name}")
        # Neither the file nor what was made of it is fetched again.
        assert prepare(request) == path
        prepare(replace(request, force=True))
        assert [asked["path"] for asked in server.requests] == [f"/multi_dsprites/{name}"]


@pytest.mark.parametrize(
    ("name", "what"), [("multi-dsprites", "not a TFRecord"), ("coco", "it is damaged")]
)
def test_something_else_that_was_downloaded_is_to_be_removed(name, what, tmp_path, monkeypatch):
    """The same command does not fetch it again: it may be right, and the importer wrong."""
    kind = entries("datasets")[name].load()
    with serving(good(b"<html>log in first</html>")) as server:
        file = Download(f"{server.base}/x")
        monkeypatch.setattr(kind, "downloads", lambda _: (file,))
        with pytest.raises(UserError, match=what) as caught:
            prepare(Request(name, data_dir=tmp_path, download=True))
    assert f"are kept in {tmp_path / 'originals' / name};" in caught.value.advice


def test_declarations_are_addresses_with_names_of_their_own():
    declared = 0
    for entry in entries("datasets").values():
        kind = entry.load()
        if not kind.__module__.startswith("slotbench."):
            continue
        for variant in entry.variants:
            files = kind(variant, 64, 0).downloads()
            assert len({file.name for file in files}) == len(files)
            for file in files:
                assert file.url.startswith(("https://", "http://"))
                assert file.name
                assert len(file.sha256 or "0" * 64) == 64
                assert len(file.md5 or "0" * 32) == 32
            declared += len(files)
    assert declared > 5


@pytest.mark.parametrize(("name", "variant"), [("folder", None), ("clevrtex", "grassbg")])
def test_a_dataset_without_an_address_says_what_to_do(name, variant, tmp_path):
    with pytest.raises(UserError, match="no address is known") as caught:
        prepare(Request(name, variant, data_dir=tmp_path, download=True))
    assert "--from" in caught.value.advice
    assert not list(tmp_path.rglob("*.h5"))
