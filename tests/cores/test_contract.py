"""What holds for every core, whatever it does inside."""

import dataclasses
from types import MappingProxyType

import pytest
import torch
from torch import nn
from torch.nn import functional

from slotbench import registry
from slotbench.cores.encoders import cnn, resnet, vit
from slotbench.cores.slot_attention import SlotAttention
from slotbench.errors import UserError
from slotbench.rng import building, torch_generator
from slotbench.training.build import check_core

CORES = registry.names("cores")
WITHOUT_NOISE = ["bo-qsa", "slot-mlp", "global"]
WITH_NOISE = [name for name in CORES if name not in WITHOUT_NOISE]


class Rectangle(nn.Module):
    """Features on a grid that is not square, with two coordinate channels at the end."""

    width, coordinates = 10, 2

    def __init__(self):
        super().__init__()
        self.content = nn.Conv2d(3, 8, (8, 4), (8, 4))

    def forward(self, images):
        maps = self.content(images)
        height, width = maps.shape[2:]
        y, x = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"))
        maps = torch.cat([maps, grid.to(maps.dtype).expand(len(images), -1, -1, -1)], dim=1)
        return maps.flatten(2).mT, (height, width)


class Plain(nn.Module):
    """An encoder without coordinates that, as a plugin's may, does not say so."""

    width = 8

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 8, 8)

    def forward(self, images):
        maps = self.layer(images)
        return maps.flatten(2).mT, tuple(maps.shape[2:])


ENCODERS = {
    "strided-cnn": lambda: cnn.StridedCnn(cnn.StridedCnnConfig(channels=8), 32),
    "cnn": lambda: cnn.Cnn(cnn.CnnConfig(channels=8, depth=2), 32),
    "pixels": lambda: cnn.Pixels(cnn.PixelsConfig(channels=8), 32),
    "rectangle": Rectangle,
    "plain": Plain,
    "resnet18": lambda: resnet.ResNet18(resnet.ResNetConfig(channels=12, base=8), 32),
    "resnet34": lambda: resnet.ResNet34(resnet.ResNetConfig(channels=12, base=8), 32),
    "vit": lambda: pytest.importorskip("timm") and vit.ViT(vit.ViTConfig("test_vit"), 32),
}
GRIDS = {"strided-cnn": (8, 8), "cnn": (32, 32), "pixels": (32, 32), "rectangle": (4, 8)}


def make(name, encoder="strided-cnn", **fields):
    kind = registry.get("cores", name).load()
    sizes = {"width": 16} if name == "global" else {"width": 16, "slots": 4}
    with building(0, "core"):
        return kind(kind.Config(**{**sizes, **fields}), ENCODERS[encoder]())


def draw(core, batch=2):
    noise = core.noise(batch, torch_generator(0, "noise"))
    return torch.rand(batch, 3, 32, 32, generator=torch_generator(0, "images")), noise


def normal(*shape, key="x"):
    return torch.randn(shape, generator=torch_generator(0, key), dtype=torch.float64)


def gradients(core, slots):
    """Of a loss that no linear symmetry of the slots can hide, by name."""
    core.zero_grad()
    probe = torch.randn(slots.shape, generator=torch_generator(0, "probe"))
    (slots.float() * probe).sum().backward()
    return {name: w.grad for name, w in core.named_parameters() if w.grad is not None}


def of_encoder(found):
    """The greatest absolute gradient of the encoder's weights."""
    return max(each.abs().max() for key, each in found.items() if key.startswith("encoder."))


def assert_same_output(one, two):
    """Slots and attention are equal but for rounding."""
    torch.testing.assert_close(one[:2], two[:2], atol=1e-4, rtol=1e-3)


def cover(base):
    """Every core with one encoder, and slot attention with every other."""
    rest = (encoder for encoder in ENCODERS if encoder != base)
    return [*((name, base) for name in CORES), *(("slot-attention", encoder) for encoder in rest)]


@pytest.mark.parametrize(("name", "encoder"), cover("rectangle"))
def test_shapes_and_attention_that_sums_to_one(name, encoder):
    core = make(name, encoder)
    slots, attention, features = core(*draw(core))
    grid = GRIDS.get(encoder, (4, 4))
    count = 1 if name == "global" else 4
    assert core.num_slots == count
    assert slots.shape == (2, count, 16)
    assert slots.isfinite().all()
    assert attention.shape == (2, count, *grid)
    assert features.shape == (2, grid[0] * grid[1], core.encoder.width)
    assert attention.min() >= 0
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2, *grid))


@pytest.mark.parametrize(("name", "encoder"), cover("strided-cnn"))
def test_gradients_reach_the_encoder_and_every_weight(name, encoder):
    core = make(name, encoder)
    found = gradients(core, core(*draw(core)).slots)
    assert of_encoder(found) > 0
    # With the gradient of the last round alone, the spread of the start has none.
    stopped = name in ("implicit-slot-attention", "slot-mixture", "meta-slot")
    missing = {key for key, _ in core.named_parameters()} - found.keys()
    assert missing == ({"log_spread"} if stopped else set())


