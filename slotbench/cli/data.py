"""The command ``prepare``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from slotbench.cli import completion
from slotbench.cli.options import DATA, HOW, WHAT, DataDir, known
from slotbench.errors import UserError


def prepare(
    name: Annotated[
        str, Argument(help=f"One of: {known('datasets')}.", autocompletion=completion.datasets)
    ],
    variant: Annotated[
        str | None, Option(help="Variant; none: the dataset's first.", rich_help_panel=WHAT)
    ] = None,
    source: Annotated[
        Path | None,
        Option(
            "--from", help="Import this original file, folder or archive.", rich_help_panel=WHAT
        ),
    ] = None,
    download: Annotated[
        bool,
        Option(
            "--download", help="Fetch the original files and import them.", rich_help_panel=WHAT
        ),
    ] = False,
    image_size: Annotated[
        int | None,
        Option(help="Side in pixels; none: the dataset's own, mostly 64.", rich_help_panel=WHAT),
    ] = None,
    train: Annotated[
        int | None, Option(help="Training images; of video, clips.", rich_help_panel=WHAT)
    ] = None,
    val: Annotated[
        int | None, Option(help="Validation images or clips.", rich_help_panel=WHAT)
    ] = None,
    test: Annotated[int | None, Option(help="Test images or clips.", rich_help_panel=WHAT)] = None,
    seed: Annotated[int, Option(help="Seed of the images made here.", rich_help_panel=WHAT)] = 0,
    shifts: Annotated[
        str | None,
        Option(
            metavar="LIST",
            rich_help_panel=WHAT,
            help="Add shifted test sets: all, or of occlusion, crop, object_color, object_shape, "
            "object_style, num_objects, with commas between.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        Option(
            metavar="TEACHER",
            rich_help_panel=WHAT,
            help="Store frozen features too, such as those of timm:vit_base_patch16_224.dino.",
        ),
    ] = None,
    features_weights: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="The teacher's weights; none: they are fetched.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    workers: Annotated[
        str, Option(help="Processes; all: one a core.", rich_help_panel=HOW)
    ] = "all",
    engine: Annotated[
        str, Option(help="What renders: local, or ray (a cluster).", rich_help_panel=HOW)
    ] = "local",
    address: Annotated[
        str | None, Option(help="Of a Ray cluster; none: one started here.", rich_help_panel=HOW)
    ] = None,
    force: Annotated[
        bool, Option("--force", help="Replace a file made otherwise.", rich_help_panel=HOW)
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
        data_dir=data_dir,
    )
    typer.echo(path)


def _workers(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--workers {text}: expected all, or a number from 1.")
    return int(text)
