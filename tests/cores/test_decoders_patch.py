"""Decoders of patches: what slots they read, in which order, and how masks come about."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.decoders.patch import (
    Autoregressive,
    PatchMLP,
    PatchMLPConfig,
    SlotMLP,
    Transformer,
    TransformerConfig,
)
from slotbench.cores.decoders.spatial import ImageDecoder
from slotbench.rng import building, torch_generator

WIDTH, PATCHES, CHANNELS = 12, 9, 5


def normal(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch_generator(0, name))


def shaken(module: nn.Module) -> nn.Module:
    """With larger weights, so that nothing is small because of how it was initialised."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.add_(0.3 * normal(name, *weight.shape))
    return module


def autoregressive() -> Autoregressive:
    with building(0, "decoder"):
        made = shaken(Autoregressive(WIDTH, PATCHES, CHANNELS, width=16, depth=2, heads=4))
    assert isinstance(made, Autoregressive)
    return made


def image_decoder(name: str, **fields: Any) -> ImageDecoder:
    made: ImageDecoder
    with building(0, "decoder"):
        if name == "patch-mlp":
            made = PatchMLP(PatchMLPConfig(**{"hidden": 16, "depth": 2, **fields}), WIDTH, 32)
        else:
            made = Transformer(TransformerConfig(**{"width": 16, **fields}), WIDTH, 32)
    shaken(made)
    return made


def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch_generator(0, "images"))


NAMES = ("patch-mlp", "transformer")


