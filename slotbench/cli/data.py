"""The command ``prepare``."""

import re
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument

from slotbench.cli import completion
from slotbench.cli.options import DATA, DataDir, how, known, what
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


def _workers(text: str) -> int | None:
    if text == "all":
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise UserError(f"--workers {text}: expected all, or 1 to 9,999.")
    return int(text)
