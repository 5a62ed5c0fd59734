"""A summary of a prepared dataset, in a few lines."""

from dataclasses import dataclass, field

import numpy as np

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, SPLITS, Array, Property


@dataclass
class Split:
    """Counts of one split; ``codes`` has the objects of each class, by property."""

    images: int = 0
    objects: int = 0
    fewest: int = 0
    most: int = 0
    pixels: int = 0
    labelled: int = 0
    codes: dict[str, Array] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of pixels that have a label, in [0, 1]."""
        return self.labelled / self.pixels if self.pixels else 0.0


def count(dataset: DatasetFile, split: str) -> Split:
    """Count a split, a block of images at a time. Only visible objects count."""
    classes = [prop for prop in dataset.layout.properties if prop.kind == "categorical"]
    found = Split(codes={prop.name: np.zeros(len(prop.classes), np.int64) for prop in classes})
    for batch in dataset.blocks(split):
        objects = batch["visible"].sum(axis=1)
        found.fewest = int(min(objects.min(), found.fewest if found.images else objects.min()))
        found.most = max(found.most, int(objects.max()))
        found.images += len(objects)
        found.objects += int(objects.sum())
        found.pixels += batch["mask"].size
        found.labelled += int((batch["mask"] != NOT_LABELLED).sum())
        for prop in classes:
            codes, size = batch[prop.key][batch["visible"]], len(prop.classes)
            known = codes[(codes >= 0) & (codes < size)]
            found.codes[prop.name] += np.bincount(known, minlength=size)
    return found


def summary(dataset: DatasetFile) -> list[str]:
    """Lines on each split, then on the properties; classes are counted in ``train``."""
    order = (*SPLITS, *(split for split in dataset.splits if split not in SPLITS))
    splits = {split: count(dataset, split) for split in order}
    width = max(map(len, splits))
    lines = [f"{split:<{width}}  {_of(found)}" for split, found in splits.items()]
    lines += [_property(prop, splits["train"]) for prop in dataset.layout.properties]
    if not any(found.labelled for found in splits.values()):
        lines.append(
            "No pixel is labelled: segmentation cannot be scored, properties can."
            if dataset.layout.properties
            else "No pixel is labelled and there are no properties: nothing can be scored."
        )
    return lines


def _of(found: Split) -> str:
    objects = f"{found.most}"
    if found.fewest < found.most:
        mean = found.objects / found.images
        objects = f"{found.fewest} to {found.most} (mean {mean:.2f})"
    return f"{found.images:,} images, objects visible: {objects}, labelled: {_percent(found.share)}"


def _percent(share: float) -> str:
    """A rounded share that is 0 % or 100 % only where it is exactly so."""
    if share in (0, 1):
        return "all pixels" if share else "no pixel"
    text = f"{100 * share:.1f} %"
    if text in ("0.0 %", "100.0 %"):
        text = "under 0.1 %" if share < 0.5 else "over 99.9 %"
    return f"{text} of pixels"


def _property(prop: Property, train: Split) -> str:
    if prop.kind == "numeric":
        size = "a number" if prop.dim == 1 else f"{prop.dim} numbers"
        return f"{prop.name}: {size}" + (f" ({prop.unit})" if prop.unit else "")
    counts = train.codes[prop.name]
    named = [f"{name} {n:,}" for name, n in zip(prop.classes, counts.tolist(), strict=True)]
    shown = ", ".join(named[:10]) + (f" and {len(named) - 10} more" if len(named) > 10 else "")
    return f"{prop.name}: {len(named)} classes, {shown}"
