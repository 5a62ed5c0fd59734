"""Masks of a decoder that is trained on frozen slots."""

from typing import TYPE_CHECKING

from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.metric_segmentation import NAMES
from slotbench.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.evaluation.frozen_decoder import FrozenDecoder
    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result

SOURCE = "probe-decoder"
_BLOCK = 64


@register("metrics")
class DecoderProbe(Metric):
    """``<metric>/probe-decoder`` and ``recon_mse/probe-decoder``.

    The core is frozen, the decoder of :mod:`slotbench.evaluation.frozen_decoder` is trained on
    its slots of the training images to reconstruct them, and its masks are scored as those of
    any source. It gives masks to objectives that have no decoder, and is the same for all.
    Minutes on two cores, so it is computed only where it is named. Without slots or without
    training images it is skipped; without a labelled pixel only the error is there.
    """

    summary = "masks of one decoder for all, trained on frozen slots: minutes"
    source = "slotbench, docs/evaluation.md"
    name = "decoder-probe"
    default = False
    keys = tuple(f"{name}/{SOURCE}" for name in (*NAMES, "recon_mse"))
    needs = ("slots", "labelled")
    cost = 100_000.0

    def splits(self, dataset: "DatasetFile") -> dict[str, tuple[str, ...]]:
        del dataset
        return {JUDGED: self.needs, "train": ("slots",)}

    def compute(self, context: Context) -> "dict[str, Result]":
        from slotbench.evaluation.frozen_decoder import DECODER, STEPS, targets, train_decoder
        from slotbench.evaluation.result import mean_result

        train, made = context.made["train"], context.judged
        decoder = train_decoder(
            train.slots,
            targets(train.dataset, train.split, train.n, DECODER.size),
            seed=context.seed,
            steps=min(STEPS, context.probe_steps),
            device=context.device,
            progress=context.progress(),
        )
        values = _scored(decoder, made)
        if not made.labelled:
            context.skip(self.name, "no pixel of the images is labelled")
            values = {"recon_mse": values["recon_mse"]}
        return {
            f"{name}/{SOURCE}": mean_result(each, context.seed, self.version)
            for name, each in values.items()
        }


def _scored(decoder: "FrozenDecoder", made: "Representations") -> "dict[str, Tensor]":
    """Each score of the decoder's masks and its error, float64 (n,)."""
    import torch

    from slotbench.evaluation.scoring import reconstruction_error
    from slotbench.evaluation.segmentation import labels_from_masks, scores

    kept: dict[str, list[Tensor]] = {}
    device = decoder.mean.device
    for start in range(0, made.n, _BLOCK):
        stop = min(made.n, start + _BLOCK)
        batch = made.dataset.read(made.split, start, stop, ("image", "mask"))
        images = torch.from_numpy(batch["image"]).to(device).permute(0, 3, 1, 2).float() / 255
        truth = torch.from_numpy(batch["mask"])
        with torch.no_grad():
            decoded = decoder(torch.from_numpy(made.slots[start:stop]).to(device))
        labels = labels_from_masks(decoded.masks, (truth.shape[1], truth.shape[2])).cpu()
        found = scores(labels, truth, decoded.masks.shape[1])
        assert decoded.image is not None  # it is a decoder of images
        found["recon_mse"] = reconstruction_error(decoded.image, images).cpu().double()
        for name, values in found.items():
            kept.setdefault(name, []).append(values)
    return {name: torch.cat(values) for name, values in kept.items()}
