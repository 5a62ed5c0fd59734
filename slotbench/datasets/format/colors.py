"""Changes of colour, one strength a sample. Images are float (B, 3, H, W) in [0, 1].

The functions of ``torchvision.transforms.v2.functional`` compute the same, with one strength for
a whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def grayscale(images: Tensor) -> Tensor:
    """float (B, 1, H, W): luma by ITU-R 601-2."""
    weights = images.new_tensor(GRAY_WEIGHTS)[:, None, None]
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
