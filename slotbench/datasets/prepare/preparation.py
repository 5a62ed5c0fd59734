"""Preparing a dataset: render or import it in parts, then join them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slotbench import plugins, registry
from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import parse, path_of
from slotbench.datasets.format.schema import SPLITS, Batch, Layout
from slotbench.datasets.originals.archives import folder_of, unpacked
from slotbench.datasets.originals.download import download
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.prepare.parts import Made, Parts, Task, join, sole_writer, sweep
from slotbench.datasets.prepare.workers import Engine, engine_of
from slotbench.datasets.shifts.kinds import chosen
from slotbench.datasets.shifts.shift_prepare import add_shifts
from slotbench.errors import UserError
from slotbench.progress import bar, say

RENDER_PART, IMPORT_PART = 50, 500
"""Images or clips in a part: seconds of work, so that a kill loses little."""

MOST_ROWS = 10**8
"""Images or clips in a split."""
ORIGINALS = "originals"
"""Folder of downloaded and unpacked files in the data folder."""


@dataclass(frozen=True)
class Request:
    """The options of ``slotbench prepare``; :func:`slotbench.api.prepare` describes them."""

    name: str
    variant: str | None = None
    source: Path | None = None
    image_size: int | None = None
    sizes: dict[str, int] | None = None
    """Images (of video: clips) by split; a missing split has the dataset's default."""
    seed: int = 0
    workers: int | None = None
    data_dir: Path = Path("data")
    force: bool = False
    download: bool = False
    skip_damaged: bool = False
    engine: str = "local"
    address: str | None = None
    shifts: tuple[str, ...] = ()
    """Parsed by :func:`slotbench.datasets.shifts.kinds.parse`."""


def prepare(request: Request) -> Path:
    """Make the dataset's file unless it exists; returns its path.

    Waits for another process that prepares the same file. Raises :class:`UserError` for bad
    options, a bad source, and an existing file that was made by another recipe.
    """
    if request.download and request.source is not None:
        raise UserError(f"--download and --from {request.source}: type one of them.")
    if request.skip_damaged and not (request.download or request.source):
        raise UserError("--skip-damaged goes with --from or --download: it leaves out originals.")
    engine = engine_of(request.engine, request.workers, request.address)
    if request.engine != "local" and (request.download or request.source is not None):
        raise UserError(f"--engine {request.engine}: an import runs on this machine alone.")
    name, variant = parse(request.name, request.variant)
    target = path_of(name, variant, request.data_dir)
    kind: type[Dataset] = registry.get("datasets", name).load()
    image_size = kind.image_size if request.image_size is None else request.image_size
    dataset = kind(variant, image_size, request.seed)
    sizes = {**dataset.sizes, **(request.sizes or {})}
    sizes |= {split: sizes.get(split, sizes["test"]) for split in dataset.shifted}
    for split, size in sizes.items():
        if not 1 <= size <= MOST_ROWS:
            raise UserError(f"--{split} {size}: expected 1 to {MOST_ROWS:,}.")
    if request.source is not None:
        request = replace(request, source=_given(dataset, request.source, request.data_dir))
    if request.shifts:  # refused before hours of rendering
        chosen(dataset, request.shifts, "original" if _imported(target, request) else "rendered")
    with sole_writer(target):
        _make(dataset, target, request, sizes, engine)
    return target


def _given(dataset: Dataset, source: Path, data_dir: Path) -> Path:
    """The path that an importer reads after ``--from``; archives are unpacked first."""
    if source.exists() and not (source.is_file() or source.is_dir()):
        # Opening a named pipe would block.
        raise UserError(f"--from {source}: this is neither a regular file nor a folder.")
    return folder_of(source, data_dir / ORIGINALS / dataset.name) if dataset.unpacks else source


