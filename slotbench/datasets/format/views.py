"""Augmented views with their geometry, computed for whole batches on the device.

The parameters of sample i depend on (seed, step, i) alone and are drawn on the CPU: every
objective, device and batch size sees the same views of a step. After the crop come brightness,
contrast, saturation, hue, gray and blur (2002.05709 shuffles the first four for every image).
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn import functional

from slotbench.fields import Options, PositiveShare, Share, Space, Span
from slotbench.rng import Key, sent, torch_generator

Crop = tuple[PositiveShare, PositiveShare]


@dataclass(frozen=True)
class ViewConfig(Options):
    """How views differ from the image. ``preset`` sets every field that is None."""

    space: ClassVar[Space] = {
        "crop": ("0.3,1", "0.6,1", "0.9,1"),
        "brightness": Span(0.0, 0.6),
        "contrast": Span(0.0, 0.6),
        "hue": ("0", "0.05", "0.2"),
    }
    preset: Literal["objects", "simclr", "none"] = "objects"
    """``objects``: gentle crops, flips, brightness, contrast; ``simclr``: the paper's; ``none``."""
    crop: Crop | None = None
    """Smallest and largest share of the image's area that a view shows."""
    ratio: Annotated[float, Interval(ge=1, le=10)] | None = None
    """Largest ratio of a crop's sides; 1: square."""
    flip: Share | None = None
    """Probability of a horizontal flip."""
    jitter: Share | None = None
    """Probability that brightness, contrast, saturation and hue change."""
    brightness: Share | None = None
    """Largest relative change of brightness, 0 to 1."""
    contrast: Share | None = None
    """Largest relative change of contrast, 0 to 1."""
    saturation: Share | None = None
    """Largest relative change of saturation, 0 to 1."""
    hue: Annotated[float, Interval(ge=0, le=0.5)] | None = None
    """Largest shift of hue in turns, 0 to 0.5; views then no longer share their colours."""
    gray: Share | None = None
    """Probability that colour is removed."""
    blur: Share | None = None
    """Probability of a Gaussian blur, sigma from 0.1 to 2 pixels at 224 pixels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop is not None and self.crop[0] > self.crop[1]:
            raise ValueError(f"crop={self.crop}: expected two shares of the area, rising")

    def resolved(self) -> "ViewConfig":
        """The same with every field set."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return replace(PRESETS[self.preset], **fields)


