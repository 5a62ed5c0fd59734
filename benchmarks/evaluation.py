"""Seconds that the evaluation takes: ``python benchmarks/evaluation.py [--threads 2]``.

Everything is timed in one run on this machine: the segmentation scores of 2,000 images, ARI
beside scikit-learn's in a loop over images, the assignment beside a loop over scipy's, the
property probe beside a plain loop that recomputes the core, the probes of slots trained together
beside one after the other, histogram trees beside exact ones, and all groups of metrics for a core
of the preset ``quick`` on images of random discs, with the size of the cache.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.metrics import adjusted_rand_score

from benchmarks.goals import Goal
from slotbench.cores.core import Core
from slotbench.cores.decoders.spatial import Bilinear, BilinearConfig
from slotbench.cores.encoders.cnn import StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Array, Batch, Layout, Property
from slotbench.datasets.prepare.parts import join
from slotbench.evaluation.dci import TREES
from slotbench.evaluation.evaluate import GROUPS, evaluate
from slotbench.evaluation.pass_cache import Cache
from slotbench.evaluation.result import mean_result
from slotbench.evaluation.segmentation import adjusted_rand, contingency, scores
from slotbench.evaluation.slot_probes import Kind, SlotData, train_probes
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.objectives.reconstruction import Reconstruction, ReconstructionConfig
from slotbench.rng import building, numpy_generator, torch_generator

SIZE, OBJECTS, SLOTS = 64, 6, 7
SPLITS = {"train": 10_000, "val": 1_024, "test": 2_000}
LAYOUT = Layout(
    SIZE,
    SIZE,
    OBJECTS,
    (
        Property("shape", "categorical", classes=tuple("abc")),
        Property("color", "categorical", classes=tuple("abcdefgh")),
        Property("material", "categorical", classes=tuple("ab")),
        Property("size", "categorical", classes=tuple("ab")),
        Property("position", "numeric", dim=3),
        Property("rotation", "numeric"),
        Property("pixel_coords", "numeric", dim=3),
    ),
)


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


def beside(what: str, ours: float, theirs: float) -> None:
    print(f"{what}: {ours:.3f} s, {theirs:.3f} s: {theirs / ours:.1f} times as long")


def segmentation() -> None:
    generator = torch_generator(0, "benchmark", "segmentation")
    shape = (2000, SIZE, SIZE)
    truth = torch.randint(0, OBJECTS + 1, shape, generator=generator).to(torch.uint8)
    predicted = torch.randint(0, SLOTS, shape, generator=generator).to(torch.uint8)

    def both_sources() -> None:
        for _ in ("attention", "decoder"):
            for values in scores(predicted, truth, SLOTS).values():
                mean_result(values, 0)

    took = seconds(both_sources)
    print(f"segmentation, 2,000 images of 64x64, two sources, with intervals: {took:.2f} s")
    flat = [
        (t.flatten().numpy(), p.flatten().numpy()) for t, p in zip(truth, predicted, strict=True)
    ]
    beside(
        "ARI of 2,000 images, and scikit-learn's image by image",
        seconds(lambda: adjusted_rand(contingency(predicted, truth, SLOTS))),
        seconds(lambda: [adjusted_rand_score(t, p) for t, p in flat], repeats=2),
    )
    cost = torch.rand(2000, SLOTS, SLOTS, generator=generator)

    def loop() -> None:
        for matrix in cost:
            linear_sum_assignment(matrix.numpy())

    beside(
        "assignment of 2,000 matrices of 7x7, and a loop over scipy's",
        seconds(lambda: assign(cost)),
        seconds(loop),
    )


def probes(images: int, steps: int = 500) -> None:
    generator = numpy_generator(0, "benchmark", "probes")
    splits = []
    for n in (images, 256):
        batch = discs("probes", n)
        slots = generator.normal(size=(n, SLOTS, 48)).astype(np.float32)
        overlap = generator.random((n, SLOTS, OBJECTS)).astype(np.float32)
        properties = {prop.name: batch[prop.key] for prop in LAYOUT.properties}
        splits.append(SlotData(slots, overlap, batch["visible"], properties))
    data, val = splits
    kinds: tuple[Kind, ...] = ("loss", "mask", "set")

    def train(kinds: Sequence[Kind]) -> object:
        return train_probes(data, val, LAYOUT, seed=0, kinds=kinds, steps=steps)

    train(kinds)  # the first call loads what torch loads late
    beside(
        f"three linear probes of slots, {steps} steps, together and one after the other",
        seconds(lambda: train(kinds), repeats=2),
        seconds(lambda: [train((kind,)) for kind in kinds], repeats=2),
    )


def trees() -> None:
    generator = numpy_generator(0, "benchmark", "trees")
    codes = generator.normal(size=(2000, 48))
    kind = np.clip(4 + 2 * codes[:, 0] + generator.normal(size=2000), 0, 7).astype(int)
    ours = HistGradientBoostingClassifier(early_stopping=False, **TREES)
    exact = GradientBoostingClassifier(n_estimators=50, max_depth=3, subsample=0.5)
    beside(
        "trees of DCI for one property of 8 classes, and exact trees",
        seconds(lambda: ours.fit(codes, kind), repeats=2),
        seconds(lambda: exact.fit(codes, kind), repeats=1),
    )


def small_model() -> Reconstruction:
    """Core and decoder of the preset ``quick``, untrained."""
    with building(0, "benchmark"):
        encoder = StridedCnn(StridedCnnConfig(channels=32), SIZE)
        core = SlotAttention(SlotAttentionConfig(slots=SLOTS, width=48, mlp_width=96), encoder)
        decoder = Bilinear(BilinearConfig(), 48, SIZE)
    return Reconstruction(core, ReconstructionConfig(), decoder)


def plain_loop(core: Core, dataset: DatasetFile, steps: int) -> None:
    """What most code does: the core's pass and a linear probe, step by step, image by image."""
    encoding = Encoding.fit(LAYOUT, *_labels(dataset, 0, 256))
    probe = torch.nn.Linear(48, encoding.width)
    optimizer = torch.optim.Adam(probe.parameters(), lr=1e-3)
    for step in range(steps):
        start = step * 64 % (dataset.size("train") - 64)
        images = torch.from_numpy(dataset.read("train", start, start + 64, ("image",))["image"])
        with torch.no_grad():
            slots = core(images.permute(0, 3, 1, 2).float() / 255).slots
        properties, visible = _labels(dataset, start, start + 64)
        targets, predicted = encoding.encode(properties), encoding.normalise(probe(slots))
        losses = []
        for image in range(64):
            shown = torch.from_numpy(visible[image])
            cost = encoding.cost(predicted[image : image + 1], targets[image : image + 1])[0][shown]
            rows, columns = linear_sum_assignment(cost.detach().numpy())
            losses.append(cost[rows, columns].sum())
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _labels(dataset: DatasetFile, start: int, stop: int) -> tuple[dict[str, Array], Array]:
    keys = ("visible", *(prop.key for prop in LAYOUT.properties))
    batch = dataset.read("train", start, stop, keys)
    return {prop.name: batch[prop.key] for prop in LAYOUT.properties}, batch["visible"]


