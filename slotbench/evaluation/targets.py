"""Properties as a probe's targets: their encoding, and the cost of a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.schema import Array, Layout, Property


@dataclass(frozen=True)
class Encoding:
    """The columns that each property takes in targets and predictions, P in all.

    A numeric property takes one column a dimension, standardised with the mean and variance
    over the visible objects of the training images; a categorical one takes one column a
    class (one-hot in targets, logits in predictions).
    """

    properties: tuple[Property, ...]
    columns: tuple[slice, ...]
    mean: Tensor
    """float64 (P,); 0 for categorical columns."""
    scale: Tensor
    """float64 (P,), the standard deviation; 1 for categorical columns and constant ones."""
    square: Tensor
    """float32 (P,): weight of a column's squared error; 1 / d for numeric columns, else 0."""
    log: Tensor
    """float32 (P,): weight of a column's cross-entropy; 1 for categorical columns, else 0."""

    @property
    def width(self) -> int:
        """P."""
        return len(self.mean)

    @classmethod
    def fit(cls, layout: Layout, properties: Mapping[str, Array], visible: Array) -> "Encoding":
        """The encoding with the means and variances of ``properties``.

        ``properties`` maps names to float32 (n, O[, d]) or int16 (n, O); ``visible`` is bool
        (n, O). ValueError where a property has neither dimensions nor classes.
        """
        columns, means, scales, squares, start = [], [], [], [], 0
        for prop in layout.properties:
            numeric = prop.kind == "numeric"
            size = prop.dim if numeric else len(prop.classes)
            if size < 1:
                raise ValueError(f"property {prop.name!r} has no classes")
            mean, scale = np.zeros(size), np.ones(size)
            if numeric and visible.any():
                mean, scale = _moments(
                    properties[prop.name].reshape(*visible.shape, prop.dim)[visible]
                )
            columns.append(slice(start, start + size))
            means.append(mean)
            scales.append(scale)
            squares.append(np.full(size, 1 / size if numeric else 0.0))
            start += size
        shift, spread, square = (
            torch.from_numpy(np.concatenate(parts)) for parts in (means, scales, squares)
        )
        log = (square == 0).float()
        return cls(layout.properties, tuple(columns), shift, spread, square.float(), log)

    def encode(self, properties: Mapping[str, Array]) -> Tensor:
        """Targets float32 (n, O, P); the one-hot columns of a class of -1 are all 0."""
        parts = []
        for prop, columns in zip(self.properties, self.columns, strict=True):
            values = torch.from_numpy(np.asarray(properties[prop.name]))
            if prop.kind == "numeric":
                values = values.reshape(*values.shape[:2], prop.dim).double()
                parts.append(((values - self.mean[columns]) / self.scale[columns]).float())
            else:
                classes = torch.arange(len(prop.classes))
                parts.append((values.long()[:, :, None] == classes).float())
        return torch.cat(parts, dim=2)

    def normalise(self, predicted: Tensor) -> Tensor:
        """Predictions (..., P) with log-probabilities in place of logits."""
        widths = [columns.stop - columns.start for columns in self.columns]
        # One split has one backward pass; each slice would make a tensor of zeros of its own.
        parts = zip(self.properties, torch.split(predicted, widths, dim=-1), strict=True)
        return torch.cat(
            [part if prop.kind == "numeric" else part.log_softmax(dim=-1) for prop, part in parts],
            dim=-1,
        )

    def pair_loss(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """The loss of each prediction for its target, (...): both are (..., P).

        The squared error of each numeric property, averaged over its dimensions, and the
        cross-entropy of each categorical one, summed over properties. ``predicted`` is
        normalised.
        """
        numeric = (predicted - targets).square() * self.square
        return (numeric - predicted * targets * self.log).sum(dim=-1)

    def cost(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """:meth:`pair_loss` of every object with every slot: (..., O, K), as one product.

        ``predicted`` is (..., K, P), normalised; ``targets`` is (..., O, P).
        """
        mixed = predicted * (2 * self.square + self.log)
        of_slot = predicted.square() @ self.square
        of_object = targets.square() @ self.square
        return of_object[..., :, None] + of_slot[..., None, :] - targets @ mixed.mT


def _moments(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the rows; 1 for a column that does not vary."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)
