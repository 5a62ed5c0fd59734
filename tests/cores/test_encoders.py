"""Larger encoders against torchvision and timm, under a core, and in half precision."""

import pickle
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import resnet

from slotbench.cores.encoders import cnn
from slotbench.cores.encoders.resnet import ResNet18, ResNet34, ResNetConfig
from slotbench.cores.encoders.vit import ViT, ViTConfig
from slotbench.cores.layers import cell_centres
from slotbench.cores.slot_attention import SlotAttention
from slotbench.rng import building, torch_generator
from tests.small import images

timm = pytest.importorskip("timm")


def vit(size=32, **fields):
    """timm's own model for tests: 6 blocks of width 64, made for 160 pixels and patches of 16."""
    with building(0, "vit"):
        return ViT(ViTConfig(**{"model": "test_vit", **fields}), size)


@pytest.mark.parametrize(("kind", "blocks"), [(ResNet18, [2, 2, 2, 2]), (ResNet34, [3, 4, 6, 3])])
@pytest.mark.parametrize("stages", [1, 4])
def test_the_trunk_is_torchvisions_with_savis_stem(kind, blocks, stages):
    with building(stages, "resnet"):
        mine = kind(ResNetConfig(channels=8, stages=stages), 16)
        theirs = resnet.ResNet(
            resnet.BasicBlock, blocks, norm_layer=lambda channels: nn.GroupNorm(32, channels)
        )
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    parts = [theirs.conv1, theirs.bn1, theirs.relu, theirs.layer1, theirs.layer2, theirs.layer3]
    reference = nn.Sequential(*[*parts, theirs.layer4][: 3 + stages])
    # Zero in every block, the last scales would hide half of the weights.
    with torch.no_grad():
        for weight in mine.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch_generator(0, "shake")))
    reference.load_state_dict(mine.trunk.state_dict())
    inputs = torch.randn(2, 3, 16, 16, generator=torch_generator(0, "inputs"))
    found = mine.trunk(inputs)
    assert found.shape == (2, 64 * 2 ** (stages - 1), *[16 // 2 ** (stages - 1)] * 2)
    torch.testing.assert_close(found, reference(inputs))


def test_resnet_blocks_start_as_the_identity_and_the_last_channels_hold_the_position_alone():
    with building(0, "resnet"):
        encoder = ResNet18(ResNetConfig(channels=8, base=8, stages=3), 32)
    inputs = torch.rand(1, 8, 6, 6, generator=torch_generator(0, "inputs"))
    torch.testing.assert_close(encoder.trunk[3](inputs), inputs)
    centres = cell_centres(8, 8)
    for image in encoder(images())[0][..., 8:]:
        torch.testing.assert_close(image, torch.cat([centres, -centres], dim=1))


@pytest.mark.parametrize(("size", "patch"), [(32, 16), (48, 4)])
def test_vit_features_are_timms_without_the_class_token(size, patch):
    encoder = vit(size, patch=patch)
    reference = timm.create_model("test_vit", img_size=size, patch_size=patch)
    reference.load_state_dict(encoder.model.state_dict(), strict=False)
    data = timm.data.resolve_model_data_config(reference)
    mean, deviation = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    features, grid = encoder.eval()(images(size))
    expected = reference.eval().forward_features((images(size) - mean) / deviation)
    assert grid == (size // patch, size // patch)
    torch.testing.assert_close(features, expected[:, reference.num_prefix_tokens :])


@pytest.mark.parametrize("frozen", [True, False])
def test_only_a_vit_that_is_not_frozen_learns(frozen):
    encoder = vit(frozen=frozen)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    core = SlotAttention(SlotAttention.Config(slots=3, width=16, mlp_width=16), encoder).train()
    optimizer = torch.optim.Adam(core.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        core(images()).slots.square().mean().backward()
        optimizer.step()
    after = encoder.state_dict()
    assert any(not torch.equal(value, after[key]) for key, value in before.items()) != frozen
    assert all(weight.requires_grad != frozen for weight in encoder.parameters())
    assert all((weight.grad is None) == frozen for weight in encoder.parameters())
    assert encoder(images())[0].requires_grad != frozen


def test_weights_for_other_sizes_are_resampled(tmp_path):
    path = tmp_path / "weights.safetensors"
    large = timm.create_model("test_vit", num_classes=0)
    with torch.no_grad():
        # An embedding that is linear in y stays so, whatever its resolution.
        ramp = torch.linspace(-0.95, 0.95, 10)[:, None].expand(10, 10).reshape(1, 100, 1)
        large.pos_embed[:, 1:] = ramp.expand(-1, -1, 64)
    safetensors.torch.save_file(large.state_dict(), path)
    encoder = vit(64, weights=str(path), patch=16)
    assert encoder.model.pos_embed.shape == (1, 17, 64)
    found = encoder.model.pos_embed[0, 1:].unflatten(0, (4, 4))
    torch.testing.assert_close(found, found[:, :1].expand(-1, 4, -1))
    assert (found[1:] - found[:-1]).min() > 0.3
    assert torch.equal(encoder.model.blocks[3].mlp.fc1.weight, large.blocks[3].mlp.fc1.weight)
    finer = vit(64, weights=str(path), patch=8)
    assert finer.model.patch_embed.proj.weight.shape == (64, 3, 8, 8)
    assert finer(images(64))[0].shape == (2, 64, 64)


class Harmful:
    """A pickle that runs something when it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_files_that_hold_no_such_weights_are_refused_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.pth").write_bytes(pickle.dumps(Harmful()))
    state = vit().model.state_dict()
    torch.save(torch.zeros(3), "tensor.pth")
    torch.save({key: value for key, value in state.items() if "norm1" not in key}, "few.pth")
    torch.save(timm.create_model("test_vit2", num_classes=0).state_dict(), "other.pth")
    torch.save({**state, "blocks.0.attn.proj.weight": torch.zeros(3, 3)}, "shape.pth")
    Path("broken.safetensors").write_bytes(b"\0" * 20)
    for name, message in {
        "nothing.pth": "no weights: nothing.pth does not exist",
        ".": "no weights: . is not a regular file",
        "broken.safetensors": "no weights that can be read safely",
        "bad.pth": "can be read safely",
        "tensor.pth": "holds a Tensor",
        "few.pth": r"lacks 12 of the model's weights: blocks\.0\.norm1\.weight",
        "other.pth": "the weights of other.pth are of another model|lacks|the model's",
        "shape.pth": r"of another model: .*\s+size mismatch for blocks\.0\.attn\.proj\.weight",
    }.items():
        with pytest.raises(ValueError, match=message):
            vit(weights=name)
    assert not Path("ran").exists()


def test_without_a_network_or_timm_the_way_out_is_named(monkeypatch):
    make = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("no network")
        return make(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"cannot be fetched \(ConnectionError\); give the path"):
        vit(pretrained=True)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"pip install 'slotbench\[vit\]'"):
        vit()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_weights_come_from_a_file(tmp_path, name):
    state = timm.create_model("test_vit", img_size=32, patch_size=8).state_dict()
    if name.endswith(".pth"):
        torch.save({"model": state}, tmp_path / name)
    else:
        safetensors.torch.save_file(state, tmp_path / name)
    found = vit(weights=str(tmp_path / name)).model.state_dict()
    for key, value in found.items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vit(model="vit_tinny"), "timm cannot make 'vit_tinny': it knows no such"),
        (lambda: vit(model="resnet18"), "timm cannot make 'resnet18'"),
        (lambda: vit(model="test_efficientnet"), "timm cannot make|is no vision transformer"),
        (lambda: vit(patch=5), "patches of 5 pixels do not divide the image size 32"),
        (lambda: vit(patch=0), "patch=0: expected"),
        (lambda: vit(pretrained=True, weights="x.pth"), r"weights=x\.pth: expected none where"),
        (lambda: ResNetConfig(stages=5), "stages=5: expected less than or equal to 4"),
        (lambda: ResNet34(ResNetConfig(), 36), "needs an image size that 8 divides, not 36"),
        (lambda: cnn.CnnConfig(channels=0), "channels=0: expected"),
        (lambda: cnn.StridedCnnConfig(input_deviation=0.0), "input_deviation=0.0: expected"),
        (lambda: cnn.StridedCnn(cnn.StridedCnnConfig(stride=5), 32), "stride=5 does not divide"),
    ],
)
def test_fields_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pixels_sees_the_colour_of_a_pixel_and_its_place_alone():
    """Moving pixels moves their content; their coordinates stay."""
    with building(0, "encoder"):
        encoder = cnn.Pixels(cnn.PixelsConfig(channels=8), 16)
    order = torch.randperm(256, generator=torch_generator(0, "order"))
    moved = images(16).flatten(2)[..., order].view(2, 3, 16, 16)
    (first, grid), (second, _) = encoder(images(16)), encoder(moved)
    assert grid == (16, 16)
    assert first.shape == (2, 256, encoder.width) == (2, 256, 12)
    torch.testing.assert_close(second[..., :8], first[:, order, :8])
    assert torch.equal(second[..., 8:], first[..., 8:])
    # Greys differ in length alone, which the norm would take away without biases.
    greys = torch.tensor([0.65, 0.8]).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    dark, bright = encoder(greys)[0].detach()[:, 0, :-4]
    assert float((bright - dark).norm() / dark.norm()) > 0.1
