"""Draws the contact sheets of docs/datasets.md: the first training images of each dataset.

Type: python docs/dataset_pictures.py          (all, some minutes)
      python docs/dataset_pictures.py clevr    (those that are named)
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.sheet import draw_sheet

FOLDER = Path(__file__).parent / "pictures" / "datasets"
LIMIT = 150_000
SHEETS = {
    "clevr": (5, 4),
    "multi-dsprites": (5, 4),
    "multi-dsprites-video": (0, 3),
    "tetrominoes": (7, 4),
    "objects-room": (5, 4),
    "clevrtex": (4, 2),
}
"""Dataset -> columns and rows; a clip has a row of its own."""


def draw(name: str, folder: Path) -> Path:
    """Prepare few images of the default variant and seed, and draw them."""
    columns, rows = SHEETS[name]
    sizes = {"train": rows * max(columns, 1), "val": 1, "test": 1}
    path = FOLDER / f"{name}.png"
    with DatasetFile(prepare(Request(name, sizes=sizes, data_dir=folder))) as dataset:
        draw_sheet(dataset, path, columns, rows)
    picture = Image.open(path)
    picture.save(path, optimize=True)
    if path.stat().st_size > LIMIT:  # textures do not compress: 256 colours are enough for them
        picture.quantize(256, kmeans=5, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or SHEETS:
            path = draw(name, Path(folder))
            print(f"{path.relative_to(FOLDER.parents[2])}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
