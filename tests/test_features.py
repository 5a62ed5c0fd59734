"""Teachers: frozen encoders of timm's and of earlier runs."""

from pathlib import Path

import pytest
import timm
import torch

from slotbench.errors import UserError
from slotbench.features import load_teacher

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.save(
        timm.create_model(TINY, pretrained=False, num_classes=0, img_size=32).state_dict(), path
    )
    return path


def test_a_teacher_is_frozen_resizes_and_gives_timms_features(weights: Path) -> None:
    teacher = load_teacher(f"timm:{TINY}", weights, image_size=32)
    images = torch.rand(2, 3, 64, 64)
    made = teacher(images.requires_grad_())
    assert made.shape == (2, 4, 192)
    assert not made.requires_grad
    model = timm.create_model(TINY, pretrained=False, num_classes=0, img_size=32).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    mean, deviation = (torch.tensor(model.default_cfg[key]) for key in ("mean", "std"))
    inputs = (small.clamp(0, 1) - mean[:, None, None]) / deviation[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(made, model.forward_features(inputs)[:, 1:])


def test_the_description_tells_weights_apart(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    state["norm.bias"] += 1
    torch.save(state, tmp_path / "other.pth")
    first = load_teacher(f"timm:{TINY}", weights, image_size=32)
    again = load_teacher(f"timm:{TINY}", weights, image_size=32)
    other = load_teacher(f"timm:{TINY}", tmp_path / "other.pth", image_size=32)
    assert first.description == again.description != other.description
    assert first.name == TINY


def test_what_is_no_teacher_is_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="timm:vit_of_no_kind"):
        load_teacher("timm:vit_of_no_kind", weights)
    with pytest.raises(UserError, match="no weights at"):
        load_teacher(f"timm:{TINY}", tmp_path / "nowhere.pth", image_size=32)
    with pytest.raises(UserError, match=r"no run|No run"):
        load_teacher("0-nowhere", results_dir=tmp_path)
    with pytest.raises(UserError, match="weights of its own"):
        load_teacher("0-nowhere", weights, results_dir=tmp_path)
