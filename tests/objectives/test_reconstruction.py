"""The error of the mixture, and of what each slot draws alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from slotbench.datasets.format.views import ViewConfig, make_views
from slotbench.objectives.reconstruction import Reconstruction
from tests.objectives import tiny

STEPS = 80


def made_of(data, *extra):
    """Reconstruction, and a batch of the last step."""
    made, batch = tiny.made_of(data, "reconstruction", "encoder.stride=4", *extra, steps=STEPS)
    return made, replace(batch, step=STEPS - 1)


def pixels(error, image, target):
    if error == "squared":
        return (image - target) ** 2
    return functional.binary_cross_entropy(image.clamp(1e-4, 1 - 1e-4), target, reduction="none")


def by_hand(made, batch, power, alone, error):
    """The error where masks are d_k A_k^power over their sum, and these masks."""
    output, size = made.core(batch.images, batch.noise(made.core)), made.decoder.size
    shrink = {4: nn.AvgPool2d(2), 8: nn.Identity(), 16: nn.Upsample(None, 2, "bilinear")}
    plain, seen = made.decoder(output.slots), shrink[size](output.attention)
    masks = plain.masks * seen**power
    masks = masks / masks.sum(dim=1, keepdim=True)
    image = (masks[:, :, None] * plain.parts).sum(dim=1)
    target = functional.avg_pool2d(batch.images, 32 // size)
    total = (1 - alone) * pixels(error, image, target).sum()
    for slot in range(3):
        each = pixels(error, plain.parts[:, slot], target)
        total = total + alone * (masks[:, slot, None] * each).sum()
    return total / target.numel(), masks


@pytest.mark.parametrize(("size", "attend"), [(8, 0), (4, 4), (16, 4)])
@pytest.mark.parametrize("alone", [0, 1])
@pytest.mark.parametrize("error", ["squared", "bce"])
def test_the_error_is_that_of_the_mixture_and_of_slots_alone(data, error, alone, size, attend):
    """In half of the rise in value and gradient; masks are those of the whole power."""
    fields = {"alone": alone, "error": error, "attend": attend, "rise": "0,1"}
    extra = [f"objective.{key}={value}" for key, value in fields.items()]
    made, batch = made_of(data, *extra, f"decoder.size={size}")
    batch = replace(batch, step=STEPS // 2)
    expected, _ = by_hand(made, batch, attend / 2, made.share(batch), error)
    tiny.assert_same_loss(made, made.loss(batch)["loss"], expected)
    output = made.core(batch.images, batch.noise(made.core))
    _, masks = by_hand(made, batch, attend, alone, error)
    torch.testing.assert_close(made.masks(batch.images, output), masks)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0.0), (30, 0.0), (35, 0.2), (40, 0.4), (50, 0.8), (79, 0.8)]
)
def test_the_share_rises_with_the_steps_and_not_in_validation(data, step, share):
    made, batch = made_of(data, "objective.alone=0.8")
    assert made.share(replace(batch, step=step)) == pytest.approx(share)
    assert made.share(replace(batch, step=step, purpose="val")) == 0


def test_training_reconstructs_random_crops_and_validation_whole_images(data):
    (whole, batch), (cropped, _) = made_of(data), made_of(data, "objective.crop=0.6")
    keys = (batch.seed, "train", "crop", batch.step)
    views = make_views(batch.images, ViewConfig("none", crop=(0.6, 1.0), flip=0.5), keys, count=1)
    assert not torch.equal(views.images[0], batch.images)
    by_views = whole.loss(replace(batch, images=views.images[0]))["loss"]
    assert torch.equal(cropped.loss(batch)["loss"], by_views)
    unseen = replace(batch, purpose="val")
    assert torch.equal(cropped.loss(unseen)["loss"], whole.loss(unseen)["loss"])
    # Processes crop their own rows of the batch.
    halves = [
        replace(batch, images=half, rank=rank, world=2).cropped(0.6).images
        for rank, half in enumerate(batch.images.chunk(2))
    ]
    torch.testing.assert_close(torch.cat(halves), batch.cropped(0.6).images)


def test_attention_multiplies_no_masks_of_a_decoder_without_any(data):
    made, _ = made_of(data)
    with pytest.raises(ValueError, match=r"attend=1\.0: expected a decoder that draws each slot"):
        Reconstruction(made.core, replace(made.config, attend=1.0), nn.Identity())