@pytest.mark.parametrize("name", CORES)
def test_constant_images_give_numbers(name):
    core = make(name, "rectangle")
    for value in (0.0, 0.6):
        slots, attention, _ = core(torch.full((2, 3, 32, 32), value), draw(core)[1])
        for part in (slots, attention, *gradients(core, slots).values()):
            assert part.isfinite().all()


@pytest.mark.parametrize(("name", "encoder"), cover("strided-cnn"))
def test_bfloat16_autocast(name, encoder):
    core = make(name, encoder)
    images, noise = draw(core)
    plain, _, features = core(images, noise)
    expected = gradients(core, plain)
    with torch.autocast("cpu", torch.bfloat16):
        slots, attention, rounded = core(images, noise)
    total = attention.float().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=0.01, rtol=0)
    found = gradients(core, slots)
    assert all(gradient.isfinite().all() for gradient in found.values())
    # Weights that rounds without a gradient have cast must still take one in the last round.
    assert found.keys() == expected.keys()
    assert of_encoder(found) > 0
    assert functional.cosine_similarity(rounded.float(), features, dim=2).min() > 0.98
    # bfloat16 has 8 bits; hard assignments of a few positions may flip. Dropped slots are 0.
    similar = functional.cosine_similarity(slots.float(), plain, dim=2)
    assert similar[plain.abs().amax(dim=2) > 0].min() > 0.95


@pytest.mark.parametrize("name", CORES)
def test_images_of_a_batch_do_not_see_each_other(name):
    core = make(name).eval()
    images, noise = draw(core, 3)
    slots, attention, features = core(images, noise)
    alone = core(images[1:2], None if noise is None else noise[1:2])
    assert_same_output((slots[1:2], attention[1:2], features), alone)


@pytest.mark.parametrize("name", WITH_NOISE)
def test_noise_decides_the_slots_and_its_order_theirs(name):
    core = make(name)
    images, noise = draw(core)
    order = torch.tensor([2, 0, 3, 1])
    slots, attention, features = core(images, noise)
    permuted = core(images, noise[:, order])
    assert_same_output((slots[:, order], attention[:, order], features), permuted)
    without = core(images).slots
    assert torch.equal(core(images).slots, without)
    assert not torch.allclose(without, slots)


@pytest.mark.parametrize("name", WITHOUT_NOISE)
def test_a_core_that_draws_no_noise_says_so_and_heeds_none(name):
    core = make(name)
    images, noise = draw(core)
    assert noise is None
    given = torch.randn(2, 4, 16, generator=torch_generator(0, "given"))
    assert torch.equal(core(images).slots, core(images, given).slots)


def numbers():
    """A value out of range for every number of every core's own options."""
    found = {
        (item.name, -1.0 if isinstance(item.default, float) else -1): name
        for name in CORES
        for item in dataclasses.fields(registry.get("cores", name).load().Config)
        if item.name != "key_position_scale"  # any number is a scale
        and (item.name in ("slots", "eval_iterations") or type(item.default) in (int, float))
    }
    return [("slot-attention", "slots", None)] + [(name, *of) for of, name in found.items()]


@pytest.mark.parametrize(("name", "field", "value"), numbers())
def test_values_that_no_core_can_use_are_named(name, field, value):
    with pytest.raises(ValueError, match=f"{field}={value}: expected"):
        make(name, **{field: value})


class Broken(SlotAttention):
    """Slot attention of whose output a test breaks a part."""

    changes = MappingProxyType({})

    def forward(self, images, noise=None):
        out = super().forward(images, noise)
        return out._replace(**{key: of(getattr(out, key)) for key, of in self.changes.items()})


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("slots", lambda x: x.mT, r"slots have shape \(2, 16, 4\)"),
        ("slots", lambda x: x / 0, "slots are not finite"),
        # Positions share each slot instead: it looks like attention, and scores better.
        ("attention", lambda x: x.flatten(2).softmax(2).view_as(x), "attention does not sum to 1"),
        ("attention", lambda x: x.permute(0, 2, 3, 1), r"attention has shape \(2, 8, 8, 4\)"),
        ("attention", lambda x: x.flatten(2), "attention has shape"),
        ("features", lambda x: x[:, 1:], "features have shape"),
    ],
)
def test_a_core_that_breaks_the_contract_is_refused_by_name(part, change, message):
    core = Broken(SlotAttention.Config(slots=4, width=16), ENCODERS["strided-cnn"]())
    images, _ = draw(core)
    check_core(core, images)
    core.changes = {part: change}
    with pytest.raises(
        UserError, match=rf"Broken .test_contract.py. breaks its contract: {message}"
    ):
        check_core(core, images)
