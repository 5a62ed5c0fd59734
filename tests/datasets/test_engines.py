"""Engines of rendering: whichever makes a file, it is the same file."""

import sys

import pytest

from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.workers import Local
from slotbench.errors import UserError
from tests.commands import slotbench
from tests.datasets.whole import fingerprint

SIZES = {"train": 120, "val": 20, "test": 10}
TASKS = {"a": ("train", 0, 3), "b": ("train", 3, 7), "c": ("test", 0, 2)}


def request(folder, **fields):
    asked = {"sizes": SIZES, "image_size": 32, "workers": 1, **fields}
    return Request("multi-dsprites", data_dir=folder, **asked)


def test_a_dataset_that_cannot_render_says_so_through_the_engine():
    with pytest.raises(UserError, match="shapestacks is not made here") as error:
        list(Local(workers=1).render_all(("shapestacks", "default", 32, 0), TASKS))
    assert error.value.advice.startswith("Fetch")


def test_unknown_engines_and_addresses_of_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="engine 'rai'"):
        prepare(request(tmp_path, engine="rai"))
    with pytest.raises(UserError, match="--address: the engine 'local' runs only on this machine"):
        prepare(request(tmp_path, address="10.0.0.1:6379"))
    with pytest.raises(UserError, match="--engine ray: only rendering is spread"):
        prepare(request(tmp_path, engine="ray", source=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_without_ray_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="needs the package ray") as error:
        prepare(request(tmp_path, engine="ray"))
    assert error.value.advice == "Type: pip install 'slotbench[ray]'"
    assert list(tmp_path.iterdir()) == []


PLUGIN = """
from slotbench.datasets.sets.multi_dsprites import MultiDSprites
from slotbench.errors import UserError
from slotbench.registry import register

@register("datasets")
class Mine(MultiDSprites):
    name = "mine"
    summary = "one"
    source = "none"
    variants = ("binarized",)
    licence = "none"

    def render(self, split, start, stop):
        if split == "test":
            raise UserError("no such part", "Type: nothing")
        return super().render(split, start, stop)
"""


@pytest.mark.slow
def test_ray_makes_the_same_file_and_stops(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sizes = " ".join(f"--{split} {n}" for split, n in SIZES.items())

    def run(engine, *words, name="multi-dsprites"):
        options = f"{name} {sizes} --image-size 32 --workers 2 --engine {engine}"
        folder = ("--data-dir", str(tmp_path / engine))
        return slotbench(*words, "prepare", *options.split(), *folder)

    one, two = run("local"), run("ray")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    paths = [tmp_path / engine / "multi-dsprites.h5" for engine in ("local", "ray")]
    assert fingerprint(paths[0]) == fingerprint(paths[1])
    assert "Traceback" not in two.stderr
    # What a dataset of a plugin raises comes back as it was raised.
    (tmp_path / "mine.py").write_text(PLUGIN)
    three = run("ray", "--plugin", str(tmp_path / "mine.py"), name="mine")
    assert three.returncode == 2, three.stderr
    assert "no such part" in three.stderr
    assert "Traceback" not in three.stderr
    assert not (tmp_path / "ray" / "mine.h5").exists()
