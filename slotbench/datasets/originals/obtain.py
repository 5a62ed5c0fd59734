"""Where a dataset's original files are: as the user says, unpacked, or downloaded."""

from pathlib import Path

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.originals.archives import folder_of, unpacked
from slotbench.datasets.originals.download import Patience, download
from slotbench.errors import UserError
from slotbench.progress import say

FOLDER = "originals"


def given(dataset: Dataset, source: Path, data_dir: Path) -> Path:
    """What an importer is to read where the user typed ``--from``: archives are unpacked first."""
    home = data_dir / FOLDER / dataset.name
    return folder_of(source, home) if dataset.unpacks else source


def downloaded(dataset: Dataset, data_dir: Path, patience: Patience | None = None) -> Path:
    """Fetch the dataset's files, unless they are there, into ``<data_dir>/originals/<name>``.

    Returns what an importer is to read: the first file, or, where the dataset is a folder, that
    of all that was unpacked. :class:`UserError` where the dataset has no published address.
    """
    files = dataset.downloads()
    if not files:
        raise UserError(
            f"--download: no address is known from which {dataset.name}:{dataset.variant} may be "
            "fetched.",
            dataset.obtain or f"Type: slotbench prepare {dataset.name}",
        )
    home = data_dir / FOLDER / dataset.name
    sizes = [file.size for file in files if file.size is not None]
    size = f", {sum(sizes) / 1e9:.1f} GB" if len(sizes) == len(files) else ""
    say(f"Licence of {dataset.name}: {dataset.licence}.")
    say(f"Downloading {', '.join(file.name for file in files)} to {home}{size}.")
    paths = download(files, home, patience)
    # Variants may share their files, and so what was unpacked: its name is that of the files.
    return unpacked(paths, paths[0]) if dataset.unpacks else paths[0]
