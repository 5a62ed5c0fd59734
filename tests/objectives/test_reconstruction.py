"""The error of the mixture, and of what each slot draws alone."""

from dataclasses import replace

import pytest
import torch

from slotbench.cores.decoders.patch import Transformer, TransformerConfig
from slotbench.cores.decoders.spatial import Bilinear, BilinearConfig
from slotbench.cores.encoders.cnn import StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.datasets.format.views import ViewConfig, make_views
from slotbench.objectives.objective import TrainBatch
from slotbench.objectives.reconstruction import Reconstruction, ReconstructionConfig
from slotbench.rng import building, torch_generator

STEPS = 80


def make(size=16, **fields):
    with building(0, "tests"):
        encoder = StridedCnn(StridedCnnConfig(channels=8), 32)
        core = SlotAttention(SlotAttentionConfig(slots=3, width=8, mlp_width=8), encoder)
        decoder = Bilinear(BilinearConfig(channels=8, grid=4, size=size), 8, 32)
        made = Reconstruction(core, ReconstructionConfig(**fields), decoder)
    made.steps = STEPS
    return made


def batch(step=STEPS - 1, purpose="train"):
    images = torch.rand(4, 3, 32, 32, generator=torch_generator("tests", "images"))
    return TrainBatch(images, None, 0, step, purpose)


def drawn(made, asked):
    output = made.core(asked.images, asked.noise(made.core))
    return made.decode(output, asked.images), torch.nn.functional.avg_pool2d(asked.images, 2)


def by_hand(made, asked, error):
    """sum_k m_k e(x, x_k), slot by slot."""
    decoded, target = drawn(made, asked)
    total = torch.zeros(())
    for slot in range(3):
        part, mask = decoded.parts[:, slot], decoded.masks[:, slot]
        if error == "squared":
            pixels = (part - target) ** 2
        else:
            clamped = part.clamp(1e-4, 1 - 1e-4)
            pixels = torch.nn.functional.binary_cross_entropy(clamped, target, reduction="none")
        total = total + (mask[:, None] * pixels).sum()
    return total / target.numel()


@pytest.mark.parametrize("error", ["squared", "bce"])
def test_what_slots_draw_alone_is_weighted_by_their_masks(error):
    made = make(alone=1.0, error=error)
    torch.testing.assert_close(made.loss(batch())["loss"], by_hand(made, batch(), error))


def test_a_share_mixes_the_two():
    none, half, whole = (make(alone=share).loss(batch())["loss"] for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + whole) / 2)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0.0), (30, 0.0), (35, 0.2), (40, 0.4), (50, 0.8), (79, 0.8)]
)
def test_the_share_rises_with_the_steps_and_not_in_validation(step, share):
    made = make(alone=0.8)
    assert made.share(batch(step)) == pytest.approx(share)
    assert made.share(batch(step, "val")) == 0


def test_training_reconstructs_random_crops_and_validation_whole_images():
    """The loss is that of views made by hand; crop=1 and val see the images themselves."""
    asked = batch()
    keys = (asked.seed, "train", "crop", asked.step)
    views = make_views(asked.images, ViewConfig("none", crop=(0.6, 1.0), flip=0.5), keys, count=1)
    assert not torch.equal(views.images[0], asked.images)
    by_views = make().loss(replace(asked, images=views.images[0]))["loss"]
    cropped = make(crop=0.6)
    assert torch.equal(cropped.loss(asked)["loss"], by_views)
    whole = make().loss(asked)["loss"]
    assert torch.equal(make(crop=1.0).loss(asked)["loss"], whole)
    unseen = batch(purpose="val")
    assert torch.equal(cropped.loss(unseen)["loss"], make().loss(unseen)["loss"])


def test_processes_crop_their_own_rows_of_the_batch():
    together = batch().cropped(0.6).images
    halves = [
        replace(batch(), images=half, rank=rank, world=2).cropped(0.6).images
        for rank, half in enumerate(batch().images.chunk(2))
    ]
    torch.testing.assert_close(torch.cat(halves), together)


@pytest.mark.parametrize("size", [4, 16])
def test_attention_multiplies_masks(size):
    """Masks are d_k A_k^2 over their sum: in half of the rise, in masks, and in the gradient."""
    made = make(size, attend=4.0, rise=(0.0, 1.0))
    asked = replace(batch(STEPS // 2), images=batch().images[:2])
    output = made.core(asked.images, asked.noise(made.core))
    shrink = {4: torch.nn.AvgPool2d(2), 16: torch.nn.Upsample(scale_factor=2, mode="bilinear")}
    plain, seen = made.decoder(output.slots), shrink[size](output.attention)
    masks = plain.masks * seen**2
    masks = masks / masks.sum(dim=1, keepdim=True)
    image = (masks[:, :, None] * plain.parts).sum(dim=1)
    target = torch.nn.functional.avg_pool2d(asked.images, 32 // size)
    found, wanted = made.loss(asked)["loss"], (image - target).square().mean()
    torch.testing.assert_close(found, wanted)
    weights = list(made.core.parameters())
    for one, other in zip(
        *(torch.autograd.grad(loss, weights, allow_unused=True) for loss in (found, wanted)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    full = plain.masks * seen**4
    full = full / full.sum(dim=1, keepdim=True)
    torch.testing.assert_close(made.masks(asked.images, output), full)


def test_attention_multiplies_no_masks_of_a_decoder_without_any():
    decoder = Transformer(TransformerConfig(width=8, heads=2, depth=1), 8, 32)
    config = ReconstructionConfig(attend=1.0)
    with pytest.raises(ValueError, match=r"attend=1\.0: expected a decoder that draws each slot"):
        Reconstruction(make().core, config, decoder)
