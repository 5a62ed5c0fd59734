"""How fast original files are read: ``python benchmarks/import_rate.py [--rounds 3] [NAME ...]``.

TFRecord files: records a second, and megabytes of decompressed input a second, of

- "read": from the file to NumPy arrays, by slotbench;
- "tfrecord": the same by the ``tfrecord`` package, which is what PyTorch users have;
- "import": all of ``slotbench prepare``'s reading at 64 pixels, masks and properties included.

The files are made here, of the true layout and sizes, every byte its own entry; MOVi's frames
are PNGs of 128 pixels, decoded in all three. Folders (PNG, 128 pixels) and COCO (JPEG, 640x480,
imported at 224) are set beside a per-sample ``DataLoader`` that decodes and resizes images with
Pillow, and sees no masks. Each figure is the median of the rounds; the ways take turns within a
round. Peak memory is that of a process of its own, before slotbench read the file and after.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import _import_sources as sources
from slotbench import registry
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.tfrecord import (
    RecordFile,
    parse_example,
    read_bytes,
    read_entries,
)

Way = Callable[[Path], None]
IMPORTED = {
    "clevr": ("clevr10", 64),
    "multi-dsprites": ("colored_on_grayscale", 64),
    "tetrominoes": ("default", 32),
    "objects-room": ("default", 64),
    "movi": ("a", 64),
    "folder": ("default", 64),
    "coco": ("instances", 224),
}
"""Dataset -> its variant and the size of its images."""


def importer(name: str, path: Path) -> Importer:
    made: Importer = registry.get("datasets", name).load()(*IMPORTED[name], 0).importer(path)
    return made


def imported(name: str) -> Way:
    def read_all(path: Path) -> None:
        for _ in importer(name, path).batches(0, 20 if name == "movi" else 500):
            pass

    return read_all


def shards(path: Path) -> list[Path]:
    return sorted(path.glob("*.tfrecord-*")) if path.is_dir() else [path]


def ours(path: Path) -> None:
    for shard in shards(path):
        for data in RecordFile(shard):
            features = parse_example(data)
            if path.is_dir():
                for key in ("video", "segmentations"):
                    for entry in read_entries(features[key], 24):
                        sources.decoded(bytes(entry))
            else:
                for key in ("image", "mask"):
                    read_bytes(features[key])


def package(path: Path) -> None:
    from tfrecord.reader import tfrecord_loader

    for shard in shards(path):
        kind = None if path.is_dir() else "gzip"
        for record in tfrecord_loader(str(shard), None, compression_type=kind):
            if path.is_dir():
                for key in ("video", "segmentations"):
                    for entry in record[key]:
                        sources.decoded(bytes(entry))
            else:
                for key in ("image", "mask"):
                    np.array(record[key])


def data_loader(path: Path, side: int) -> None:
    """One sample at a time, as users' own Datasets do it."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset[torch.Tensor]):
        def __init__(self) -> None:
            kinds = {".png", ".jpg"}
            found = sorted(file for file in path.rglob("*") if file.suffix in kinds)
            self.files = [file for file in found if not file.stem.endswith("_mask")]

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> torch.Tensor:
            picture = Image.open(self.files[index]).convert("RGB").resize((side, side))
            return torch.from_numpy(np.array(picture))

    for _ in DataLoader(Samples(), batch_size=32):
        pass


def seconds(ways: dict[str, Way], path: Path, rounds: int) -> dict[str, float]:
    """The median time of each way; all ways once a round, so that a busy moment hits them all."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.perf_counter()
            way(path)
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in taken.items()}


def peak() -> float:
    """The most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def lines(name: str, path: Path, rounds: int) -> list[str]:
    return list(_lines(name, path, rounds))


def _lines(name: str, path: Path, rounds: int) -> Iterator[str]:
    before = peak()
    if name in ("folder", "coco"):
        side = 64 if name == "folder" else 224
        ways = {"import": imported(name), "DataLoader": lambda path: data_loader(path, side)}
        images = sources.COUNTS[name]
        for way, spent in seconds(ways, path, rounds).items():
            yield f"{name}, {way}: {images / spent:,.0f} images/s"
    else:
        stream = [len(data) + 16 for shard in shards(path) for data in RecordFile(shard)]
        ways = {"read": ours, "import": imported(name)}
        fast = seconds(ways, path, rounds)
        after = peak()
        fast |= seconds({"tfrecord": package}, path, max(1, rounds // 3))
        for way, spent in fast.items():
            rate, megabytes = len(stream) / spent, sum(stream) / spent / 1e6
            ratio = fast["tfrecord"] / spent
            yield (
                f"{name}, {way}: {rate:,.1f} records/s, {megabytes:,.1f} MB/s, "
                f"{ratio:,.1f} times the package's rate"
            )
        yield f"{name}: peak memory {before:.0f} MiB before, {after:.0f} MiB after both imports"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", default=list(IMPORTED), metavar="NAME")
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.names:
            # Two processes: the memory that making the files takes is not the reader's.
            with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                path = pool.apply(sources.make, (name, Path(folder)))
                print(*pool.apply(lines, (name, path, asked.rounds)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
