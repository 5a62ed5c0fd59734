"""Records a second of reading CLEVR's original file, beside the ``tfrecord`` package.

The file is synthetic, of the true layout: 3.2 MB a record, every byte its own entry.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tfrecord.reader import tfrecord_loader

from slotbench.datasets.multi_object import clevr_importer
from slotbench.datasets.tfrecord import RecordFile, parse_example, read_bytes
from tests.datasets.originals import clevr_record, write


def make(path: Path, records: int) -> None:
    write(path, [clevr_record(index, 3 + index % 8) for index in range(records)])


def peak() -> float:
    """The most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(path: Path) -> None:
    for data in RecordFile(path):
        features = parse_example(data)
        for key in ("image", "mask"):
            read_bytes(features[key])


def package(path: Path) -> None:
    for record in tfrecord_loader(str(path), None, compression_type="gzip"):
        for key in ("image", "mask"):
            np.array(record[key])


def whole_import(path: Path) -> None:
    for _ in clevr_importer(path, "clevr10", 64).batches(0, 100):
        pass


def rate(read: Callable[[Path], None], path: Path, records: int) -> float:
    begun = time.perf_counter()
    read(path)
    return records / (time.perf_counter() - begun)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=24)
    records = options.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clevr_with_masks_train.tfrecords"
        # In another process: the memory that making the records takes is not the reader's.
        with get_context("spawn").Pool(1) as pool:
            pool.apply(make, (path, records))
        before = peak()
        fast = rate(ours, path, records)
        whole = rate(whole_import, path, records)
        after = peak()
        slow = rate(package, path, records)
    print(f"slotbench, wire format to arrays: {fast:.1f} records/s")
    print(f"slotbench, whole import at 64x64: {whole:.1f} records/s")
    print(f"slotbench, peak memory: {before:.0f} MiB before, {after:.0f} MiB after")
    print(f"tfrecord package:                 {slow:.1f} records/s")
    print(f"ratio: {fast / slow:.0f} to 1 (reading), {whole / slow:.0f} to 1 (whole import)")


if __name__ == "__main__":
    main()
