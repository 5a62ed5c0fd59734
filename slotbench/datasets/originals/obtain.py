"""Finds a dataset's original files: where the user says, unpacked, or downloaded."""

from pathlib import Path

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.originals.archives import folder_of, unpacked
from slotbench.datasets.originals.download import download
from slotbench.errors import UserError
from slotbench.progress import say

FOLDER = "originals"


def given(dataset: Dataset, source: Path, data_dir: Path) -> Path:
    """The path that an importer reads after ``--from``; archives are unpacked first."""
    if source.exists() and not (source.is_file() or source.is_dir()):
        # Opening a named pipe would block.
        raise UserError(f"--from {source}: this is neither a regular file nor a folder.")
    home = data_dir / FOLDER / dataset.name
    return folder_of(source, home) if dataset.unpacks else source


def downloaded(dataset: Dataset, data_dir: Path) -> Path:
    """Fetches the dataset's missing files into ``<data_dir>/originals/<name>``.

    Returns the path that an importer reads: the first file, or the folder of unpacked files.
    :class:`UserError` where the dataset has no published address.
    """
    files = dataset.downloads()
    if not files:
        raise UserError(
            f"--download: no address is known for {dataset.name}:{dataset.variant}.",
            dataset.obtain or f"Type: slotbench prepare {dataset.name}",
        )
    home = data_dir / FOLDER / dataset.name
    sizes = [file.size for file in files if file.size is not None]
    size = f", {sum(sizes) / 1e9:.1f} GB" if len(sizes) == len(files) else ""
    say(f"Licence of {dataset.name}: {dataset.licence}.")
    say(f"Downloading {', '.join(file.name for file in files)} to {home}{size}.")
    paths = download(files, home)
    # Variants may share files, so the unpacked folder is named after the first file.
    return unpacked(paths, paths[0]) if dataset.unpacks else paths[0]
