"""Shifts of imported datasets: on finished images, or refused with the reason."""

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.shifts.kinds import parse
from slotbench.errors import UserError
from tests.datasets.originals import clevr_record, write
from tests.datasets.originals_clevr_zip import write_clevr
from tests.datasets.test_shift_prepare import content, digests


@pytest.fixture
def command(imported, shown):
    where = ("--data-dir", imported.parent)
    return lambda shifts: shown("prepare", "clevr", "--shifts", shifts, *where)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    source = folder / "clevr_with_masks_train.tfrecords"
    write(source, [clevr_record(index, 3 + index % 4) for index in range(10)])
    path = prepare(Request("clevr", source=source, data_dir=folder, shifts=parse("crop")))
    source.unlink()
    return path


def test_imported_images_are_changed_without_their_original_files(imported, command):
    with DatasetFile(imported) as dataset:
        assert dataset.attributes["origin"] == "original"
        fingerprint = dataset.fingerprint
    code, _, told = command("all")
    assert code == 0
    for shift in ("object_shape", "object_style", "num_objects"):
        assert f"Without {shift}: " in told
    assert (imported.parent / "clevr-shifts.png").is_file()
    assert {"test-crop", "test-occlusion", "test-object_color"} < set(digests(imported))
    with DatasetFile(imported) as dataset:
        assert dataset.fingerprint == fingerprint
        flags, colors = dataset.changed("test-object_color"), dataset.read("test-object_color")
        assert flags.any(axis=1).all()
        assert (colors["property/color"][flags] == -1).all()
        # Occluders are gray as the authors' are for CLEVR.
        assert (dataset.read("test-occlusion")["image"] == 51).all(axis=-1).mean() > 0.1


@pytest.mark.parametrize("shift", ["object_style", "object_shape", "num_objects"])
def test_a_shift_that_cannot_be_is_refused_by_name(imported, shift, command):
    state = content(imported)
    code, _, told = command(shift)
    assert code == 2
    assert f"--shifts {shift}" in told
    assert content(imported) == state


def test_without_masks_images_are_not_changed(tmp_path):
    source = write_clevr(tmp_path / "CLEVR_v1.0.zip", [3] * 6, [4] * 4)
    with pytest.raises(UserError, match="no masks"):
        prepare(Request("clevr", source=source, data_dir=tmp_path, shifts=parse("all")))
    assert set(digests(tmp_path / "clevr.h5")) == set(SPLITS)
