"""Datasets and trained cores: make, open, load and predict."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from slotbench.errors import UserError
from slotbench.fields import Names, Workers, listed
from slotbench.fields import workers as workers_of
from slotbench.files import reason_of, typed

if TYPE_CHECKING:
    from slotbench.results.run import Run
    from slotbench.trained.frozen import FrozenCore
    from slotbench.trained.torch_data import ImageData
    from slotbench.training.loop import Host

DATA, RESULTS = Path("data"), Path("results")
Place = Path | str
"""The path of a file or folder."""
DatasetName = str | Path
"""A dataset: its name, ``name:variant``, or the path of a prepared file."""
RunName = Union[str, Path, "Run"]
"""A run: its directory, a unique beginning of its id, or itself."""
RunNames = Iterable[RunName] | RunName


def find(run: RunName, results_dir: Place = RESULTS) -> "Run":
    """The run of a directory, or of a unique beginning of its id.

    Published runs with weights have ids too: ``slotbench.load("0-3fa91c02")`` needs no training.
    """
    from slotbench.results import finding
    from slotbench.results.run import Run

    if isinstance(run, Run):
        return run
    return finding.find(str(run), Path(results_dir), published=True)


def several(names: RunNames) -> list[RunName]:
    """The names of runs, of which one may be given without a list."""
    from slotbench.results.run import Run

    return [names] if isinstance(names, str | Path | Run) else list(names)


def host(
    device: str = "auto", checkpoint_every: float = 120.0, gpus: int = 1, track: Names = ()
) -> "Host":
    """Where and how runs are executed; :class:`UserError` if this machine cannot.

    ``checkpoint_every`` is in seconds; ``gpus`` share each batch; ``track`` names trackers.
    """
    from slotbench.report.pictures import Watcher
    from slotbench.training import devices
    from slotbench.training.loop import Host

    if not (math.isfinite(checkpoint_every) and checkpoint_every >= 0):
        raise UserError(f"--checkpoint-every {checkpoint_every}: expected seconds, 0 or above.")
    chosen, trackers = devices.choose(device), listed(track)
    devices.check_processes(chosen, gpus)
    if trackers:
        from slotbench.tracking.tracker import check

        check(trackers)
    return Host(
        chosen,
        checkpoint_every,
        processes=gpus,
        trackers=trackers,
        observe=lambda path, config, step: Watcher(trackers, path, config, step),
    )


def prepare(
    name: str,
    *,
    variant: str | None = None,
    source: Place | None = None,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    shifts: Names | None = None,
    features: str | None = None,
    features_weights: Place | None = None,
    seed: int = 0,
    workers: Workers = None,
    engine: str = "local",
    address: str | None = None,
    force: bool = False,
    skip_damaged: bool = False,
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> Path:
    """Make a dataset: one HDF5 file, rendered here or imported from the original files.

    - ``name``: NAME or NAME:VARIANT.
    - ``variant``: The variant, where the name has none; none: the dataset's first.
    - ``source``: Import this original file, folder or archive.
    - ``download``: Fetch the original files and import them.
    - ``image_size``: Side in pixels; none: the dataset's own, mostly 64.
    - ``train``: Training images; of video, clips.
    - ``val``: Validation images or clips.
    - ``test``: Test images or clips.
    - ``shifts``: Add shifted test sets: all, or some of occlusion, crop, object_color,
      object_shape, object_style, num_objects, with commas between.
    - ``features``: Store frozen features too, of timm:MODEL or a run.
    - ``features_weights``: The teacher's weights; none: they are fetched.
    - ``seed``: Seed of the images made here.
    - ``workers``: Processes; all or none: one a core.
    - ``engine``: Where images are rendered: local, or ray (a cluster).
    - ``address``: Address of a Ray cluster; none: one is started here.
    - ``force``: Replace a file made otherwise.
    - ``skip_damaged``: Leave damaged images out of an import.

    Returns the path of the file.
    """
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.datasets.format.summary import summary
    from slotbench.datasets.prepare.preparation import Request
    from slotbench.datasets.prepare.preparation import prepare as make
    from slotbench.datasets.prepare.sheet import draw_sheet, draw_shifts
    from slotbench.datasets.shifts.kinds import parse
    from slotbench.progress import say

    if features is None and features_weights is not None:
        raise UserError(
            f"--features-weights {features_weights} goes with --features.",
            "Type --features TEACHER too.",
        )
    given = {"train": train, "val": val, "test": test}
    request = Request(
        name,
        variant,
        None if source is None else Path(source),
        image_size,
        {split: size for split, size in given.items() if size is not None},
        seed,
        workers_of(workers),
        Path(data_dir),
        force,
        download,
        skip_damaged,
        engine,
        address,
        () if shifts is None else parse(shifts),
    )
    teacher = None
    if features is not None:
        # Load the teacher first: a wrong name should not show up after hours of rendering.
        from slotbench.results.models import load_teacher

        weights = None if features_weights is None else Path(features_weights)
        teacher = load_teacher(features, weights, results_dir=Path(results_dir))
    path = make(request)
    if teacher is not None:
        from slotbench.datasets.prepare.stored_features import add_features

        add_features(path, teacher)
    with DatasetFile(path) as dataset:
        try:
            sheet = f"Contact sheet: {draw_sheet(dataset, path.with_suffix('.png'))}"
            if shifts is not None:
                sheet += f", {draw_shifts(dataset, path.with_name(f'{path.stem}-shifts.png'))}"
        except OSError as error:  # such as in a read-only folder that many share
            sheet = f"No contact sheet: {reason_of(error)}"
        for line in (*summary(dataset), sheet):
            say(line)
        say(f"Next, type: slotbench train --dataset {dataset.reference}{typed('data', data_dir)}")
    return path


def dataset(reference: DatasetName, split: str = "train", *, data_dir: Place = DATA) -> "ImageData":
    """A split of a prepared dataset as a ``torch.utils.data.Dataset``.

    ``reference`` is a name, ``name:variant`` or the path of a prepared file.
    """
    from slotbench.datasets.format.places import locate
    from slotbench.trained.torch_data import ImageData

    return ImageData(locate(reference, Path(data_dir)), split)


def load(
    run: RunName, *, slots: int | None = None, device: str = "cpu", results_dir: Place = RESULTS
) -> "FrozenCore":
    """The trained core of a run, frozen: ``load(run)(images)`` gives slots and attention.

    ``slots`` changes the number of slots, where the core's weights allow it.
    """
    from slotbench.trained import frozen

    return frozen.load(find(run, results_dir), slots=slots, device=host(device).device)


def predict(
    run: RunName,
    path: str | Path,
    out: Place,
    *,
    split: str = "test",
    images: int | None = None,
    source: str = "attention",
    slots: int | None = None,
    fit: str = "crop",
    seed: int = 0,
    force: bool = False,
    skip_damaged: bool = False,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Find the objects in any pictures with a trained run: masks, slots and overlays.

    - ``path``: A picture, a folder of pictures, or a prepared dataset.
    - ``out``: Folder to write.
    - ``split``: The split of a prepared dataset.
    - ``images``: How many of the first images to take; none: all.
    - ``source``: Source of the masks: attention, decoder or predictor.
    - ``slots``: Number of slots; none: as in training.
    - ``fit``: How a picture becomes a square: crop or stretch.
    - ``seed``: Seed of the slots' start, for pictures.
    - ``force``: Replace an earlier prediction.
    - ``skip_damaged``: Leave out pictures that cannot be read.

    Returns numbers of images and slots, and hashes of run and model.
    """
    from slotbench.trained.predict import Request
    from slotbench.trained.predict import predict as write

    where = host(device).device
    model = load(run, slots=slots, device=device, results_dir=results_dir)
    request = Request(
        str(path), Path(out), split, images, source, fit, seed, force, skip_damaged, Path(data_dir)
    )
    return write(model, request, where)


def export_model(
    run: RunName, out: Place, *, force: bool = False, results_dir: Place = RESULTS
) -> list[Path]:
    """Write a trained core as safetensors, with a model card whose code loads it.

    - ``out``: Folder to write.
    - ``force``: Replace an earlier export.

    Returns both files.
    """
    from slotbench.trained.card import export as write

    return write(load(run, results_dir=results_dir), Path(out), force=force)
