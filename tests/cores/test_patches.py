"""The decoders of patches: mixtures, permutation, causality."""

import pytest
import torch

from slotbench import registry
from slotbench.cores.decoders.patch import (
    Autoregressive,
    PatchMLP,
    PatchMLPConfig,
    SlotMLP,
    Transformer,
    TransformerConfig,
)

SLOTS = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def decoder(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    kind = registry.get("decoders", name).load()
    small = {"size": 16, "patch": 4, "grid": 8}
    fields = {key: value for key, value in small.items() if key in vars(kind.Config())}
    return kind(kind.Config(**fields), 8, 16).eval()


@pytest.mark.parametrize("name", registry.names("decoders"))
def test_masks_share_each_position_and_gradients_reach_the_slots(name: str) -> None:
    slots = SLOTS.clone().requires_grad_()
    decoded = decoder(name)(slots, IMAGES)
    torch.testing.assert_close(decoded.masks.sum(dim=1), torch.ones_like(decoded.masks[:, 0]))
    assert decoded.image.shape == IMAGES.shape
    (decoded.image - IMAGES).square().mean().backward()
    assert (slots.grad.abs().sum(dim=2) > 0).all()


@pytest.mark.parametrize("name", registry.names("decoders"))
def test_permuted_slots_make_the_same_image_and_permuted_masks(name: str) -> None:
    order, model = torch.tensor([2, 0, 1]), decoder(name)
    one, two = model(SLOTS, IMAGES), model(SLOTS[:, order], IMAGES)
    torch.testing.assert_close(one.image, two.image)
    torch.testing.assert_close(one.masks[:, order], two.masks)


def test_slot_mlp_mixes_what_each_slot_draws() -> None:
    torch.manual_seed(0)
    model = SlotMLP(8, 5, 4, 16, 2)
    content, masks = model(SLOTS)
    expected = torch.zeros(2, 5, 3)
    for image in range(2):
        alone = torch.stack([model.each(slot[None])[0] for slot in SLOTS[image]])
        weights = torch.softmax(alone[..., 3], dim=0)
        torch.testing.assert_close(masks[image], weights)
        expected[image] = sum(weights[k, :, None] * alone[k, :, :3] for k in range(3))
    torch.testing.assert_close(content, expected)


def test_a_patch_of_the_mlp_lies_where_its_position_is() -> None:
    torch.manual_seed(0)
    model = PatchMLP(PatchMLPConfig(hidden=16, depth=1, patch=4, size=16), 8, 16)
    before = model(SLOTS).parts
    with torch.no_grad():
        model.mlp.positions[6] += 1.0
    changed = (model(SLOTS).parts - before).abs().sum(dim=(0, 1, 2)) > 0
    rows, columns = changed.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 8, 11)


def test_no_position_sees_itself_or_what_comes_after() -> None:
    torch.manual_seed(0)
    model = Autoregressive(8, 6, 5, 16, 2, 4).eval()
    target = torch.randn(2, 6, 5)
    other = target.clone()
    other[:, 3] += 1.0
    one, two = model(SLOTS, target)[0], model(SLOTS, other)[0]
    torch.testing.assert_close(one[:, :4], two[:, :4])
    assert ((one - two).abs().sum(dim=2)[:, 4:] > 0).all()


def test_the_transformer_reads_the_image_in_rows_of_patches() -> None:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(16, 1, 4, 4, 16), 8, 16).eval()
    changed = IMAGES.clone()
    changed[:, :, 4:8, 4:8] = 1 - changed[:, :, 4:8, 4:8]  # patch 5 of 16
    difference = (model(SLOTS, IMAGES).image - model(SLOTS, changed).image).abs().sum(dim=(0, 1))
    assert (difference[:4] == 0).all()
    assert (difference[4:8, :8] == 0).all()
    assert (difference[4:8, 8:] > 0).any()


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (PatchMLP, PatchMLPConfig(patch=5, size=16)),
        (PatchMLP, PatchMLPConfig(patch=4, size=12)),
        (Transformer, TransformerConfig(patch=5, size=16)),
        (Transformer, TransformerConfig(width=10, heads=4, size=16)),
    ],
)
def test_sizes_that_do_not_fit_are_refused(kind: type, config: object) -> None:
    with pytest.raises(ValueError, match="must be a multiple"):
        kind(config, 8, 16)
