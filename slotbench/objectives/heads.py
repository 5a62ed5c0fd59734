"""Pieces of losses: single precision, heads, momentum copies, prices of masks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, ClassVar, ParamSpec, TypeVar

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.layers import mlp
from slotbench.fields import NotNegative, Options, Share

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Copied = TypeVar("Copied", bound=nn.Module)
HALF = (torch.bfloat16, torch.float16)
LEAST_ATTENTION = 1e-6
"""Attention below this has the logarithm of this."""
FITS = 6
"""Rounds of the fit of the background's colour."""
LEAN = 2.0
"""How many times an object counts beside the background, in what attention is to agree with."""


def full_precision(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make a function of tensors compute in float32 under autocast.

    It widens half-precision arguments and switches autocast off, which also rounds matrix products
    of float32: a cosine similarity near 1, divided by a temperature of 0.1, would be off by 0.04.
    """

    @wraps(function)
    def exact(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*map(_widened, args), **kwargs)  # type: ignore[arg-type]

    return exact


def _widened(value: object) -> object:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """A two-layer MLP on the last dimension, as SimCLR has it (Chen et al. 2020, Section 2.1)."""
    return mlp((width, hidden, out))


def view_by_view(head: nn.Module, vectors: Tensor) -> Tensor:
    """A head on each of V views by itself, float (V, M, D) -> (V, M, D').

    Each view has its own batch statistics, as in the papers.
    """
    return torch.stack([head(view) for view in vectors])


class Prototypes(nn.Module):
    """Cosine similarity with P learned unit vectors: float (..., D) -> (..., P).

    The rows are normalised at use. Caron et al. 2020, arXiv 2006.09882, put them back on the
    sphere after each step instead.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(count, width), dim=1))

    @full_precision
    def forward(self, vectors: Tensor) -> Tensor:
        vectors = functional.normalize(vectors, dim=-1)
        return vectors @ functional.normalize(self.weight, dim=1).mT


def momentum_copy(module: Copied) -> Copied:
    """A copy without gradients; :func:`move` moves it towards its original."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Average the parameters, teacher = m * teacher + (1 - m) * student, and copy the buffers.

    He et al. 2020, arXiv 1911.05722, Equation 2.
    """
    for average, weights in zip(teacher.parameters(), student.parameters(), strict=True):
        average.lerp_(weights, 1.0 - momentum)
    for kept, new in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(new)


def variance_hinge(rows: Tensor) -> Tensor:
    """Mean over D of max(0, 1 - sqrt(var + 1e-4)) of float (M, D) (VICReg, Equations 1 and 2)."""
    return (1 - (rows.var(dim=0) + 1e-4).sqrt()).relu().mean()