@pytest.mark.parametrize(("size", "patch"), [(32, 4), (16, 4), (16, 8), (32, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_masks_sum_to_one(name: str, size: int, patch: int) -> None:
    if name == "transformer" and patch == 1:
        size = 8
    decoder = image_decoder(name, size=size, patch=patch)
    decoded = decoder(normal("slots", 2, 4, WIDTH), images())
    side = size if name == "patch-mlp" else size // patch
    assert decoder.size == size
    assert decoded.image is not None
    assert decoded.image.shape == (2, 3, size, size)
    assert decoded.masks.shape == (2, 4, side, side)
    assert decoded.masks.min() >= 0
    torch.testing.assert_close(decoded.masks.sum(dim=1), torch.ones(2, side, side))
    if name == "patch-mlp":
        assert decoded.parts is not None
        mixed = (decoded.masks[:, :, None] * decoded.parts).sum(dim=1)
        torch.testing.assert_close(decoded.image, mixed)
    else:
        assert decoded.parts is None


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_and_a_gradient_for_every_weight_and_slot(name: str) -> None:
    decoder, slots = image_decoder(name), normal("slots", 2, 4, WIDTH).requires_grad_()
    exact = decoder(slots, images())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = decoder(slots, images())
        functional.mse_loss(rounded.image.float(), images()).backward()
    total = rounded.masks.float().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=0.02, rtol=0)
    similarity = functional.cosine_similarity(
        rounded.image.float().flatten(1), exact.image.flatten(1)
    )
    assert similarity.min() > 0.99
    for key, weight in decoder.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
    assert slots.grad is not None
    assert slots.grad.abs().amax(dim=2).min() > 0


@pytest.mark.parametrize("training", [True, False])
def test_a_patch_is_predicted_from_those_before_it_alone(training: bool) -> None:
    decoder = autoregressive().train(training)
    slots, target = normal("slots", 2, 4, WIDTH), normal("target", 2, PATCHES, CHANNELS)
    with torch.set_grad_enabled(training):
        made, masks = decoder(slots, target)
        for changed in range(PATCHES):
            other = target.clone()
            other[:, changed] += 1
            found, attention = decoder(slots, other)
            assert torch.equal(found[:, : changed + 1], made[:, : changed + 1])
            assert torch.equal(attention[:, :, : changed + 1], masks[:, :, : changed + 1])
            # All that follow read it, and so does the attention to the slots.
            difference = (found - made)[:, changed + 1 :].abs().amax(dim=2)
            assert (difference > 1e-3).all()
            assert (attention != masks)[:, :, changed + 1 :].any(dim=1).all()


def test_the_first_patch_depends_on_the_slots_alone() -> None:
    decoder = autoregressive()
    slots = normal("slots", 2, 4, WIDTH)
    first, _ = decoder(slots, normal("target", 2, PATCHES, CHANNELS))
    same, _ = decoder(slots, normal("other", 2, PATCHES, CHANNELS))
    assert torch.equal(first[:, 0], same[:, 0])
    assert not torch.allclose(first[0, 0], first[1, 0], atol=1e-3)


def test_the_transformers_masks_are_the_last_attention_averaged_over_heads() -> None:
    decoder = autoregressive()
    slots, target = normal("slots", 2, 4, WIDTH), normal("target", 2, PATCHES, CHANNELS)
    seen: list[tuple[Tensor, Tensor]] = []
    layer = decoder.blocks[-1].slots
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[:2]))
    _, masks = decoder(slots, target)
    hook.remove()
    tokens, memory = seen[0]
    query, key = layer.in_proj_weight.chunk(3)[:2]
    offset, bias = layer.in_proj_bias.chunk(3)[:2]
    heads = [
        (values @ weight.T + shift).unflatten(2, (4, 4)).transpose(1, 2)
        for values, weight, shift in ((tokens, query, offset), (memory, key, bias))
    ]
    expected = (heads[0] @ heads[1].mT / 2).softmax(dim=3).mean(dim=1)
    torch.testing.assert_close(masks, expected.mT)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_features_that_slots_determine_are_learned(kind: str) -> None:
    """Each position shows one of the slots; a few hundred steps find which."""
    slots = normal("slots", 16, 3, WIDTH)
    owner = torch.randint(3, (16, PATCHES), generator=torch_generator(0, "owner"))
    # A slot tells by its first numbers where it is seen.
    shown = functional.one_hot(owner, 3).mT.float()
    slots = torch.cat([2 * shown, slots[:, :, :CHANNELS]], dim=2)
    target = slots[torch.arange(16)[:, None], owner, PATCHES:]
    with building(0, "decoder"):
        decoder: nn.Module = (
            SlotMLP(PATCHES + CHANNELS, PATCHES, CHANNELS + 1, 64, 2)
            if kind == "mlp"
            else Autoregressive(PATCHES + CHANNELS, PATCHES, CHANNELS, 32, 2, 4)
        )
    optimizer = torch.optim.Adam(decoder.parameters(), 3e-3)
    for _ in range(300):
        made, masks = decoder(slots) if kind == "mlp" else decoder(slots, target)
        loss = functional.mse_loss(made, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * target.var()
    # What was learned is to read the slots, not the target: others' slots do not do.
    with torch.no_grad():
        others = slots.roll(1, 0)
        wrong, _ = decoder(others) if kind == "mlp" else decoder(others, target)
    assert functional.mse_loss(wrong, target) > 0.8 * target.var()
    if kind == "mlp":
        assert (masks.argmax(dim=1) == owner).float().mean() > 0.9


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("patch-mlp", {"size": 30}, r"decoder\.size=30 must be a multiple of decoder\.patch=4"),
        ("patch-mlp", {"size": 24}, r"decoder\.size=24 .* divide the image size 32"),
        ("patch-mlp", {"patch": 0}, "patch=0: expected above 0"),
        ("patch-mlp", {"hidden": 0}, "hidden=0: expected above 0"),
        ("transformer", {"size": 24}, r"decoder\.size=24"),
        ("transformer", {"depth": 0}, "depth=0: expected above 0"),
        ("transformer", {"heads": 0}, "heads=0: expected above 0"),
        ("transformer", {"heads": 3}, r"decoder\.width=16 must be a multiple of decoder\.heads=3"),
    ],
)
def test_fields_that_do_not_fit_are_named(name: str, fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_decoder(name, **fields)
