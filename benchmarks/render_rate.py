"""Images a second of every dataset that is made here, with a worker for each core.

The time is that of a whole preparation: starting processes, writing parts and joining them
included. Before it stands the processor time of each pass of the datasets that Mitsuba renders.
Type: python -m benchmarks.render_rate [--scale 1] [--passes 20] [NAME ...]
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal
from slotbench import registry
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.workers import cores

IMAGES = {
    "clevr:clevr6": 400,
    "clevr:clevr10": 400,
    "objects-room:default": 600,
    "clevrtex:full": 100,
    "multi-dsprites:colored_on_grayscale": 10_000,
    "multi-dsprites:colored_on_colored": 10_000,
    "multi-dsprites:binarized": 10_000,
    "multi-dsprites-video:colored_on_grayscale": 1_000,
    "tetrominoes:default": 10_000,
}
"""Name and variant -> images (of video: clips); about ten seconds each on two cores."""
MITSUBA = ("clevr:clevr6", "objects-room:default", "clevrtex:full")


def rendered(reference: str, images: int, workers: int, folder: Path) -> tuple[int, float]:
    """How many images (of video: frames) were made, and in how many seconds."""
    name, variant = reference.split(":")
    sizes = {"train": images, "val": 1, "test": 1}
    begun = time.perf_counter()
    path = prepare(Request(name, variant, sizes=sizes, workers=workers, data_dir=folder))
    spent = time.perf_counter() - begun
    with DatasetFile(path) as dataset:
        return sum(dataset.size(split) for split in dataset.splits), spent


def passes(reference: str, scenes: int) -> dict[str, float]:
    """Processor milliseconds an image of each pass, in one process with one thread.

    "sample" is a scene drawn until all its objects show, so it has one or more passes of labels.
    "seen" is the image of a scene whose shapes Python has seen, as it was until November 2026: each
    sample of an AOV integrator then takes the interpreter's lock.
    """
    name, variant = reference.split(":")
    kind = registry.get("datasets", name).load()
    dataset = kind(variant, kind.image_size, 0)
    renderer = dataset._renderer(None)
    spent = dict.fromkeys(("sample", "load and labels", "image", "seen"), 0.0)

    def timed(what: str, call: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.process_time()
        result = call(*arguments)
        spent[what] += 1000 * (time.process_time() - begun) / scenes
        return result

    dataset.render("train", 0, 1)  # materials are made once
    for index in range(scenes):
        scene = timed("sample", dataset._one, "train", index).scene
        loaded, _ = timed("load and labels", renderer.load, scene)
        timed("image", renderer.image, loaded, 0)
        loaded, _ = renderer.load(scene)
        loaded.shapes()
        timed("seen", renderer.image, loaded, 0)
    return spent


def goals() -> list[Goal]:
    """Milliseconds an image of clevr6 on two workers, by the clock and by the processor.

    Other work on the machine stretches the clock alone.
    """
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        made, spent = rendered("clevr:clevr6", IMAGES["clevr:clevr6"], 2, Path(folder))
    halved = (processor_seconds() - before) / 2
    return [
        Goal("rendering clevr6, two workers: ms an image", 1000 * spent / made, 20),
        Goal("the same, half the processor time: ms an image", 1000 * halved / made, 20),
    ]


def processor_seconds() -> float:
    """What this process and the children that have ended have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="NAME", help="datasets; none: all")
    options.add_argument("--scale", type=float, default=1.0, help="times as many images")
    options.add_argument("--passes", type=int, default=20, help="images; 0: no passes are timed")
    asked = options.parse_args()
    print(f"{cores()} cores; load of the machine {os.getloadavg()[0]:.1f}")
    for reference in MITSUBA if asked.passes else ():
        if not asked.names or reference.split(":")[0] in asked.names:
            spent_in = passes(reference, asked.passes).items()
            listed = ", ".join(f"{name} {spent:.2f}" for name, spent in spent_in)
            print(f"{reference}, processor ms an image: {listed}", flush=True)
    for reference, count in IMAGES.items():
        if asked.names and reference.split(":")[0] not in asked.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            images = max(1, round(count * asked.scale))
            made, spent = rendered(reference, images, cores(), Path(folder))
        rate, each = made / spent, 1000 * spent / made
        print(f"{reference}: {rate:,.1f} images/s, {each:.2f} ms each", flush=True)


if __name__ == "__main__":
    main()
