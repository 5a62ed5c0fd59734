"""The two ways in which a contrastive loss on slots falls while the slots learn nothing."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.datasets.format.views import ViewConfig, Views, make_views, warp
from slotbench.evaluation.health import position_share
from slotbench.evaluation.masks import centroids
from slotbench.matching import assign
from slotbench.objectives.alignment import Hungarian, Shared
from slotbench.objectives.contrastive import SimCLR, SimCLRConfig, nt_xent
from slotbench.objectives.objective import TrainBatch
from slotbench.rng import torch_generator

BATCH, SLOTS, WIDTH, SIDE = 8, 3, 32, 16
CHANCE = math.log(2 * BATCH - 1)
"""The loss of a slot that cannot be told from the same slot of all other images and views."""


class Leaky(Shared):
    """The trap: noise of its own for every image, the same in its views."""

    def noise(self, core, batch, views, generator):
        noise = core.noise(batch, generator)
        return noise.repeat(views, 1, 1)


class Blind(Core):
    """Slots that are their initial noise: nothing of the image comes into them."""

    def forward(self, images, noise=None):
        assert noise is not None
        attention = torch.full((len(images), self.num_slots, 2, 2), 1 / self.num_slots)
        return SlotOutput(noise, attention, torch.zeros(len(images), 4, 2))


def unrelated(step):
    """Two views that have nothing in common: each is noise of its own."""
    pixels = torch.rand(2, BATCH, 3, SIDE, SIDE, generator=torch_generator("pixels", step))
    views = Views(pixels, torch.eye(2, 3).expand(2, BATCH, 2, 3))
    return TrainBatch(pixels[0], views, 0, step)


def blind_loss(alignment):
    objective = SimCLR(Blind(CoreConfig(SLOTS, WIDTH), nn.Identity()), SimCLRConfig(), alignment)
    objective.projector = nn.Identity()
    return float(objective.loss(unrelated(0))["loss"])


def test_slots_of_noise_alone_tell_images_apart_if_every_image_has_its_own():
    assert blind_loss(Leaky()) < 0.2 * CHANCE
    assert blind_loss(Shared()) > CHANCE


COUNT, SCENES = 4, 16


class Scenes:
    """Label maps (S, 32, 32) of four blobs a scene, and what each blob is, (S, 4, 8)."""

    def __init__(self, scenes):
        generator = torch_generator("scenes")
        centres = torch.rand(scenes, COUNT, 2, generator=generator) * 1.6 - 0.8
        grid = torch.linspace(-1, 1, 32)
        y, x = torch.meshgrid(grid, grid, indexing="ij")
        at = centres[..., None, None]
        self.labels = ((x - at[:, :, 0]) ** 2 + (y - at[:, :, 1]) ** 2).argmin(dim=1)
        self.things = torch.randn(scenes, COUNT, 8, generator=generator)

    def views(self, config):
        return make_views(torch.zeros(len(self.labels), 3, 32, 32), config, ("trap",), 2)

    def output(self, views, kind):
        """Perfect masks; slots that hold where the mask is, or what is under it, in any order."""
        generator = torch_generator("slots")
        seen = torch.cat([warp(self.labels[:, None], matrices) for matrices in views.matrices])
        masks = (seen == torch.arange(COUNT)[:, None, None]).float()
        things = self.things.repeat(2, 1, 1)
        order = torch.stack([torch.randperm(COUNT, generator=generator) for _ in range(len(masks))])
        masks = masks.take_along_dim(order[:, :, None, None], dim=1)
        things = things.take_along_dim(order[:, :, None], dim=1)
        made = things @ torch.randn(8, WIDTH, generator=generator)
        if kind == "place":
            # A blob that a crop has left out lies nowhere; its slot says so.
            values = centroids(masks).nan_to_num(nan=2.0).float()
            phase = 2 * math.pi * torch.rand(WIDTH, generator=generator)
            made = (values @ torch.randn(2, WIDTH, generator=generator) * 3 + phase).cos()
        return SlotOutput(made, masks, torch.zeros(len(masks), 4, 2))


def contrast(kind, config):
    scenes = Scenes(SCENES)
    views = scenes.views(config)
    paired = Hungarian().pair(scenes.output(views, kind), views)
    return float(nt_xent(*paired.vectors, temperature=0.02))


def test_slots_that_hold_places_are_found_out_by_crops_that_move_the_objects():
    still, moving = ViewConfig("none"), ViewConfig("objects")
    chance = math.log(2 * SCENES * COUNT - 1)
    assert contrast("place", still) < 0.25 * chance
    assert contrast("place", moving) > 2 * contrast("place", still)
    assert contrast("thing", still) < 0.25 * chance
    assert contrast("thing", moving) < 0.25 * chance


@pytest.mark.parametrize(("kind", "low", "high"), [("place", 0.9, 1.0), ("thing", 0.0, 0.1)])
def test_position_share_tells_slots_of_places_from_slots_of_objects(kind, low, high):
    scenes = Scenes(400)
    views = scenes.views(ViewConfig("none"))
    output = scenes.output(views, kind)
    slots, masks = output.slots[:400], output.attention[:400]
    truth = (scenes.labels[:, None] == torch.arange(COUNT)[:, None, None]).float()
    order = assign(-truth.flatten(2) @ masks.flatten(2).mT)
    assert (order >= 0).all()
    found = position_share(
        slots.numpy(), centroids(masks).numpy(), scenes.things.numpy(), order.numpy()
    )
    assert low <= found.share <= high
    assert np.isfinite(found[:4]).all()
