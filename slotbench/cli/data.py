"""The commands ``prepare``, ``predict`` and ``export-model``: data in, data out."""

import re
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument

from slotbench.cli import completion
from slotbench.cli.options import (
    DATA,
    RESULTS,
    DataDir,
    Device,
    Json,
    ResultsDir,
    RunName,
    how,
    known,
    output,
    put_json,
    what,
)
from slotbench.errors import UserError


def prepare(
    name: Annotated[
        str, Argument(help=f"One of: {known('datasets')}.", autocompletion=completion.datasets)
    ],
    variant: Annotated[str | None, what("Variant; none: the dataset's first.")] = None,
    source: Annotated[
        Path | None, what("Import this original file, folder or archive.", "--from")
    ] = None,
    download: Annotated[
        bool, what("Fetch the original files and import them.", "--download")
    ] = False,
    image_size: Annotated[
        int | None, what("Side in pixels; none: the dataset's own, mostly 64.")
    ] = None,
    train: Annotated[int | None, what("Training images; of video, clips.")] = None,
    val: Annotated[int | None, what("Validation images or clips.")] = None,
    test: Annotated[int | None, what("Test images or clips.")] = None,
    seed: Annotated[int, what("Seed of the images made here.")] = 0,
    shifts: Annotated[
        str | None,
        what(
            "Add shifted test sets: all, or some of occlusion, crop, object_color, object_shape, "
            "object_style, num_objects, with commas between.",
            metavar="LIST",
        ),
    ] = None,
    features: Annotated[
        str | None, what("Store frozen features too, of timm:MODEL or a run.", metavar="TEACHER")
    ] = None,
    features_weights: Annotated[
        Path | None, what("The teacher's weights; none: they are fetched.", metavar="FILE")
    ] = None,
    workers: Annotated[str, how("Processes; all: one a core.")] = "all",
    engine: Annotated[str, how("What renders: local, or ray (a cluster).")] = "local",
    address: Annotated[str | None, how("Of a Ray cluster; none: one started here.")] = None,
    force: Annotated[bool, how("Replace a file made otherwise.", "--force")] = False,
    skip_damaged: Annotated[
        bool, how("Leave damaged images out of an import.", "--skip-damaged")
    ] = False,
    data_dir: DataDir = DATA,
) -> None:
    """Make a dataset: one HDF5 file, rendered here or imported from the original files."""
    from slotbench import api

    path = api.prepare(
        name,
        variant=variant,
        source=source,
        download=download,
        image_size=image_size,
        train=train,
        val=val,
        test=test,
        seed=seed,
        shifts=shifts,
        features=features,
        features_weights=features_weights,
        workers=_workers(workers),
        engine=engine,
        address=address,
        force=force,
        skip_damaged=skip_damaged,
        data_dir=data_dir,
    )
    typer.echo(path)


def predict(
    run: RunName,
    path: Annotated[
        str,
        Argument(metavar="PATH", help="A picture, a folder of pictures, or a prepared dataset."),
    ],
    out: Annotated[Path, output("Folder to write.", metavar="FOLDER")],
    split: Annotated[str, what("The split of a prepared dataset.")] = "test",
    images: Annotated[int | None, what("Only the first so many.")] = None,
    source: Annotated[str, how("Masks of: attention, decoder or predictor.")] = "attention",
    slots: Annotated[int | None, how("Number of slots; none: as in training.")] = None,
    fit: Annotated[str, how("How a picture becomes a square: crop or stretch.")] = "crop",
    seed: Annotated[int, how("Seed of the slots' start, for pictures.")] = 0,
    force: Annotated[bool, how("Replace an earlier prediction.", "--force")] = False,
    skip_damaged: Annotated[
        bool, how("Leave out pictures that cannot be read.", "--skip-damaged")
    ] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Masks, slots and overlays of any pictures by a trained run: PNG files and one HDF5 file."""
    from slotbench import api
    from slotbench.progress import say

    facts = api.predict(
        run,
        path,
        out,
        slots=slots,
        device=device,
        results_dir=results_dir,
        split=split,
        images=images,
        source=source,
        fit=fit,
        seed=seed,
        force=force,
        skip_damaged=skip_damaged,
        data_dir=data_dir,
    )
    if as_json:
        put_json({"schema": 1, **facts})
        return
    say(f"{facts['images']:,} pictures, {facts['slots']} slots each.")
    typer.echo(out)


def export_model(
    run: RunName,
    out: Annotated[Path, output("Folder to write.", metavar="FOLDER")],
    force: Annotated[bool, how("Replace an earlier export.", "--force")] = False,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """A trained core as safetensors, with a model card whose code loads it."""
    from slotbench import api

    for file in api.export_model(run, out, force=force, results_dir=results_dir):
        typer.echo(file)


def _workers(text: str) -> int | None:
    if text == "all":
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise UserError(f"--workers {text}: expected all, or 1 to 9,999.")
    return int(text)
