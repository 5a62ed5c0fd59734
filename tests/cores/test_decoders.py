"""Decoders: mixtures, permutation, causality, and what slots they read."""

import pytest
import torch
from torch.nn import functional

from slotbench import registry
from slotbench.cores.decoders.patch import Autoregressive, SlotMLP
from slotbench.cores.decoders.spatial import BroadcastFull, MixtureDecoder, SpatialBroadcast
from slotbench.rng import building, torch_generator
from tests.small import images

WIDTH, PATCHES, CHANNELS = 12, 9, 5
SMALL = {"channels": 8, "grid": 8, "size": 16, "hidden": 16, "depth": 2, "width": 16}
NAMES = registry.names("decoders")


def normal(name, *shape):
    return torch.randn(shape, generator=torch_generator(0, name))


def shaken(module):
    """With larger weights, so that nothing is small because of its initialisation."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.add_(0.3 * normal(name, *weight.shape))
    return module


def make(name, image=32, **fields):
    kind = registry.get("decoders", name).load()
    own = {key: value for key, value in SMALL.items() if key in vars(kind.Config())}
    with building(0, "decoder"):
        return shaken(kind(kind.Config(**{**own, **fields}), WIDTH, image))


def autoregressive():
    with building(0, "decoder"):
        return shaken(Autoregressive(WIDTH, PATCHES, CHANNELS, 16, 2, 4))


@pytest.mark.parametrize("name", NAMES)
def test_masks_sum_to_one_and_mix_what_each_slot_draws_in_any_order(name):
    order, decoder, slots = torch.tensor([2, 0, 3, 1]), make(name), normal("slots", 2, 4, WIDTH)
    image, masks, parts = decoder(slots, images())
    assert image.shape == (2, 3, decoder.size, decoder.size)
    assert masks.min() >= 0
    torch.testing.assert_close(masks.sum(dim=1), torch.ones_like(masks[:, 0]))
    if isinstance(decoder, MixtureDecoder):
        torch.testing.assert_close(image, (masks[:, :, None] * parts).sum(dim=1))
    else:
        assert parts is None
        assert masks.shape[2] == decoder.size // 4
    permuted = decoder(slots[:, order], images())
    torch.testing.assert_close(permuted[:2], (image, masks[:, order]))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_and_a_gradient_for_every_weight_and_slot(name):
    decoder, slots = make(name), normal("slots", 2, 4, WIDTH).requires_grad_()
    exact = decoder(slots, images())
    target = functional.adaptive_avg_pool2d(images(), decoder.size)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = decoder(slots, images())
        functional.mse_loss(rounded.image.float(), target).backward()
    total = rounded.masks.float().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=0.02, rtol=0)
    pair = (made.image.float().flatten(1) for made in (rounded, exact))
    assert functional.cosine_similarity(*pair).min() > 0.98
    for key, weight in decoder.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
    assert slots.grad.abs().amax(dim=2).min() > 0


def test_the_full_broadcast_is_the_papers_convolutions_at_every_pixel():
    """35 pixels, as Tetrominoes have, are no power of two."""
    decoder = BroadcastFull(BroadcastFull.Config(), WIDTH, 35)
    slots, line = normal("slots", 2, 4, WIDTH), torch.linspace(0, 1, 35)
    y, x = line[:, None].expand(35, 35), line[None].expand(35, 35)
    linear, layers = decoder.position.linear, [*decoder.layers]
    assert [layer.kernel_size for layer in layers[::2]] == [(5, 5)] * 3 + [(3, 3)]
    assert [layer.out_channels for layer in layers[::2]] == [32, 32, 32, 4]
    placed = linear(torch.stack([y, x, 1 - y, 1 - x], dim=2)).permute(2, 0, 1)
    maps = slots.view(8, WIDTH, 1, 1) + placed
    for index in (0, 2, 4, 6):
        weight = layers[index].weight.flip(2, 3).transpose(0, 1)
        padding = 1 if index == 6 else 2
        maps = functional.conv2d(maps, weight, layers[index].bias, padding=padding)
        maps = maps if index == 6 else maps.relu()
    made = maps.view(2, 4, 4, 35, 35)
    decoded = decoder(slots)
    torch.testing.assert_close(decoded.parts, made[:, :, :3], atol=1e-5, rtol=1e-4)
    masks = made[:, :, 3].softmax(dim=1)
    torch.testing.assert_close(decoded.masks, masks, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("start", "strides"), [(8, [2, 2, 1]), (35, [1, 1]), (3, [2]), (2, [1])])
def test_the_first_layer_by_slot_and_by_place_is_the_plain_one(start, strides):
    """In value and in every gradient, in double precision."""
    with building(0, "decoder"):
        decoder = shaken(SpatialBroadcast(6, 5, start, strides)).double()
    weights = [*decoder.parameters()]
    slots = normal("slots", 4, 6).double().requires_grad_()
    grid = slots[:, :, None, None].expand(-1, -1, start, start)
    outside = normal("outside", 1, 4, decoder.size, decoder.size).double()
    made = [decoder.decode(slots), decoder.layers(decoder.position(grid))]
    torch.testing.assert_close(*made)
    by = [torch.autograd.grad((each * outside).sum(), [slots, *weights]) for each in made]
    for one, two in zip(*by, strict=True):
        torch.testing.assert_close(one, two)


def test_slot_mlp_mixes_what_each_slot_draws():
    with building(0, "decoder"):
        model, slots = SlotMLP(8, 5, 4, 16, 2), normal("slots", 2, 3, 8)
    for image, content, masks in zip(slots, *model(slots), strict=True):
        alone = torch.stack([model.each(slot[None])[0] for slot in image])
        weights = torch.softmax(alone[..., 3], dim=0)
        torch.testing.assert_close(masks, weights)
        expected = sum(weights[k, :, None] * alone[k, :, :3] for k in range(3))
        torch.testing.assert_close(content, expected)


def test_a_patch_of_the_mlp_lies_where_its_position_is():
    model, slots = make("patch-mlp"), normal("slots", 2, 3, WIDTH)
    before = model(slots).parts
    with torch.no_grad():
        model.mlp.positions[6] += 1.0
    changed = (model(slots).parts - before).abs().sum(dim=(0, 1, 2)) > 0
    rows, columns = changed.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 8, 11)


@pytest.mark.parametrize("training", [True, False])
def test_a_patch_is_predicted_from_those_before_it_alone(training):
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
            # All later patches read it, and so does the attention to the slots.
            difference = (found - made)[:, changed + 1 :].abs().amax(dim=2)
            assert (difference > 1e-3).all()
            assert (attention != masks)[:, :, changed + 1 :].any(dim=1).all()
    assert not torch.allclose(made[0, 0], made[1, 0], atol=1e-3)


def test_the_transformer_reads_the_image_in_rows_of_patches():
    model, slots = make("transformer").eval(), normal("slots", 2, 3, WIDTH)
    image = images()[:, :, :16, :16]
    changed = image.clone()
    changed[:, :, 4:8, 4:8] = 1 - changed[:, :, 4:8, 4:8]  # patch 5 of 16
    difference = (model(slots, image).image - model(slots, changed).image).abs().sum(dim=(0, 1))
    assert (difference[:4] == 0).all()
    assert (difference[4:8, :8] == 0).all()
    assert (difference[4:8, 8:] > 0).any()


def test_the_transformers_masks_are_the_last_attention_averaged_over_heads():
    decoder = autoregressive()
    slots, target = normal("slots", 2, 4, WIDTH), normal("target", 2, PATCHES, CHANNELS)
    seen = []
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


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("patch-mlp", {"size": 30}, r"decoder\.size=30 must be a multiple of decoder\.patch=4"),
        ("transformer", {"size": 24}, r"decoder\.size=24 .* divide the image size 32"),
        ("patch-mlp", {"patch": 0}, "patch=0: expected"),
        ("transformer", {"heads": 3}, r"decoder\.width=16 must be a multiple of decoder\.heads=3"),
        ("bilinear", {"size": 20}, r"decoder\.size=20 must be a multiple of decoder\.grid=8"),
        ("broadcast-full", {"depth": 0}, "depth=0: expected"),
        ("broadcast", {"image": 48}, "image size 48 is no power of two"),
    ],
)
def test_fields_that_do_not_fit_are_named(name, fields, message):
    with pytest.raises(ValueError, match=message):
        make(name, **fields)
