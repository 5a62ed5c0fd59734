"""Teachers: what they compute is what their network computes, whatever surrounds them."""

import pytest
import safetensors.torch
import torch
from torch.nn import functional

from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.cores.encoders.cnn import StridedCnn, StridedCnnConfig
from slotbench.cores.teachers import Teacher, resized
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.results.models import load_teacher
from slotbench.results.run import Run
from slotbench.rng import building
from slotbench.training.build import build
from tests.conftest import write_blocks
from tests.small import images

SMALL = ("core.width=8", "core.mlp_width=8")
SMALL += ("encoder.channels=6", "encoder.depth=1", "encoder.stride=8")


def strided(seed=0, **fields):
    with building(seed, "encoder"):
        encoder = StridedCnn(StridedCnnConfig(**{"channels": 6, "stride": 8, **fields}), 32)
    return Teacher("strided", encoder, 32, "tests")


@pytest.fixture
def dataset(tmp_path):
    with DatasetFile(write_blocks(tmp_path / "clevr.h5", 5, 3, 3)) as file:
        yield file


@pytest.fixture
def weights(tmp_path):
    timm = pytest.importorskip("timm")
    with building(0, "teacher"):
        model = timm.create_model("test_vit", img_size=32)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def finished(dataset, results):
    """A run with weights that no seed would give, and its encoder."""
    config = resolve(
        Choice(objective="random", preset="quick", overrides=SMALL), dataset_info(dataset)
    )
    run, objective = Run.of(config, results), build(config)
    run.create(config)
    with torch.no_grad():
        for weight in objective.parameters():
            weight.add_(0.1)
    safetensors.torch.save_file(objective.state_dict(), run.model)
    return run, objective.core.encoder


def test_a_vit_gives_the_features_of_its_encoder_which_has_these_weights(weights):
    """That the encoder's are timm's is tested with the encoders."""
    teacher = load_teacher("timm:test_vit", weights, image_size=32)
    given = safetensors.torch.load_file(weights)
    held = teacher.encoder.model.state_dict()
    assert all(torch.equal(value, given[key]) for key, value in held.items())
    torch.testing.assert_close(teacher(images()), teacher.encoder(images())[0].detach())
    assert teacher.name == "test_vit"
    larger = images(64).requires_grad_()
    assert torch.equal(teacher(larger), teacher(resized(larger.detach(), 32)))
    assert not teacher(larger).requires_grad
    # Other weights under the same name are another teacher.
    safetensors.torch.save_file({**given, "norm.bias": given["norm.bias"] + 1}, weights)
    other = load_teacher("timm:test_vit", weights, image_size=32)
    assert other.description != teacher.description


def test_a_run_gives_its_trained_encoder_without_coordinates(dataset, tmp_path):
    run, encoder = finished(dataset, tmp_path)
    for reference in (str(run.path), run.id, run.id.partition("-")[2][:5]):
        teacher = load_teacher(reference, results_dir=tmp_path)
        assert teacher.name == f"run-{run.config().id}"
        found = teacher(images())
        assert found.shape == (2, 16, 6)
        torch.testing.assert_close(found, encoder(images())[0][:, :, :6].detach())
    torch.testing.assert_close(teacher(images(64)), teacher(resized(images(64), 32)))


def test_images_of_another_size_are_resized():
    teacher = strided()
    options = {"mode": "bilinear", "antialias": True, "align_corners": False}
    small = functional.interpolate(images(96), (32, 32), **options)
    torch.testing.assert_close(teacher(images(96)), teacher(small))
    assert torch.equal(resized(images(), 32), images())
    sharp = resized((images(64) > 0.5).float(), 224)
    assert 0 <= sharp.min() <= sharp.max() <= 1


def test_a_teacher_is_frozen_and_computes_in_single_precision():
    teacher = strided()
    inputs = images().requires_grad_()
    plain = teacher(inputs)
    # The coordinates that end a convolution's features are no part of them.
    assert plain.shape == (2, 16, 6)
    assert not plain.requires_grad
    assert not any(weight.requires_grad for weight in teacher.encoder.parameters())
    assert not teacher.encoder.training
    with torch.autocast("cpu", torch.bfloat16):
        under = teacher(inputs)
    assert under.dtype == torch.float32
    assert torch.equal(under, plain)


def test_the_description_tells_networks_apart():
    made = (strided(), strided(), strided(1), strided(channels=7))
    assert len({teacher.description for teacher in made}) == 3


def test_teachers_that_cannot_be_had_are_named(dataset, tmp_path, weights):
    run, _ = finished(dataset, tmp_path)
    for reference, file, message in (
        ("timm:vit_nothing", weights, "timm:vit_nothing: timm cannot make 'vit_nothing'"),
        ("timm:test_vit", tmp_path / "x.pth", "timm:test_vit: no weights: "),
        ("timm:test_vit2", weights, "timm:test_vit2: .*vit.safetensors"),
        ("timm:", weights, "'timm:' names no teacher"),
        (run.id, weights, "a run has weights of its own"),
        ("nothing", None, "No run 'nothing'"),
    ):
        with pytest.raises(UserError, match=message):
            load_teacher(reference, file, results_dir=tmp_path)
    run.model.unlink()
    with pytest.raises(UserError, match="has no trained model"):
        load_teacher(run.id, results_dir=tmp_path)