def _downloaded(dataset: Dataset, data_dir: Path) -> Path:
    """Downloads the missing original files; returns the path that an importer reads."""
    files, home = dataset.downloads(), data_dir / ORIGINALS / dataset.name
    if not files:
        raise UserError(
            f"--download: no address is known for {dataset.name}:{dataset.variant}.",
            dataset.obtain or f"Type: slotbench prepare {dataset.name}",
        )
    sizes = [file.size for file in files if file.size is not None]
    size = f", {sum(sizes) / 1e9:.1f} GB" if len(sizes) == len(files) else ""
    say(f"Licence of {dataset.name}: {dataset.licence}.")
    say(f"Downloading {', '.join(file.name for file in files)} to {home}{size}.")
    paths = download(files, home)
    # Variants may share files, so the unpacked folder is named after the first file.
    with _kept(home):
        return unpacked(paths, paths[0]) if dataset.unpacks else paths[0]


@contextmanager
def _kept(home: Path) -> Iterator[None]:
    """Errors about downloaded files say where they are: the same command does not fetch them anew.

    A server may send another page as the file, and only some files have a known checksum.
    """
    try:
        yield
    except UserError as error:
        again = f"Downloaded files are kept in {home}; to fetch one anew, remove it there first."
        raise UserError(error.message, f"{error.advice} {again}".strip()) from error


def _make(
    dataset: Dataset, target: Path, request: Request, sizes: dict[str, int], engine: Engine
) -> None:
    imported, started = _imported(target, request), time.monotonic()
    recipe = _recipe(dataset, request, sizes, imported)
    kept = target.exists() and not request.force
    if kept:
        _check_same(target, recipe, request.sizes or {})
        say(f"{target} is prepared already.")
        if Parts.recipe(target).items() >= _of_parts(recipe).items():
            sweep(target)
    else:
        if request.download:
            request = replace(request, source=_downloaded(dataset, request.data_dir))
            recipe = _recipe(dataset, request, sizes, imported)
        if request.source is None:
            _render(dataset, target, recipe, sizes, engine)
        else:
            home = request.data_dir / ORIGINALS / dataset.name
            with _kept(home) if request.download else nullcontext():
                importer = dataset.importer(request.source)
                importer.skip_damaged = request.skip_damaged
                _import(dataset, importer, target, recipe, request.sizes or {})
        sweep(target, ".*")  # unfinished features and shifts of the replaced file
    if request.shifts:
        add_shifts(target, dataset, request.shifts, engine)
    if not kept:
        say(f"Prepared in {time.monotonic() - started:.0f} s.")


def _imported(target: Path, request: Request) -> bool:
    """Whether the file comes from original files: those of the request, or earlier ones."""
    if request.source is not None or request.download:
        return True
    if not request.shifts or request.force or not target.exists():
        return False
    with DatasetFile(target) as existing:
        return bool(existing.attributes["origin"] == "original")


