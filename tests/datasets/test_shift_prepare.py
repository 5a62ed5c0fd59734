"""``slotbench prepare --shifts``: added whole or not at all, and nothing else is touched."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SHIFT_FLAGS, SPLITS, Batch
from slotbench.datasets.prepare.parts import Parts, Task
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.stored_features import add_features
from slotbench.datasets.prepare.workers import Local, Settings, built
from slotbench.datasets.shifts import shift_prepare
from slotbench.datasets.shifts.kinds import SHIFTS, parse, split_of
from slotbench.errors import UserError
from slotbench.results import verify
from slotbench.rng import numpy_generator
from tests.datasets.test_features import Means

SIZES = {"train": 60, "val": 10, "test": 70}


def sprites(folder: Path, shifts: str = "", **fields: object) -> Request:
    options = {"variant": "binarized", "sizes": SIZES, "workers": 1, "image_size": 32}
    asked = parse(shifts) if shifts else ()
    return Request("multi-dsprites", data_dir=folder, shifts=asked, **{**options, **fields})  # type: ignore[arg-type]


def here(_: Local, settings: Settings, tasks: Mapping[str, Task]) -> Iterator[tuple[str, Batch]]:
    """Renders in this process, which is quicker than to begin another one."""
    for name, task in tasks.items():
        yield name, built(*settings).render(*task)


def digests(path: Path) -> dict[str, str]:
    """What the manifest says, after a check that it is so."""
    facts = verify.dataset(path)
    assert set(facts["manifest"]) == set(facts["images"])
    manifest: dict[str, str] = facts["manifest"]
    return manifest


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as context:
        context.setattr(Local, "render_all", here)
        return prepare(sprites(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(sprites(tmp_path_factory.mktemp("whole"), "all", workers=2))


@pytest.fixture
def copy(
    plain: Path,
    whole: Path,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The plain file; ``whole`` is made by two processes before rendering moves into this one."""
    monkeypatch.setattr(Local, "render_all", here)
    path = tmp_path / plain.name
    path.write_bytes(plain.read_bytes())
    return path


def test_they_join_the_usual_splits_which_stay(plain: Path, whole: Path) -> None:
    before, after = digests(plain), digests(whole)
    assert set(after) - set(before) == {split_of(shift) for shift in SHIFTS}
    assert before == {split: after[split] for split in SPLITS}
    assert list(whole.parent.iterdir()) == [whole]
    with DatasetFile(plain) as one, DatasetFile(whole) as two:
        assert one.fingerprint == two.fingerprint
        assert one.attributes == {**two.attributes, "manifest": one.attributes["manifest"]}
        for shift in SHIFTS:
            split = split_of(shift)
            assert two.rows(split) == SIZES["test"]
            described = json.loads(two.file[split].attrs["shift"])
            assert described["made"] == ("on finished images" if shift == "occlusion" else "drawn")
            assert (two.changed(split) is not None) == shift.startswith("object_")
        assert two.layout_of("test-num_objects").objects == 5
        assert two.layout_of("test").objects == two.layout.objects == 3
        # Pairs, as they are read from the file.
        test, color = two.read("test"), two.read("test-object_color")
        flags = two.changed("test-object_color")
        assert flags is not None
        label = flags.argmax(axis=1)[:, None, None] + 1
        moved = (test["image"] != color["image"]).any(axis=-1)
        np.testing.assert_array_equal(moved, test["mask"] == label)


def test_added_later_and_one_by_one_they_are_the_same(
    copy: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy.parent
    expected = digests(whole)
    for asked in ("crop", "object_shape,occlusion", "all"):
        assert prepare(sprites(folder, asked)) == copy
    assert digests(copy) == expected
    assert list(folder.iterdir()) == [copy]
    state = content(copy)
    monkeypatch.setattr(shift_prepare, "_make", None)
    prepare(sprites(folder, "all"))
    prepare(sprites(folder))
    assert content(copy) == state


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, written: list[str]) -> None:
    write_part: Callable[..., None] = Parts.write

    def write_some(self: Parts, name: str, batch: object) -> None:
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(name)
        write_part(self, name, batch)

    monkeypatch.setattr(Parts, "write", write_some)


def test_a_call_that_was_interrupted_goes_on(
    copy: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state, first, second = copy.parent, content(copy), [], []  # type: ignore[var-annotated]
    with monkeypatch.context() as context:
        stop_after(5, context, first)
        with pytest.raises(KeyboardInterrupt):
            prepare(sprites(folder, "all"))
    assert content(copy) == state
    with monkeypatch.context() as context:
        # All parts are made, and the copy of the file is half written.
        stop_after(99, context, second)
        context.setattr(shift_prepare, "split_digest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(sprites(folder, "all"))
    assert len(first) == 5
    assert not set(first) & set(second)
    assert content(copy) == state
    stop_after(0, monkeypatch, [])
    prepare(sprites(folder, "all"))
    assert digests(copy) == digests(whole)
    assert list(folder.iterdir()) == [copy]


@pytest.mark.slow
def test_killed_at_ten_moments_the_file_is_that_of_a_quiet_call(copy: Path, whole: Path) -> None:
    options = "prepare multi-dsprites --variant binarized --image-size 32 --shifts all --workers 1"
    words = [sys.executable, "-m", "slotbench", *options.split(), "--data-dir", str(copy.parent)]
    generator = numpy_generator(0, "kill", "shifts")
    usual = {split: digests(whole)[split] for split in SPLITS}
    parts = copy.with_name(f"{copy.name}.shifts.parts")
    for moment in range(10):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # While parts are made: there are eleven, and then the copy is written.
        while process.poll() is None and len(list(parts.glob("*.npz"))) < min(moment + 1, 11):
            time.sleep(0.01)
        time.sleep(float(generator.uniform(0, 0.3)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {split: digests(copy)[split] for split in SPLITS} == usual
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert digests(copy) == digests(whole)


def test_damage_is_found_and_mended(copy: Path, whole: Path) -> None:
    folder = copy.parent
    prepare(sprites(folder, "object_color,crop"))
    with h5py.File(copy, "r+") as file:
        flags = file["test-object_color"][SHIFT_FLAGS]
        flags[0] = np.roll(flags[0], 1)
    with pytest.raises(UserError, match="test-object_color"):
        verify.dataset(copy)
    prepare(sprites(folder, "object_color"))
    found, expected = digests(copy), digests(whole)
    assert found == {split: expected[split] for split in found}
    assert "test-crop" in found


def test_a_test_set_of_that_name_from_elsewhere_is_not_replaced(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.copy("test", "test-crop")
    with pytest.raises(UserError, match="of its own"):
        prepare(sprites(copy.parent, "crop"))


def test_features_are_asked_for_again(copy: Path) -> None:
    teacher = Means()
    add_features(copy, teacher)
    prepare(sprites(copy.parent, "crop"))
    assert verify.dataset(copy)["ok"]
    with DatasetFile(copy) as dataset:
        assert "feature/means" in dataset.file["test"]
        with pytest.raises(UserError, match="feature"):
            dataset.read("test-crop", keys=("feature/means",))
    add_features(copy, teacher)
    with DatasetFile(copy) as dataset:
        assert dataset.read("test-crop", keys=("feature/means",))["feature/means"].any()
    assert verify.dataset(copy)["ok"]


def test_what_cannot_be_is_known_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every colour"):
        prepare(sprites(tmp_path, "object_color", variant="colored_on_grayscale"))
    assert not list(tmp_path.iterdir())
