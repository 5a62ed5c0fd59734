"""Stored expectations: JSON, and one file of small arrays."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "stored"
ARRAYS = "data.npz"


def load(name, folder=FOLDER):
    """A stored document; empty where it was never written."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def save(name, content, folder):
    """Floats keep all their digits."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def load_arrays():
    path = FOLDER / ARRAYS
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def save_arrays(arrays, folder):
    np.savez_compressed(folder / ARRAYS, **arrays)