@full_precision
def off_diagonal_covariance(rows: Tensor) -> Tensor:
    """Sum of squared covariances between dimensions of float (M, D), over D (Equation 4)."""
    centred = rows - rows.mean(dim=0)
    covariance = centred.T @ centred / (len(rows) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / rows.shape[1]


@dataclass(frozen=True, kw_only=True)
class MaskConfig(Options):
    """Options of objectives whose masks compete for places.

    Slots that all explain the background share it. A price on every place outside the largest mask
    gathers the background in one slot. Objects keep their places, as no other slot explains them.
    """

    later: ClassVar[tuple[str, ...]] = (
        *("gather", "gather_attention", "rise", "plain", "shading", "attend", "agree"),
    )
    gather: NotNegative = 0.0
    """Price of the share of the image that an image's largest mask does not have."""
    gather_attention: NotNegative = 0.0
    """The same price for the core's attention."""
    rise: tuple[Share, Share] = (0.25, 0.5)
    """Shares of the steps between which prices and ``attend`` rise from 0. With a price from the
    first step on, one slot would take everything."""
    plain: NotNegative = 0.0
    """Prices hold only for plain places: those of pixels within this distance of the background's
    colour, channels in [0, 1]. 0: for all places."""
    shading: Annotated[int, Interval(ge=0, le=4)] = 0
    """Degree of the polynomial in x and y that the background's colour follows. 0: the image's
    median colour everywhere."""
    attend: NotNegative = 0.0
    """Power of the core's attention that multiplies the masks. Attention follows edges; masks drawn
    from slots alone are blobs. ``rise=0,0`` multiplies from the first step on: that finds objects
    of one colour, but none on clevr6 (docs/log.md)."""
    agree: NotNegative = 0.0
    """Weight of the cross-entropy of the core's attention to the objective's masks, which pass no
    gradient. It rises as the prices do. Where the masks are better than attention, attention
    follows them. In a place that objects share with the background, objects count double."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rise[0] > self.rise[1]:
            first, last = self.rise
            raise ValueError(f"rise={first},{last}: expected the first to be at most the second")


def risen(share: float, rise: tuple[float, float]) -> float:
    """0 up to ``rise[0]``, 1 from ``rise[1]`` on, and a straight line between."""
    if share >= rise[1]:
        return 1.0
    return max(0.0, (share - rise[0]) / (rise[1] - rise[0]))


def with_prices(
    losses: dict[str, Tensor],
    images: Tensor,
    masks: Tensor,
    attention: Tensor,
    config: MaskConfig,
    share: float,
) -> dict[str, Tensor]:
    """The losses with the prices of :class:`MaskConfig` after this share of the steps.

    ``masks`` and ``attention`` float (B, K, h, w) of ``images`` (B, 3, H, W).
    """
    made, factor = dict(losses), risen(share, config.rise)
    priced = {"gather": masks, "gather_attention": attention}
    prices = {name: factor * getattr(config, name) for name in priced}
    # One fit for both prices: that of a shaded background takes a good part of a step.
    wanted = config.plain and any(prices.values())
    plain = plainness(images, config.plain, config.shading) if wanted else None
    for name, price in prices.items():
        if price:
            outside = outside_largest(priced[name], plain)
            made |= {"loss": made["loss"] + price * outside, name: outside}
    if weight := factor * config.agree:
        entropy = cross_entropy(attention, masks.detach())
        made |= {"loss": made["loss"] + weight * entropy, "agree": entropy}
    return made


def cross_entropy(attention: Tensor, masks: Tensor) -> Tensor:
    """Of attention (B, K, h, w) to masks (B, K, H, W), averaged to its grid; a mean over places.

    An image's largest mask is its background's. All others count :data:`LEAN` times: a place of
    attention is larger than an edge is wide, and objects would lose their rims.
    """
    height, width = attention.shape[2:]
    target = functional.adaptive_avg_pool2d(masks.float(), (height, width))
    share = target.mean(dim=(2, 3), keepdim=True)
    leaning = target * torch.where(share == share.amax(dim=1, keepdim=True), 1.0, LEAN)
    target = leaning / leaning.sum(dim=1, keepdim=True)
    return -(target * log_attention(attention)).sum(dim=1).mean()


@full_precision
@torch.no_grad()
def plainness(images: Tensor, distance: float, shading: int) -> Tensor:
    """How plain each pixel of images (B, 3, H, W) is: float (B, H, W) in [0, 1].

    exp(-d^2 / 2 distance^2), d being the root mean square over channels of the difference from
    :func:`background_colour`.
    """
    # A distance whose square is below single precision would give 0 / 0.
    squared = max(distance, 1e-6) ** 2
    apart = (images - background_colour(images, squared, shading)).square().mean(dim=1)
    return apart.div(squared).mul(-0.5).exp()


def background_colour(images: Tensor, squared: float, degree: int) -> Tensor:
    """The colour of the background of images (B, 3, H, W), broadcastable to their shape.

    The median of each channel; for a ``degree`` above 0, a polynomial in x and y fitted from there
    by iteratively reweighted least squares. Pixels weigh exp(-d^2 / 2 ``squared``), d being their
    distance from the last fit (Welsch's weights), so that objects hardly count.
    """
    pixels = images.flatten(2).mT
    colour = pixels.median(dim=1, keepdim=True).values
    if degree:
        y, x = (torch.linspace(-1, 1, n, device=images.device) for n in images.shape[2:])
        powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
        terms = torch.stack([(y**i)[:, None] * x**j for i, j in powers], dim=-1).flatten(0, 1)
        ridge = 1e-4 * torch.eye(len(powers), device=images.device)
        for _ in range(FITS):
            apart = (pixels - colour).square().mean(dim=2, keepdim=True)
            weighted = terms * apart.div(squared).mul(-0.5).exp()
            weights = torch.linalg.solve(weighted.mT @ terms + ridge, weighted.mT @ pixels)
            colour = terms @ weights
    return colour.mT.reshape(*images.shape[:2], *(images.shape[2:] if degree else (1, 1)))


def outside_largest(masks: Tensor, plain: Tensor | None = None) -> Tensor:
    """The share of an image outside its largest mask, the mean over float (B, K, h, w); a scalar.

    ``plain`` float (B, H, W) weighs the places: each as its least plain pixel, so that an object's
    edge hardly counts. None: all places alike.
    """
    places = masks.new_ones(1, *masks.shape[2:])
    if plain is not None:
        places = -functional.adaptive_max_pool2d(-plain, masks.shape[2:])
    share = places / places.sum(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    return 1 - (masks * share[:, None]).sum(dim=(2, 3)).amax(dim=1).mean()


def attention_prior(
    attention: Tensor, side: int, config: MaskConfig, share: float
) -> Tensor | None:
    """What ``config.attend`` adds to the logits of masks after this share of the steps.

    Attention (B, K, h, w) -> its logarithm times the power, float32 (B, K, side, side); none where
    the power is 0. It is averaged to a smaller side, or interpolated to a larger one.
    """
    power = config.attend * risen(share, config.rise)
    if not power:
        return None
    mode = "area" if attention.shape[-1] > side else "bilinear"
    return power * log_attention(functional.interpolate(attention, (side, side), mode=mode))


def log_attention(attention: Tensor) -> Tensor:
    """Its logarithm, float32 of the same shape, with a gradient that stays finite."""
    return attention.float().clamp_min(LEAST_ATTENTION).log()