PRESETS = {
    "none": ViewConfig("none", (1.0, 1.0), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "objects": ViewConfig("objects", (0.6, 1.0), 1.0, 0.5, 1.0, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0),
    # Chen et al. 2020, arXiv 2002.05709, Appendix A, with strength 1.
    "simclr": ViewConfig("simclr", (0.08, 1.0), 4 / 3, 0.5, 0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.5),
}


class Views(NamedTuple):
    """V views of B images."""

    images: Tensor
    """float32 (V, B, 3, H, W) in [0, 1]."""
    matrices: Tensor
    """float32 (V, B, 2, 3): from a view's coordinates to the image's, both in [-1, 1]."""


def frames_as_views(clips: Tensor) -> Views:
    """Frames of clips, uint8 (B, T, H, W, 3), as T unchanged views."""
    images = clips.permute(1, 0, 4, 2, 3).float().div_(255)
    identity = torch.eye(2, 3, device=clips.device)
    return Views(images, identity.expand(*images.shape[:2], -1, -1))


Draws = dict[str, Tensor]
"""Uniform numbers in [0, 1) that decide a view, by name: each float32 (B,)."""
DRAWN = ["area", "ratio", "x", "y", "flip", "jitter", "brightness", "contrast", "saturation"]
DRAWN += ["hue", "gray", "blur", "sigma"]
"""Their names, in the order of the draws."""


def make_views(
    images: Tensor, config: ViewConfig, keys: tuple[Key, ...], count: int = 2, first: int = 0
) -> Views:
    """``count`` views of images float32 (B, 3, H, W) in [0, 1]; ``keys`` is (seed, purpose, step).

    ``first`` is the index of the first image where these are a part of the batch.
    """
    settings = config.resolved()
    # Row by row: sample i does not depend on the number of samples after it.
    rows, numbers = first + len(images), len(DRAWN)
    drawn = [
        torch.rand(rows, numbers, generator=torch_generator(*keys, "view", view))[first:]
        for view in range(count)
    ]
    columns = sent(torch.cat(drawn), images.device).unbind(dim=1)
    draws = dict(zip(DRAWN, columns, strict=True))
    # The loss on val runs under autocast, which would change the views.
    with torch.autocast(images.device.type, enabled=False):
        matrices = _matrices(settings, draws)
        # All views in one pass: on a CPU, calls cost as much as pixels.
        made = warp(images.repeat(count, 1, 1, 1), matrices)
        made = _recolor(made, settings, draws).clamp_(0, 1)
    return Views(*(part.view(count, -1, *part.shape[1:]) for part in (made, matrices)))


def _matrices(config: ViewConfig, draws: Draws) -> Tensor:
    """Random resized crops with flips, float32 (B, 2, 3)."""
    (low, high), ratio, flip = config.crop or (1, 1), config.ratio or 1, config.flip or 0
    area = low + (high - low) * draws["area"]
    stretch = torch.exp((2 * draws["ratio"] - 1) * math.log(ratio)).sqrt()
    # A crop never leaves the image: its longer side ends at the border.
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    left, top = (2 * draws["x"] - 1) * (1 - width), (2 * draws["y"] - 1) * (1 - height)
    sign = torch.where(draws["flip"] < flip, -1.0, 1.0)
    zero = torch.zeros_like(width)
    rows = (torch.stack([sign * width, zero, left], 1), torch.stack([zero, height, top], 1))
    return torch.stack(rows, dim=1)


def _recolor(images: Tensor, config: ViewConfig, draws: Draws) -> Tensor:
    on = draws["jitter"] < (config.jitter or 0)
    for change in (brightness, contrast, saturation):
        name = change.__name__
        strength = getattr(config, name)
        if strength:
            factor = 1 + strength * (2 * draws[name] - 1)
            # In place: fresh memory for every change costs more than the change.
            images = change(images, torch.where(on, factor, 1.0)).clamp_(0, 1)
    if config.hue:
        shift = config.hue * (2 * draws["hue"] - 1)
        images = hue(images, torch.where(on, shift, 0.0))
    if config.gray:
        images = saturation(images, (draws["gray"] >= config.gray).to(images.dtype))
    if config.blur:
        sigma = (0.1 + 1.9 * draws["sigma"]) * images.shape[-1] / 224
        # The paper's kernel: a tenth of the image, an odd number of taps.
        blurred = blur(images, sigma, max(3, images.shape[-1] // 10 | 1))
        images = torch.where((draws["blur"] < config.blur)[:, None, None, None], blurred, images)
    return images


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Views of images float (B, C, H, W) by matrices (B, 2, 3); the border is repeated."""
    return _sample(images, _grid(matrices, *images.shape[-2:]))


def invert(matrices: Tensor) -> Tensor:
    """The inverse maps, from the image's coordinates to the view's, float (..., 2, 3)."""
    (a, b, x), (c, d, y) = (row.unbind(-1) for row in matrices.unbind(-2))
    determinant = a * d - b * c
    first = torch.stack([d, -b, b * y - d * x], dim=-1)
    second = torch.stack([-c, a, c * x - a * y], dim=-1)
    return torch.stack([first, second], dim=-2) / determinant[..., None, None]


def to_original(
    masks: Tensor, matrices: Tensor, size: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Masks float (B, K, h, w) of views, mapped back into the frame of the images.

    Returns them at ``size`` (default: their own), float (B, K, h', w'), and the region that the
    view shows, bool (B, h', w'). Outside it the masks are 0. Differentiable in the masks.
    """
    grid = _grid(invert(matrices), *(size or masks.shape[-2:]))
    seen = (grid.abs() <= 1).all(dim=-1)
    return _sample(masks, grid) * seen[:, None], seen


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """The coordinates of each pixel's centre, (B, H, W, 2), x before y, in [-1, 1].

    As functional.affine_grid, without its matrix product, which takes longer than the sampling, and
    which autocast computes in bfloat16: that displaces crops.
    """
    x, y = (
        (2 * torch.arange(n, device=matrices.device, dtype=matrices.dtype) + 1) / n - 1
        for n in (width, height)
    )
    grid = matrices.new_empty(len(matrices), height, width, 2)
    for axis in range(2):
        a, b, shift = matrices[:, axis, :, None].unbind(1)
        grid[..., axis] = (a * x)[:, None, :] + (b * y + shift)[:, :, None]
    return grid


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    # Half precision would round positions in large images to whole pixels.
    dtype = torch.promote_types(images.dtype, grid.dtype)
    found = functional.grid_sample(
        images.to(dtype), grid.to(dtype), padding_mode="border", align_corners=False
    )
    return found.to(images.dtype)


@cache
def _gray_weights(dtype: torch.dtype, device: torch.device) -> Tensor:
    # Cached: a GPU waits for every tensor made of Python numbers.
    return torch.tensor((0.2989, 0.587, 0.114), dtype=dtype, device=device)[:, None, None]


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def grayscale(images: Tensor) -> Tensor:
    """float (B, 1, H, W): luma by ITU-R 601-2."""
    weights = _gray_weights(images.dtype, images.device)
    return (images * weights).sum(dim=1, keepdim=True)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image by ``factor`` (B,)."""
    return images * _each(factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from the mean gray of each image by ``factor`` (B,)."""
    # The mean of the gray is the gray of the mean, at a fraction of the work.
    return torch.lerp(grayscale(images.mean(dim=(2, 3), keepdim=True)), images, _each(factor))


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from the gray of each pixel by ``factor`` (B,); 0 removes colour."""
    return torch.lerp(grayscale(images).expand_as(images), images, _each(factor))


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` (B,) turns in HSV space."""
    top, low = images.amax(dim=1), images.amin(dim=1)
    spread = top - low
    red, green, blue = images.unbind(dim=1)
    divisor = torch.where(spread == 0, 1.0, spread)
    sector = torch.where(
        top == red,
        ((green - blue) / divisor) % 6,
        torch.where(top == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    turned = sector + 6 * shift[:, None, None]
    # Each channel is the top value less the spread times a trapezoid of the hue.
    channels = []
    for offset in (5.0, 3.0, 1.0):
        place = (offset + turned) % 6
        channels.append(top - spread * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def blur(images: Tensor, sigma: Tensor, taps: int) -> Tensor:
    """Gaussian blur with standard deviations ``sigma`` (B,) in pixels, kernels of ``taps``."""
    places = torch.arange(taps, device=images.device, dtype=images.dtype) - taps // 2
    kernel = torch.exp(-0.5 * (places / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    batch, _, height, width = images.shape
    edge = taps // 2
    flat = functional.pad(images, (edge, edge, edge, edge), mode="reflect").reshape(
        1, batch * 3, height + 2 * edge, width + 2 * edge
    )
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=batch * 3)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=batch * 3)
    return flat.view(batch, 3, height, width)
