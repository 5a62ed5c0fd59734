"""Runs as small as they can be: what the tests of objectives share."""

import dataclasses

import torch

from slotbench import registry
from slotbench.config.mixture import parse
from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import section_type
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, images_on
from slotbench.datasets.format.schema import Layout
from slotbench.datasets.format.views import ViewConfig, frames_as_views, make_views
from slotbench.datasets.prepare.parts import join
from slotbench.datasets.prepare.stored_features import add_features
from slotbench.objectives.objective import TrainBatch
from slotbench.results.run import Run
from slotbench.rng import torch_generator
from slotbench.training.build import build
from slotbench.training.loop import Host, Trainer
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch

FRAMES, STEPS, BATCH = 4, 4, 4
FILES = {False: "images.h5", True: "video.h5"}
SMALL = {
    "core": {"slots": 3, "width": 8, "mlp_width": 8, "iterations": 2},
    "encoder": {"channels": 8, "depth": 1, "stride": 8},
    "decoder": {"channels": 8, "grid": 4, "size": 8},
    "train": {"batch_size": BATCH, "warmup": 0, "learning_rate": 1e-2},
}
HEADS = {"hidden": 16, "projection": 8, "prototypes": 12, "bottleneck": 8, "queue": 10}
"""Whichever of them an objective has; the queue is no multiple of a batch's rows."""


def kinds():
    """Every objective of the registry."""
    return {name: entry.load() for name, entry in registry.entries("objectives").items()}


class Teacher:
    """Features that are a fixed function of the image, on a grid of 4x4."""

    name, description = "fake", "tests"

    def __call__(self, images, /):
        cells = torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(2).mT
        return torch.cat([cells, cells.square()], dim=2)


def write_data(folder):
    """Images (False) and video (True) of 32x32 with labels and a teacher's features."""
    files = {}
    for video in (False, True):
        frames = FRAMES if video else 1
        layout = Layout(32, 32, LAYOUT.objects, LAYOUT.properties, FRAMES if video else None)
        splits = {}
        for index, split in enumerate(("train", "val", "test")):
            batch = blocks_batch(8 * frames, index)
            if video:
                batch = {k: v.reshape(8, frames, *v.shape[1:]) for k, v in batch.items()}
            splits[split] = [batch]
        path = folder / FILES[video]
        join(path, layout, splits, ATTRIBUTES)
        add_features(path, Teacher())
        files[video] = DatasetFile(path)
    return files


def small(section, kind):
    """What makes a section small, of the fields that it has."""
    known = {item.name for item in dataclasses.fields(kind)}
    wanted = SMALL.get(section, HEADS)
    return [f"{section}.{key}={value}" for key, value in wanted.items() if key in known]


def config(dataset, objective, *extra, core="slot-attention", alignment=None, steps=STEPS, seed=0):
    """A run of ``objective``, as small as its components let it be."""
    parts = parse(objective)
    kinds = [registry.get("objectives", part.name).load() for part in parts]
    overrides = small("train", section_type("train", None))
    kind = registry.get("cores", core).load().Config
    # A core that always makes one slot says so itself.
    overrides += [
        text
        for text in small("core", kind)
        if kind().slots is None or not text.startswith("core.slots")
    ]
    overrides += small("encoder", registry.get("encoders", "strided-cnn").load().Config)
    if any(kind.takes_decoder for kind in kinds):
        overrides += small("decoder", registry.get("decoders", "bilinear").load().Config)
    for part, kind in zip(parts, kinds, strict=True):
        overrides += small("objective" if len(parts) == 1 else part.name, kind.Config)
    fields = {"core": core, "objective": objective, "alignment": alignment, "seed": seed}
    choice = Choice(preset="quick", steps=steps, overrides=(*overrides, *extra), **fields)
    return resolve(choice, dataset_info(dataset))


def trainer(folder, dataset, made):
    """The loop's modules; from its checkpoint, where ``folder`` holds one."""
    folder.mkdir(exist_ok=True)
    return Trainer(Run(folder), build(made), made, dataset, Host(torch.device("cpu")))


def batch(going, step):
    """What the loop gives the objective at a step."""
    return going.batch(going.loader("train", BATCH), step)


def objective(dataset, name, *extra, **choices):
    """The modules of a small run, in training mode."""
    return build(config(dataset, name, *extra, **choices)).train()


def is_temporal(name):
    """Whether an objective, or one of a sum, is trained on video."""
    return any(kinds()[part.name].temporal for part in parse(name))


def made_of(data, name, *extra, **choices):
    """Such modules on the data that they need, and their first batch."""
    made = objective(data[is_temporal(name)], name, *extra, **choices)
    return made, batch_of(data, made)


def state(module):
    """A copy of the state dict."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def differences(one, two):
    """Names whose tensors are not bit-identical."""
    assert one.keys() == two.keys()
    return [name for name, value in one.items() if not torch.equal(value, two[name])]


def assert_same_loss(made, value, expected, **close):
    """Two losses are equal, and so are their gradients of every weight."""
    torch.testing.assert_close(value, expected, **close)
    weights = {name: each for name, each in made.named_parameters() if each.requires_grad}
    ours, theirs = (
        torch.autograd.grad(loss, list(weights.values()), allow_unused=True, retain_graph=True)
        for loss in (value, expected)
    )
    for name, one, two in zip(weights, ours, theirs, strict=True):
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two)


def rows(seed, *shape):
    """Normal numbers that ask for a gradient."""
    return torch.randn(*shape, generator=torch_generator(seed, "rows")).requires_grad_()


def batch_of(data, made, step=0):
    """What the loop gives this objective at a step, without a loop."""
    views = None
    frames = made.views if made.temporal else 1
    keys = ("image", *made.reads)
    read = Loader(data[made.temporal], "train", BATCH, 0, keys=keys, frames=frames).batch(step)
    labels = {key: torch.from_numpy(read[key]) for key in made.reads}
    if made.temporal:
        views = frames_as_views(torch.from_numpy(read["image"]))
        labels = {key: values[:, 0] for key, values in labels.items()}
        return TrainBatch(views.images[0], views, 0, step, labels=labels)
    images = images_on(read, torch.device("cpu"))
    if made.views:
        views = make_views(images, ViewConfig(), (0, "train", step), made.views)
    return TrainBatch(images, views, 0, step, labels=labels)


def by_hand(made, batch):
    """Slots (M, D) of both views by student and by teacher, with the alignment ``shared``."""
    noise = made.core.noise(1, batch.generator("slots")).expand(len(batch.images), -1, -1)
    cores = made.core, made.teacher["core"] if hasattr(made, "teacher") else made.core
    return [
        [core(view, noise).slots.flatten(0, 1) for view in batch.views.images] for core in cores
    ]
