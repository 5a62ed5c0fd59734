"""Where the prepared file of a dataset is."""

import os
from pathlib import Path

from slotbench import registry
from slotbench.errors import UserError
from slotbench.files import typed


def path_of(name: str, variant: str | None, data_dir: Path) -> Path:
    """``<name>.h5`` for the default variant, ``<name>-<variant>.h5`` for the others."""
    variants = registry.get("datasets", name).variants
    if variant is None or variant == variants[0]:
        return data_dir / f"{name}.h5"
    if variant not in variants:
        raise registry.unknown(f"variant of {name}", variant, variants)
    return data_dir / f"{name}-{variant}.h5"


def locate(reference: str, data_dir: Path) -> Path:
    """The file of ``name``, ``name:variant`` or a path; :class:`UserError` if not prepared."""
    if reference.endswith((".h5", ".hdf5")) or os.sep in reference:
        if not Path(reference).exists():
            raise UserError(f"--dataset {reference}: there is no such file.")
        return Path(reference)
    name, _, variant = reference.partition(":")
    path = path_of(name, variant or None, data_dir)
    if not path.is_file():
        option = (f" --variant {variant}" if variant else "") + typed("data", data_dir)
        raise UserError(
            f"Dataset {reference!r} is not prepared: {path} does not exist.",
            f"Type: slotbench prepare {name}{option}",
        )
    return path
