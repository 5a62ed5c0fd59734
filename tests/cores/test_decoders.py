import pytest
import torch

from slotbench.cores.decoders.spatial import (
    Bilinear,
    BilinearConfig,
    Broadcast,
    BroadcastConfig,
    MixtureDecoder,
)
from slotbench.rng import torch_generator

DECODERS = [
    Broadcast(BroadcastConfig(8), 16, 32),
    Bilinear(BilinearConfig(channels=8, grid=8, size=16), 16, 32),
]


@pytest.mark.parametrize("decoder", DECODERS)
def test_masks_sum_to_one_and_mix_the_parts(decoder: MixtureDecoder) -> None:
    image, masks, parts = decoder(torch.randn(2, 5, 16, generator=torch_generator(0, "slots")))
    size = decoder.size
    assert image.shape == (2, 3, size, size)
    assert masks.shape == (2, 5, size, size)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, size, size))
    torch.testing.assert_close(image, (masks[:, :, None] * parts).sum(dim=1))


@pytest.mark.parametrize("decoder", DECODERS)
def test_permuting_slots_permutes_masks_and_leaves_the_image(decoder: MixtureDecoder) -> None:
    slots = torch.randn(1, 4, 16, generator=torch_generator(0, "slots"))
    order = torch.tensor([2, 0, 3, 1])
    plain, permuted = decoder(slots), decoder(slots[:, order])
    torch.testing.assert_close(plain.image, permuted.image)
    torch.testing.assert_close(plain.masks[:, order], permuted.masks)


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Broadcast(BroadcastConfig(8), 16, 48)
    with pytest.raises(ValueError, match=r"decoder\.size=20"):
        Bilinear(BilinearConfig(size=20), 16, 32)
