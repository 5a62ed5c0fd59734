"""Milliseconds an image of CLEVR takes with all cores, and sprites a second."""

import argparse
import tempfile
import time
from pathlib import Path

from slotbench.datasets.prepare import Request, prepare


def seconds(name: str, variant: str, images: int, folder: Path) -> float:
    """The time of a whole preparation, starting processes and writing the file included."""
    begun = time.perf_counter()
    sizes = {"train": images, "val": 1, "test": 1}
    prepare(Request(name, variant, sizes=sizes, data_dir=folder))
    return time.perf_counter() - begun


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clevr", type=int, default=1_500, help="CLEVR images")
    options.add_argument("--sprites", type=int, default=20_000, help="Multi-dSprites images")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for variant in ("clevr6", "clevr10"):
            spent = seconds("clevr", variant, asked.clevr, Path(folder))
            each = 1000 * spent / asked.clevr
            print(f"clevr:{variant}: {each:.1f} ms an image ({asked.clevr} images, 64x64)")
        for variant in ("colored_on_grayscale", "colored_on_colored", "binarized"):
            spent = seconds("multi-dsprites", variant, asked.sprites, Path(folder))
            print(f"multi-dsprites:{variant}: {asked.sprites / spent:,.0f} images/s")


if __name__ == "__main__":
    main()
