"""Where the prepared file of a dataset is."""

import os
from pathlib import Path

from slotbench import registry
from slotbench.errors import UserError
from slotbench.files import typed

ENDINGS = (".h5", ".hdf5")


def is_file(reference: str) -> bool:
    """Whether a reference is the path of a prepared file, not ``name`` or ``name:variant``."""
    if reference.endswith(ENDINGS) or os.sep in reference:
        return True
    there = os.path.isfile(reference)  # noqa: PTH113  # a name that is too long is none
    return there and not is_known(reference)


def is_known(reference: str) -> bool:
    """Whether ``name`` or ``name:variant`` begins with the name of a dataset."""
    return reference.partition(":")[0] in registry.entries("datasets")


def parse(reference: str, variant: str | None = None) -> tuple[str, str]:
    """Name and variant of ``name`` or ``name:variant``; without a variant, the dataset's first.

    ``variant`` is typed apart, as ``--variant``. :class:`UserError` for an unknown name or
    variant, and for two different variants.
    """
    name, _, own = reference.partition(":")
    variants = registry.get("datasets", name).variants
    if own and variant and own != variant:
        raise UserError(
            f"--variant {variant}: {reference} names another variant.", "Leave one of them out."
        )
    chosen = own or variant or variants[0]
    if chosen not in variants:
        raise registry.unknown(f"variant of {name}", chosen, variants)
    return name, chosen


def path_of(name: str, variant: str, data_dir: Path) -> Path:
    """``<name>.h5`` for the default variant, ``<name>-<variant>.h5`` for the others."""
    first = registry.get("datasets", name).variants[0]
    return data_dir / (f"{name}.h5" if variant == first else f"{name}-{variant}.h5")


def locate(reference: str | Path, data_dir: Path) -> Path:
    """The path, or the file of ``name`` or ``name:variant``; :class:`UserError` if not prepared."""
    reference = str(reference)
    if is_file(reference):
        return Path(reference)
    path = path_of(*parse(reference), data_dir)
    if not path.is_file():
        raise UserError(
            f"Dataset {reference!r} is not prepared: {path} does not exist.",
            f"Type: slotbench prepare {reference}{typed('data', data_dir)}",
        )
    return path
