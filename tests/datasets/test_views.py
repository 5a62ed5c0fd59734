from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as reference

from slotbench.config.run_config import with_field
from slotbench.datasets.format import views as colors
from slotbench.datasets.format.views import PRESETS, ViewConfig, make_views, to_original, warp
from slotbench.errors import UserError
from slotbench.rng import torch_generator


def images(batch=6, size=32):
    return torch.rand(batch, 3, size, size, generator=torch_generator(0, "images"))


def test_no_change_gives_the_images_themselves():
    views = make_views(images(), ViewConfig("none"), (0, "train", 0))
    torch.testing.assert_close(views.images, images().expand(2, -1, -1, -1, -1))


def test_a_view_is_a_function_of_seed_step_and_place_in_the_batch():
    whole = make_views(images(), ViewConfig("simclr"), (0, "train", 3))
    again = make_views(images(), ViewConfig("simclr"), (0, "train", 3))
    part = make_views(images()[:4], ViewConfig("simclr"), (0, "train", 3))
    later = make_views(images(), ViewConfig("simclr"), (0, "train", 4))
    assert torch.equal(whole.images, again.images)
    torch.testing.assert_close(whole.images[:, :4], part.images)
    assert not torch.equal(whole.matrices, later.matrices)
    assert not torch.equal(whole.matrices[0], whole.matrices[1])
    assert len(whole.matrices[0].flatten(1).unique(dim=0)) == 6


def test_a_flip_is_torchs_flip():
    config = replace(PRESETS["none"], flip=1.0)
    views = make_views(images(), config, (0, "train", 0))
    torch.testing.assert_close(views.images[0], images().flip(3))


@pytest.mark.parametrize("preset", ["objects", "simclr"])
def test_views_stay_in_range_and_crops_inside_the_image(preset):
    config = PRESETS[preset]
    views = make_views(images(200, 16), config, (0, "train", 0))
    assert views.images.min() >= 0
    assert views.images.max() <= 1
    matrices = views.matrices
    reach = matrices[..., :2].abs().sum(-1) + matrices[..., 2].abs()
    assert (reach <= 1 + 1e-5).all()
    area = matrices[..., 0, 0].abs() * matrices[..., 1, 1]
    assert area.min() >= 0.9 * config.crop[0]
    assert area.max() <= config.crop[1] + 1e-5


def test_masks_come_back_to_where_they_were():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    masks = torch.stack([torch.sin(x / 9), torch.cos(y / 7)]).expand(5, 2, 64, 64)
    matrices = make_views(images(5, 64), ViewConfig("objects"), (1, "train", 0)).matrices[0]
    found, seen = to_original(warp(masks, matrices), matrices)
    assert seen.float().mean() > 0.5
    error = (found - masks).abs().amax(dim=1)
    assert error[seen].quantile(0.99) < 0.05
    assert (found.abs().sum(1)[~seen] == 0).all()


@pytest.mark.parametrize(
    ("name", "theirs", "strengths"),
    [
        ("brightness", reference.adjust_brightness, (0.4, 1.0, 1.7)),
        ("contrast", reference.adjust_contrast, (0.2, 1.0, 1.8)),
        ("saturation", reference.adjust_saturation, (0.0, 0.5, 1.9)),
        ("hue", reference.adjust_hue, (-0.5, 0.0, 0.3)),
        ("blur", lambda image, sigma: reference.gaussian_blur(image, 7, sigma), (0.5, 1.0, 1.3)),
    ],
)
def test_images_change_as_torchvision_changes_them(name, theirs, strengths):
    batch = images(3)
    size = (7,) if name == "blur" else ()
    ours = getattr(colors, name)(batch, torch.tensor(strengths), *size).clamp(0, 1)
    for index, strength in enumerate(strengths):
        expected = theirs(batch[index], strength)
        torch.testing.assert_close(ours[index], expected, atol=2e-5, rtol=0)


def affine(batch):
    """Turns, shears and shifts; no two alike, none singular."""
    noise = torch.randn(batch, 2, 3, generator=torch_generator(0, "affine"))
    return torch.eye(2, 3) + 0.2 * noise


def test_a_warp_is_torchs_for_any_affine_matrix():
    grid = functional.affine_grid(affine(6), [6, 3, 24, 32], align_corners=False)
    picture = torch.rand(6, 3, 24, 32, generator=torch_generator(0, "picture"))
    expected = functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(warp(picture, affine(6)), expected, atol=1e-4, rtol=0)


def test_autocast_moves_and_rounds_nothing():
    plain = make_views(images(), ViewConfig("simclr"), (0, "val", 0))
    found, seen = to_original(plain.images[0], plain.matrices[0])
    with torch.autocast("cpu", torch.bfloat16):
        views = make_views(images(), ViewConfig("simclr"), (0, "val", 0))
        again, where = to_original(views.images[0], views.matrices[0])
    assert torch.equal(views.images, plain.images)
    assert torch.equal(again, found)
    assert torch.equal(where, seen)


def test_a_halved_frame_comes_back_at_any_size():
    # The view is the left half of the image, flipped; its masks are coarser than the image.
    matrix = torch.tensor([[[-0.5, 0.0, -0.5], [0.0, 1.0, 0.0]]])
    masks = torch.rand(1, 3, 16, 8, generator=torch_generator(0, "masks"))
    found, seen = to_original(masks, matrix, size=(16, 16))
    assert torch.equal(seen[0], (torch.arange(16) < 8).expand(16, 16))
    torch.testing.assert_close(found[..., :8], masks.flip(3))
    assert (found[..., 8:] == 0).all()


CHANGES = [("flip", {}), ("gray", {}), ("blur", {}), ("jitter", {"hue": 0.5})]
CHANGES += [("jitter", {"brightness": 0.8}), ("jitter", {"contrast": 0.8, "saturation": 0.8})]


@pytest.mark.parametrize(("probability", "others"), CHANGES)
def test_a_change_happens_as_often_as_its_probability_says(probability, others):
    batch = images(1, 64).expand(500, 3, 64, 64)

    def changed(value):
        config = replace(PRESETS["none"], **{probability: value, **others})
        view = make_views(batch, config, (0, "train", 0), count=1).images[0]
        return (view - batch).abs().amax(dim=(1, 2, 3)) > 1e-3

    assert not changed(0).any()
    able, sometimes = changed(1), changed(0.3)  # a narrow blur changes nothing that can be seen
    assert able.sum() > 200
    assert not (sometimes & ~able).any()
    share = float(sometimes.sum() / able.sum())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / int(able.sum())) ** 0.5


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flip", "2", "=2.0: expected less than or equal to 1"),
        ("hue", "0.6", "=0.6: expected less than or equal to 0.5"),
        ("gray", "nan", "=nan: expected a finite number"),
        ("ratio", "0.5", "=0.5: expected greater than or equal to 1"),
        ("crop", "0.8,0.2", r"=\(0.8, 0.2\): expected two shares of the area, rising"),
        ("crop", "0,1", r"=\(0.0, 1.0\): expected greater than 0"),
    ],
)
def test_a_field_out_of_range_is_named(name, value, expected):
    with pytest.raises(UserError, match=rf"views\.{name}{expected}"):
        with_field("views", ViewConfig(), name, value)


def test_own_fields_replace_those_of_the_preset():
    assert ViewConfig("simclr", flip=0.0).resolved() == replace(PRESETS["simclr"], flip=0.0)
