"""A summary of a prepared dataset, in a few lines."""

from dataclasses import dataclass

import numpy as np

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, SPLITS, Array, Property


@dataclass(frozen=True)
class Split:
    """Counts of one split."""

    objects: Array
    """Visible objects of each image, int64 (n,)."""
    share: float
    """Share of pixels that have a label, in [0, 1]."""
    codes: dict[str, Array]
    """Property -> visible objects of each class, int64 (classes,)."""


def count(dataset: DatasetFile, split: str) -> Split:
    """Count a split, a block of images at a time."""
    classes = [prop for prop in dataset.layout.properties if prop.kind == "categorical"]
    codes = {prop.name: np.zeros(len(prop.classes), np.int64) for prop in classes}
    objects, labelled, pixels = [np.zeros(0, np.int64)], 0, 0
    for batch in dataset.blocks(split):
        objects.append(batch["visible"].sum(axis=1))
        labelled += int((batch["mask"] != NOT_LABELLED).sum())
        pixels += batch["mask"].size
        for prop in classes:
            found = batch[prop.key][batch["visible"]]
            # A shifted test set has -1 for new classes.
            codes[prop.name] += np.bincount(found[found >= 0], minlength=len(prop.classes))
    return Split(np.concatenate(objects), labelled / max(pixels, 1), codes)


def summary(dataset: DatasetFile) -> list[str]:
    """A line for each split, then for each property; classes are counted in ``train``."""
    order = (*SPLITS, *(split for split in dataset.splits if split not in SPLITS))
    splits = {split: count(dataset, split) for split in order}
    width = max(map(len, splits))
    lines = [f"{split:<{width}}  {_of(found)}" for split, found in splits.items()]
    lines += [_property(prop, splits["train"]) for prop in dataset.layout.properties]
    if not any(found.share for found in splits.values()):
        lines.append(
            "No pixel is labelled: segmentation cannot be scored, properties can."
            if dataset.layout.properties
            else "No pixel is labelled and there are no properties: nothing can be scored."
        )
    return lines


def _of(found: Split) -> str:
    fewest, most = found.objects.min(initial=255), found.objects.max(initial=0)
    objects = f"{fewest} to {most} (mean {found.objects.mean():.2f})" if fewest < most else most
    images = f"{len(found.objects):,} images"
    return f"{images}, objects visible: {objects}, labelled: {_percent(found.share)}"


def _percent(share: float) -> str:
    """A rounded share; only exactly 0 and 1 are called none and all."""
    if share in (0, 1):
        return "all pixels" if share else "no pixel"
    if not 0.0005 <= share < 0.9995:
        return f"{'under 0.1' if share < 0.5 else 'over 99.9'} % of pixels"
    return f"{100 * share:.1f} % of pixels"


def _property(prop: Property, train: Split) -> str:
    if prop.kind == "numeric":
        size = "a number" if prop.dim == 1 else f"{prop.dim} numbers"
        return f"{prop.name}: {size}" + (f" ({prop.unit})" if prop.unit else "")
    counts = train.codes[prop.name]
    named = [f"{name} {n:,}" for name, n in zip(prop.classes, counts.tolist(), strict=True)]
    shown = ", ".join(named[:10]) + (f" and {len(named) - 10} more" if len(named) > 10 else "")
    return f"{prop.name}: {len(named)} classes, {shown}"