def _of_parts(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe without sizes: parts can be used again for another number of images."""
    return {key: value for key, value in recipe.items() if key != "sizes"}


def _recipe(
    dataset: Dataset, request: Request, sizes: dict[str, int], imported: bool
) -> dict[str, Any]:
    """What decides the content; stored in the file's attributes."""
    asked = request.sizes or {}
    # Raises where a dataset exists only as original files, and says where they are.
    generator = "slotbench import 1" if imported else dataset.made_by
    listed = asked if imported else {key: sizes[key] for key in (*SPLITS, *dataset.shifted)}
    return {
        "name": dataset.name,
        "variant": dataset.variant,
        "origin": "original" if imported else "rendered",
        "generator": generator,
        "seed": request.seed,
        "image_size": dataset.image_size,
        "licence": dataset.licence,
        **(dataset.provenance(request.source) if request.source else {}),
        "sizes": ",".join(f"{split}={size}" for split, size in listed.items()),
    }


def _check_same(target: Path, recipe: dict[str, Any], sizes: dict[str, int]) -> None:
    """:class:`UserError` where the file at ``target`` was made by another recipe.

    ``sizes`` are those that the user typed; other splits may have any size.
    """
    asked = _of_parts(recipe)
    with DatasetFile(target) as existing:
        found = {key: existing.attributes.get(key) for key in asked}
        typed = str(existing.attributes.get("sizes", "")).split(",")
        for split, size in sizes.items():
            key = f"{existing.layout.rows_are} in {split}"
            # A source may hold fewer than were asked for.
            found[key] = size if f"{split}={size}" in typed else existing.rows(split)
            asked[key] = size
    for key, value in asked.items():
        if found[key] != value:
            raise UserError(
                f"{target} exists, with {key} {found[key]!r} instead of {value!r}.",
                "Type --force to replace it, or --data-dir to keep both.",
            )


def _render(
    dataset: Dataset, target: Path, recipe: dict[str, Any], sizes: dict[str, int], engine: Engine
) -> None:
    try:
        Layout.from_json(dataset.layout.to_json())
    except (AttributeError, ValueError) as error:
        said = f"The layout of {registry.called(type(dataset))} is no layout: {error}."
        raise plugins.blamed(error) or UserError(said, "docs/own.md names an example.") from error
    parts = Parts(target, _of_parts(recipe))
    splits = (*SPLITS, *dataset.shifted)
    tasks = {split: Task.all_of(split, sizes[split], RENDER_PART) for split in splits}
    parts.fill(
        f"Rendering {dataset.name}:{dataset.variant}",
        [task for split in splits for task in tasks[split]],
        dataset.layout.rows_are,
        lambda missing: _checked(dataset, engine.render_all(dataset.settings, missing)),
    )
    batches = {split: (parts.read(task.part) for task in tasks[split]) for split in splits}
    join(target, dataset.layout, batches, {**recipe, "sources": "[]"})
    parts.remove()


def _checked(dataset: Dataset, parts: Made) -> Made:
    """Rendered parts; :class:`UserError` names the dataset where one breaks the layout."""
    for task, batch in parts:
        split, start, stop = task
        try:
            rows = dataset.layout.check(batch)
            fault = dataset.layout.problem(batch) if rows == stop - start else f"{rows} rows"
        except (TypeError, AttributeError, ValueError) as error:
            fault = str(error)
        if fault:
            said = f"render({split!r}, {start}, {stop}) of {registry.called(type(dataset))}"
            advice = "docs/own.md names an example; layout.empty(n) makes such arrays."
            raise UserError(f"{said} breaks the layout: {fault}.", advice)
        yield task, batch


def _import(
    dataset: Dataset,
    importer: Importer,
    target: Path,
    recipe: dict[str, Any],
    limits: dict[str, int],
) -> None:
    parts = Parts(target, {**recipe, "sizes": "", **importer.identity()})
    records = parts.records()
    if records:
        say(f"Going on after {records:,} records that were read before.")
    with bar(f"Reading {dataset.name}:{dataset.variant}", 1, count=False) as progress:
        started, fresh = time.monotonic(), 0
        try:
            size = max(1, IMPORT_PART // importer.layout.row_images)
            for read, batch in importer.batches(records, size):
                parts.write(f"{records:08d}-{read:08d}", batch)
                fresh, records = fresh + read - records, read
                rate = fresh / (time.monotonic() - started)
                progress.set(*importer.progress(), detail=f"{rate:.0f} records/s")
        except UserError:
            parts.remove()  # the source is damaged, so the parts read from it are useless
            raise
    splits = importer.splits(records)
    for split, (start, stop) in splits.items():
        if all(record in importer.damaged for record in range(start, stop)):
            parts.remove()
            raise UserError(f"The source holds {records} records: too few for a {split} split.")
    batches = {
        split: _select(parts, importer.layout, bounds, limits.get(split))
        for split, bounds in splits.items()
    }
    bounds = ", ".join(f"{split}: records {lo} to {hi - 1}" for split, (lo, hi) in splits.items())
    more = {
        "sources": json.dumps(importer.sources()),
        "split_rule": f"{importer.rule}; {bounds}" if importer.rule else bounds,
    }
    join(target, importer.layout, batches, {**recipe, **importer.attributes(), **more})
    parts.remove()


def _select(
    parts: Parts, layout: Layout, bounds: tuple[int, int], limit: int | None
) -> Iterator[Batch]:
    """The images of a split, in the order of the source, at most ``limit`` of them."""
    left = limit if limit is not None else 1 << 62
    for name in parts.names():
        start, stop = map(int, name.split("-"))
        if stop <= bounds[0] or start >= bounds[1] or left <= 0:
            continue
        batch = parts.read(name)
        record = batch.pop("record")
        keep = ((record >= bounds[0]) & (record < bounds[1])).nonzero()[0][:left]
        left -= len(keep)
        yield {key: batch[key][keep] for key in layout.arrays()}
