from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from slotbench.datasets import colors
from slotbench.datasets.views import PRESETS, ViewConfig, invert, make_views, to_original, warp
from slotbench.rng import torch_generator


def images(batch: int = 6, size: int = 32) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch_generator(0, "images"))


def test_no_change_gives_the_images_themselves() -> None:
    views = make_views(images(), ViewConfig("none"), (0, "train", 0))
    torch.testing.assert_close(views.images, images().expand(2, -1, -1, -1, -1))


def test_a_view_is_a_function_of_seed_step_and_place_in_the_batch() -> None:
    whole = make_views(images(), ViewConfig("simclr"), (0, "train", 3))
    again = make_views(images(), ViewConfig("simclr"), (0, "train", 3))
    part = make_views(images()[:4], ViewConfig("simclr"), (0, "train", 3))
    later = make_views(images(), ViewConfig("simclr"), (0, "train", 4))
    assert torch.equal(whole.images, again.images)
    torch.testing.assert_close(whole.images[:, :4], part.images)
    assert not torch.equal(whole.matrices, later.matrices)
    assert not torch.equal(whole.matrices[0], whole.matrices[1])
    assert len(whole.matrices[0].flatten(1).unique(dim=0)) == 6


def test_a_flip_is_torchs_flip() -> None:
    config = replace(PRESETS["none"], flip=1.0)
    views = make_views(images(), config, (0, "train", 0))
    torch.testing.assert_close(views.images[0], images().flip(3))


@pytest.mark.parametrize("preset", ["objects", "simclr"])
def test_views_stay_in_range_and_crops_inside_the_image(preset: str) -> None:
    config = PRESETS[preset]
    views = make_views(images(200, 16), config, (0, "train", 0))
    assert views.images.min() >= 0
    assert views.images.max() <= 1
    matrices = views.matrices
    reach = matrices[..., :2].abs().sum(-1) + matrices[..., 2].abs()
    assert (reach <= 1 + 1e-5).all()
    area = matrices[..., 0, 0].abs() * matrices[..., 1, 1]
    assert config.crop is not None
    assert area.min() >= 0.9 * config.crop[0]
    assert area.max() <= config.crop[1] + 1e-5


def test_a_crop_is_where_its_matrix_says() -> None:
    matrix = torch.tensor([[[0.5, 0.0, -0.5], [0.0, 0.5, 0.5]]])
    (view,) = warp(images(1), matrix)
    corner = images(1)[:, :, 16:, :16]
    enlarged = torch.nn.functional.interpolate(corner, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(view[:, 2:-2, 2:-2], enlarged[0][:, 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_masks_come_back_to_where_they_were() -> None:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    masks = torch.stack([torch.sin(x / 9), torch.cos(y / 7)]).expand(5, 2, 64, 64)
    matrices = make_views(images(5, 64), ViewConfig("objects"), (1, "train", 0)).matrices[0]
    found, seen = to_original(warp(masks, matrices), matrices)
    assert seen.float().mean() > 0.5
    error = (found - masks).abs().amax(dim=1)
    assert error[seen].quantile(0.99) < 0.05
    assert (found.abs().sum(1)[~seen] == 0).all()


def test_inverting_twice_is_no_change() -> None:
    matrices = make_views(images(), ViewConfig("simclr"), (0, "train", 0)).matrices
    torch.testing.assert_close(invert(invert(matrices)), matrices, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "theirs", "strengths"),
    [
        ("brightness", reference.adjust_brightness, (0.4, 1.0, 1.7)),
        ("contrast", reference.adjust_contrast, (0.2, 1.0, 1.8)),
        ("saturation", reference.adjust_saturation, (0.0, 0.5, 1.9)),
        ("hue", reference.adjust_hue, (-0.5, 0.0, 0.3)),
    ],
)
def test_colours_change_as_torchvision_changes_them(
    name: str, theirs: object, strengths: tuple[float, ...]
) -> None:
    batch = images(3)
    ours = getattr(colors, name)(batch, torch.tensor(strengths)).clamp(0, 1)
    for index, strength in enumerate(strengths):
        expected = theirs(batch[index], strength)  # type: ignore[operator]
        torch.testing.assert_close(ours[index], expected, atol=2e-5, rtol=0)


def test_blur_is_torchvisions_gaussian() -> None:
    batch, sigma = images(2), torch.tensor([0.5, 1.3])
    ours = colors.blur(batch, sigma, 7)
    for index in range(2):
        expected = reference.gaussian_blur(batch[index], [7, 7], [float(sigma[index])] * 2)
        torch.testing.assert_close(ours[index], expected, atol=1e-5, rtol=0)
