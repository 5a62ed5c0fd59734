"""ResNets and ViTs: shapes, coordinates, frozen weights, files of weights."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from slotbench.cores.encoders.resnet import STRIDES, ResNet18, ResNet34, ResNetConfig
from slotbench.cores.encoders.vit import ViT, ViTConfig, load_weights
from slotbench.cores.layers import pixel_centres

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TINY = "vit_tiny_patch16_224"


@pytest.mark.parametrize("stages", STRIDES)
def test_each_stage_but_the_first_halves_the_resolution(stages: int) -> None:
    encoder = ResNet18(ResNetConfig(channels=8, stages=stages), 32)
    features, grid = encoder(IMAGES)
    side = 32 // 2 ** (stages - 1)
    assert grid == (side, side)
    assert features.shape == (2, side**2, 12) == (2, side**2, encoder.width)


def test_a_resnet_34_has_its_thirty_four_layers() -> None:
    encoder = ResNet34(ResNetConfig(), 32)
    convolutions = [part for part in encoder.trunk.modules() if isinstance(part, torch.nn.Conv2d)]
    shortcuts = [part for part in convolutions if part.kernel_size == (1, 1)]
    assert len(convolutions) - len(shortcuts) == 33  # and the classifier, which is left out
    assert not any(
        isinstance(part, torch.nn.BatchNorm2d | torch.nn.MaxPool2d) for part in encoder.modules()
    )


def test_the_last_channels_hold_the_position_alone() -> None:
    features, _ = ResNet18(ResNetConfig(channels=8, stages=3), 32)(IMAGES)
    centres = pixel_centres(8).flatten(0, 1)
    for image in features[..., 8:]:
        torch.testing.assert_close(image, torch.cat([centres, -centres], dim=1))


@pytest.mark.parametrize("stages", [0, 5])
def test_stages_that_a_resnet_has_not_are_refused(stages: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 4"):
        ResNet18(ResNetConfig(stages=stages), 32)
    with pytest.raises(ValueError, match="8 divides"):
        ResNet18(ResNetConfig(), 36)


def test_a_vit_gives_timms_patch_tokens() -> None:
    torch.manual_seed(0)
    encoder = ViT(ViTConfig(TINY, patch=8), 32).eval()
    features, grid = encoder(IMAGES)
    assert grid == (4, 4)
    assert features.shape == (2, 16, encoder.width)
    mean, deviation = (torch.tensor(encoder.model.default_cfg[key]) for key in ("mean", "std"))
    inputs = (IMAGES - mean[:, None, None]) / deviation[:, None, None]
    expected = encoder.model.forward_features(inputs)[:, 1:]
    torch.testing.assert_close(features, expected)


def test_frozen_weights_stay_and_pass_no_gradient() -> None:
    encoder = ViT(ViTConfig(TINY, patch=8, frozen=True), 32)
    encoder.train()
    assert not any(part.training for part in encoder.modules())
    assert not encoder(IMAGES)[0].requires_grad
    assert not any(weights.requires_grad for weights in encoder.parameters())
    assert ViT(ViTConfig(TINY, patch=8), 32)(IMAGES)[0].requires_grad


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_weights_come_from_a_file(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    model = timm.create_model(TINY, pretrained=False, img_size=32, patch_size=8)
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save({"model": model.state_dict()}, path)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    encoder = ViT(ViTConfig(TINY, patch=8, weights=str(path)), 32)
    for key, value in encoder.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key])


class Harmful:
    """What a pickle may run when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("ran"),))


def test_files_that_are_no_weights_are_refused_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Linear(2, 2)
    Path("bad.pth").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="can be read safely"):
        load_weights(model, Path("bad.pth"))
    assert not Path("ran").exists()
    with pytest.raises(ValueError, match="no weights at"):
        load_weights(model, Path("nowhere.pth"))
    torch.save({"weight": torch.zeros(2, 2)}, "half.pth")
    with pytest.raises(ValueError, match="lacks 1 of the model's weights: bias"):
        load_weights(model, Path("half.pth"))
    torch.save({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, "wide.pth")
    with pytest.raises(ValueError, match=r"weight is \(3, 2\), the model's \(2, 2\)"):
        load_weights(model, Path("wide.pth"))


def test_what_is_no_vit_is_refused() -> None:
    with pytest.raises(ValueError, match="timm cannot make"):
        ViT(ViTConfig("vit_of_no_kind"), 32)
    with pytest.raises(ValueError, match=r"timm cannot make|no vision transformer"):
        ViT(ViTConfig("resnet18", patch=None), 32)
