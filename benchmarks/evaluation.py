"""Seconds that the evaluation takes: ``python benchmarks/evaluation.py [--threads 2]``.

Everything is timed in one run on this machine: the segmentation scores of 2,000 images beside
scikit-learn's adjusted_rand_score in a loop over images, the assignment of 32 matrices of 7x7,
the probes on 6,000 training images, and a whole evaluation of a core of the preset ``quick``
on images of random discs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from slotbench.cores.decoders import Bilinear, BilinearConfig
from slotbench.cores.encoders import StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.datasets.parts import join
from slotbench.datasets.schema import Batch, DatasetFile, Layout, Property
from slotbench.evaluation.evaluate import evaluate
from slotbench.evaluation.segmentation import scores
from slotbench.matching import assign
from slotbench.objectives.reconstruction import Reconstruction, ReconstructionConfig
from slotbench.rng import building, numpy_generator, torch_generator

SIZE, OBJECTS, SLOTS = 64, 6, 7
SPLITS = {"train": 6000, "val": 500, "test": 2000}
LAYOUT = Layout(
    SIZE, SIZE, OBJECTS,
    (
        Property("shape", "categorical", classes=tuple("abc")),
        Property("color", "categorical", classes=tuple("abcdefgh")),
        Property("material", "categorical", classes=tuple("ab")),
        Property("size", "categorical", classes=tuple("ab")),
        Property("position", "numeric", dim=3),
        Property("rotation", "numeric"),
        Property("pixel_coords", "numeric", dim=3),
    ),
)  # fmt: skip


def discs(split: str, n: int) -> Batch:
    """n images of three to six discs, with random properties."""
    generator = numpy_generator(0, "benchmark", split)
    batch = LAYOUT.empty(n)
    batch["image"][:] = generator.integers(90, 110, batch["image"].shape)
    shown = np.arange(OBJECTS) < generator.integers(3, OBJECTS + 1, (n, 1))
    centre = generator.uniform(8, SIZE - 8, (n, OBJECTS, 2))
    y, x = np.mgrid[:SIZE, :SIZE]
    for index in range(OBJECTS):
        at = centre[:, index, :, None, None]
        inside = ((y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2 < 64) & shown[:, index, None, None]
        batch["mask"][inside] = index + 1
        color = generator.integers(0, 255, (n, 1, 1, 3)) * np.ones((1, SIZE, SIZE, 1))
        batch["image"][inside] = color[inside]
    for index in range(OBJECTS):
        batch["visible"][:, index] = (batch["mask"] == index + 1).any(axis=(1, 2))
    for prop in LAYOUT.properties:
        values = batch[prop.key]
        if prop.kind == "categorical":
            drawn = generator.integers(0, len(prop.classes), values.shape)
            values[:] = np.where(batch["visible"], drawn, -1)
        else:
            values[:] = generator.normal(size=values.shape)
    return batch


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least of several times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def segmentation() -> None:
    generator = torch_generator(0, "benchmark", "segmentation")
    shape = (2000, SIZE, SIZE)
    truth = torch.randint(0, OBJECTS + 1, shape, generator=generator).to(torch.uint8)
    predicted = torch.randint(0, SLOTS, shape, generator=generator)
    ours = seconds(lambda: scores(predicted, truth, SLOTS))
    print(f"segmentation, 2,000 images of 64x64, six metrics: {ours:.3f} s")
    flat = [
        (t.flatten().numpy(), p.flatten().numpy()) for t, p in zip(truth, predicted, strict=True)
    ]
    loop = seconds(lambda: [adjusted_rand_score(t, p) for t, p in flat], repeats=2)
    print(f"scikit-learn, ARI alone, image by image: {loop:.3f} s, {loop / ours:.0f} times as long")
    cost = torch.rand(32, SLOTS, SLOTS, generator=generator)
    print(f"assignment of 32 matrices of 7x7: {seconds(lambda: assign(cost), 50) * 1e6:.0f} us")


def whole() -> None:
    with building(0, "benchmark"):
        encoder = StridedCnn(StridedCnnConfig(channels=32), SIZE)
        core = SlotAttention(SlotAttentionConfig(slots=SLOTS, width=48, mlp_width=96), encoder)
        decoder = Bilinear(BilinearConfig(), 48, SIZE)
    objective = Reconstruction(core, ReconstructionConfig(), decoder)
    attributes = {
        "name": "discs", "variant": "benchmark", "origin": "rendered", "sources": "[]",
        "generator": "benchmark", "seed": 0, "image_size": SIZE, "licence": "MIT",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "discs.h5"
        join(path, LAYOUT, {name: [discs(name, n)] for name, n in SPLITS.items()}, attributes)
        with DatasetFile(path) as dataset:
            total = 0.0
            for groups in (("segmentation", "health"), ("properties",), ("linear-probe",)):
                start = time.perf_counter()
                evaluate(objective, dataset, seed=0, groups=groups)
                took = time.perf_counter() - start
                total += took
                print(f"{' and '.join(groups)}, with the forward passes: {took:.1f} s")
            start = time.perf_counter()
            evaluate(objective, dataset, seed=0)
            print(f"all in one evaluation: {time.perf_counter() - start:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    torch.set_num_threads(parser.parse_args().threads)
    segmentation()
    whole()


if __name__ == "__main__":
    main()
