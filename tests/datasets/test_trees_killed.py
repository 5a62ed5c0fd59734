"""Imports of folders, killed at ten moments, end as quiet ones do."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slotbench.rng import numpy_generator
from tests.datasets import originals_coco, originals_movi, originals_shapestacks, trees
from tests.datasets.originals_images import grey, rgb
from tests.datasets.test_folder import squares, table

# Small parts, each with a pause, stand for a long import.
SLOW = """
import sys, time
from pathlib import Path
from slotbench.datasets import prepare
from slotbench.datasets.parts import Parts

write = Parts.write

def slowly(self, name, batch):
    write(self, name, batch)
    time.sleep(0.1)

Parts.write = slowly
prepare.IMPORT_PART = 2
request = prepare.Request(
    sys.argv[1], source=Path(sys.argv[2]), image_size=16, data_dir=Path(sys.argv[3])
)
prepare.prepare(request)
"""


def folder(root: Path) -> Path:
    root.mkdir()
    for index in range(90):
        image, labels = squares(index)
        (root / f"{index:02d}.png").write_bytes(rgb(image))
        (root / f"{index:02d}_mask.png").write_bytes(grey(labels))
    (root / "properties.csv").write_text(table(90))
    return root


def coco(root: Path) -> Path:
    parts = originals_coco.documents()
    originals_coco.write(root, parts)
    for id_ in range(100, 190):
        item = originals_coco.image(id_)
        parts["train2017"]["images"].append(item)
        parts["train2017"]["annotations"].append(originals_coco.annotation(1000 + id_, id_, 1))
        (root / "train2017" / item["file_name"]).write_bytes(originals_coco.pixels(id_))
    return originals_coco.write(root, parts)


def shapestacks(root: Path) -> Path:
    more = [originals_shapestacks.tower(3, index) for index in range(100, 125)]
    towers = originals_shapestacks.TOWERS
    return originals_shapestacks.write(root, towers={**towers, "test": [*towers["test"], *more]})


def movi(root: Path) -> Path:
    return originals_movi.write(root, sizes={"train": (20, 20, 20), "validation": (10,)})


@pytest.mark.slow
@pytest.mark.parametrize("make", [folder, coco, shapestacks, movi])
def test_killed_at_ten_moments_the_file_is_that_of_a_quiet_import(
    tmp_path: Path, make: object
) -> None:
    name = make.__name__  # type: ignore[attr-defined]
    source = make(tmp_path / "source")  # type: ignore[operator]

    def start(data: str) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-c", SLOW, name, str(source), str(tmp_path / data)]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("quiet").wait() == 0
    generator, survived = numpy_generator(0, "kill", name), 0
    for _ in range(10):
        process = start("killed")
        parts = tmp_path / "killed" / f"{name}.h5.parts"
        before = len(list(parts.glob("*.npz")))
        # Wait for the first new part, so that each kill falls into the import itself.
        while process.poll() is None and len(list(parts.glob("*.npz"))) == before:
            time.sleep(0.01)
        time.sleep(0.3 * generator.random())
        survived += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert survived == 10
    assert start("killed").wait() == 0
    assert [file.name for file in (tmp_path / "killed").iterdir()] == [f"{name}.h5"]
    quiet, killed = (tmp_path / part / f"{name}.h5" for part in ("quiet", "killed"))
    assert trees.fingerprint(quiet) == trees.fingerprint(killed)
