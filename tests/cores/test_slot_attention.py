import pytest
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.encoders.cnn import Cnn, CnnConfig, StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.rng import building, torch_generator


def make(**fields: object) -> SlotAttention:
    with building(0, "core"):
        config = SlotAttentionConfig(**{"slots": 5, "width": 16, "mlp_width": 32, **fields})
        return SlotAttention(config, StridedCnn(StridedCnnConfig(channels=8), 32))


def draw(core: SlotAttention, batch: int = 2) -> tuple[Tensor, Tensor]:
    noise = core.noise(batch, torch_generator(0, "noise"))
    assert noise is not None
    return torch.rand(batch, 3, 32, 32, generator=torch_generator(0, "images")), noise


@pytest.mark.parametrize("encoder", [StridedCnn(StridedCnnConfig(8), 32), Cnn(CnnConfig(8), 32)])
def test_shapes_and_attention_that_sums_to_one(encoder: torch.nn.Module) -> None:
    core = SlotAttention(SlotAttentionConfig(slots=5, width=16), encoder)
    slots, attention, features = core(*draw(core))
    side = 8 if isinstance(encoder, StridedCnn) else 32
    assert slots.shape == (2, 5, 16)
    assert attention.shape == (2, 5, side, side)
    assert features.shape == (2, side * side, encoder.width)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2, side, side))


def test_permuting_the_noise_permutes_the_slots() -> None:
    core = make(slot_init="gaussian")
    images, noise = draw(core)
    order = torch.tensor([3, 0, 4, 1, 2])
    plain, permuted = core(images, noise), core(images, noise[:, order])
    torch.testing.assert_close(plain.slots[:, order], permuted.slots, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plain.attention[:, order], permuted.attention, atol=1e-5, rtol=1e-4)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    core = make()
    images, noise = draw(core)
    alone = core(images[1:], noise[1:]).slots
    torch.testing.assert_close(core(images, noise).slots[1:], alone, atol=1e-5, rtol=1e-4)


def test_one_step_is_algorithm_1_of_the_paper() -> None:
    core = make().double()
    generator = torch_generator(1, "step")
    slots = torch.randn(1, 5, 16, generator=generator).double()
    keys = torch.randn(1, 9, 16, generator=generator).double()
    values = torch.randn(1, 9, 16, generator=generator).double()
    found, attention = core.step(slots, keys, values)
    # Written out position by position and slot by slot.
    normed = functional.layer_norm(slots[0], (16,))
    logits = torch.stack([keys[0] @ (core.to_query.weight @ slot) for slot in normed]) / 4.0
    shares = torch.stack([logits[:, n].exp() / logits[:, n].exp().sum() for n in range(9)], dim=1)
    torch.testing.assert_close(attention[0], shares)
    for index in range(5):
        weights = (shares[index] + 1e-8) / (shares[index] + 1e-8).sum()
        update = sum(weights[n] * values[0, n] for n in range(9))
        new = core.gru(update[None], slots[0, index][None])[0]
        torch.testing.assert_close(found[0, index], new + core.mlp(new))


def test_gradients_reach_every_weight() -> None:
    core = make(slot_init="learned")
    core(*draw(core)).slots.square().sum().backward()
    silent = [name for name, weight in core.named_parameters() if weight.grad is None]
    assert silent == []


def test_the_gradient_of_the_last_iteration_equals_that_of_one_iteration_from_its_start() -> None:
    core = make(gradient="last", iterations=3)
    images, noise = draw(core)
    core(images, noise).slots.sum().backward()
    found = core.to_query.weight.grad
    assert found is not None
    core.to_query.weight.grad = None
    features, _ = core.encoder(images)
    inputs = core.norm_features(features)
    keys, values = core.to_key(inputs), core.to_value(inputs)
    with torch.no_grad():
        slots = core.mean + core.log_spread.exp() * noise
        for _ in range(2):
            slots, _ = core.step(slots, keys, values)
    core.step(slots, keys, values)[0].sum().backward()
    assert core.to_query.weight.grad is not None
    torch.testing.assert_close(found, core.to_query.weight.grad)


def test_without_noise_a_call_repeats_itself() -> None:
    core = make()
    images, _ = draw(core)
    assert torch.equal(core(images).slots, core(images).slots)


def test_a_core_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="slots=0"):
        make(slots=0)