def whole(groups: Sequence[str], images: int) -> float:
    """Seconds of these groups of metrics on at most so many images of each split."""
    objective = small_model()
    attributes = {
        "name": "discs",
        "variant": "benchmark",
        "origin": "rendered",
        "sources": "[]",
        "generator": "benchmark",
        "seed": 0,
        "image_size": SIZE,
        "licence": "MIT",
    }
    sizes = {name: min(n, images) for name, n in SPLITS.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "discs.h5"
        join(path, LAYOUT, {name: [discs(name, n)] for name, n in sizes.items()}, attributes)
        with DatasetFile(path) as dataset:
            took = seconds(lambda: plain_loop(objective.core, dataset, 20), repeats=1)
            print(f"a plain probe loop that recomputes the core, 6,000 steps: {took * 300:.0f} s")
            cache = Cache(Path(folder) / "cache", {"model": "benchmark"}, print)

            def judge(names: Sequence[str]) -> float:
                return seconds(
                    lambda: evaluate(objective, dataset, seed=0, groups=names, cache=cache),
                    repeats=1,
                )

            total = judge(groups)
            print(f"all groups, with the passes over all splits: {total:.1f} s")
            size = sum(file.stat().st_size for file in (Path(folder) / "cache").iterdir())
            print(f"cache of {sizes}: {size / 1e6:.1f} MB")
    return total


def goals() -> list[Goal]:
    """Seconds of all groups but the decoder probe, for 10,000 + 2,000 images."""
    spent = whole([name for name in GROUPS if name != "decoder-probe"], 10_000)
    return [Goal("evaluation, all groups but the decoder probe: seconds", spent, 45)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument(
        "--groups",
        default=",".join(GROUPS),
        help="groups of metrics, with commas between; decoder-probe takes minutes",
    )
    parser.add_argument("--images", type=int, default=10_000, help="at most, of each split")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    segmentation()
    probes(min(options.images, 2_000))
    trees()
    whole([name for name in options.groups.split(",") if name], options.images)


if __name__ == "__main__":
    main()
