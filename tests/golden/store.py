"""Stored expectations: JSON, and one file of small arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "stored"
ARRAYS = "data.npz"
Arrays = dict[str, "np.typing.NDArray[Any]"]


def load(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """A stored document; empty where it was never written."""
    path = folder / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def save(name: str, content: dict[str, Any], folder: Path = FOLDER) -> None:
    """Floats keep all their digits."""
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def load_arrays(folder: Path = FOLDER) -> Arrays:
    path = folder / ARRAYS
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def save_arrays(arrays: Arrays, folder: Path = FOLDER) -> None:
    np.savez_compressed(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
