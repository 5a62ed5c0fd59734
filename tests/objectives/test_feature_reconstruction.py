"""Frozen features as the target: read or computed, they train the core alike."""

import pytest
import torch

from slotbench.cores.encoders.cnn import StridedCnn, StridedCnnConfig
from slotbench.cores.slot_attention import SlotAttention
from slotbench.cores.teachers import Teacher
from slotbench.datasets.format.schema import Feature, Layout
from slotbench.errors import UserError
from slotbench.objectives import feature_reconstruction as module
from slotbench.objectives.objective import TrainBatch
from slotbench.rng import building, torch_generator

LAYOUT = Layout(32, 32, 3, (), features=(Feature("fake", 16, 6),))
DECODERS = ("mlp", "transformer")


def images(count=4):
    return torch.rand(count, 3, 32, 32, generator=torch_generator(0, "images"))


def fake():
    with building(0, "teacher"):
        return Teacher("fake", StridedCnn(StridedCnnConfig(channels=6, stride=8), 32), 32, "tests")


def load(text, weights=None):
    del weights
    torch.rand(7)  # building a network draws numbers
    if text != "timm:fake":
        raise UserError(f"No run {text!r}.", "Type something else")
    return fake()


def make(layout=LAYOUT, **fields):
    with building(0, "core"):
        encoder = StridedCnn(StridedCnnConfig(channels=8, stride=8, depth=1), 32)
        core = SlotAttention(SlotAttention.Config(slots=3, width=8, mlp_width=8), encoder)
    config = module.FeatureReconstructionConfig(**{"hidden": 16, "depth": 2, **fields})
    with building(0, "objective"):
        return module.FeatureReconstruction(core, config, layout, load).train()


def batch(features=None):
    features = fake()(images()) if features is None else features
    return TrainBatch(images(), None, 0, 0, labels={"feature/fake": features})


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_loss_is_the_squared_error_and_reaches_every_weight(decoder):
    made = make(decoder=decoder)
    assert made.reads == ("feature/fake",)
    target = torch.randn(4, 16, 6, generator=torch_generator(0, "target"))
    loss = made.loss(batch(target.half()))["loss"]
    slots = made.core(images(), batch().noise(made.core)).slots
    arguments = (slots,) if decoder == "mlp" else (slots, target.half().float())
    expected = (made.decoder(*arguments)[0] - target.half()).square().mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for key, weight in made.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("decoder", DECODERS)
def test_features_computed_on_the_way_train_as_stored_ones_do(decoder):
    stored, computed = make(decoder=decoder), make(decoder=decoder, teacher="timm:fake")
    assert computed.reads == ()
    # The same weights at the start: the teacher has no say in them.
    for one, two in zip(stored.parameters(), computed.parameters(), strict=True):
        assert torch.equal(one, two)
    exact = stored.loss(batch())["loss"]
    assert torch.equal(exact, computed.loss(TrainBatch(images(), None, 0, 0))["loss"])
    rounded = stored.loss(batch(batch().labels["feature/fake"].half()))["loss"]
    torch.testing.assert_close(rounded, exact, rtol=1e-3, atol=1e-4)


def test_the_teacher_is_no_part_of_the_objective_and_does_not_learn():
    made = make(teacher="timm:fake")
    teacher = made.teacher.encoder
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    assert made.state_dict().keys() == make().state_dict().keys()
    made.eval().train()
    assert not any(part.training for part in teacher.modules())
    optimizer = torch.optim.Adam(made.parameters(), 0.1)
    first = made.loss(batch())["loss"]
    first.backward()
    optimizer.step()
    assert not torch.equal(made.loss(batch())["loss"], first)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(weight.grad is None for weight in teacher.parameters())


@pytest.mark.parametrize(
    ("decoder", "teacher"), [("mlp", None), ("mlp", "timm:fake"), ("transformer", "timm:fake")]
)
def test_masks_are_the_decoders_one_for_each_feature(decoder, teacher):
    made = make(decoder=decoder, teacher=teacher).eval()
    output = made.core(images())
    masks = made.masks(images(), output)
    assert masks.shape == (4, 3, 4, 4)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(4, 4, 4))
    arguments = (output.slots,) if decoder == "mlp" else (output.slots, fake()(images()))
    expected = made.decoder(*arguments)[1]
    torch.testing.assert_close(masks.flatten(2), expected)
    order = torch.tensor([2, 0, 1])
    permuted = made.masks(images(), output._replace(slots=output.slots[:, order]))
    torch.testing.assert_close(permuted, masks[:, order])


def test_a_transformer_on_stored_features_has_no_masks_of_images_alone():
    made = make(decoder="transformer")
    assert made.decode(made.core(images()), images()) is None
    assert made.masks(images()) is None


def test_one_teacher_among_several_is_chosen_by_name():
    several = Layout(32, 32, 3, (), features=(Feature("a", 4, 3), Feature("b", 9, 5)))
    made = make(several, teacher="b")
    assert made.reads == ("feature/b",)
    features = torch.zeros(4, 9, 5)
    given = TrainBatch(images(), None, 0, 0, labels={"feature/b": features})
    assert made.loss(given)["loss"].isfinite()
    masks = made.masks(images())
    assert masks.shape == (4, 3, 3, 3)
    with pytest.raises(ValueError, match="which has those of a, b; name a teacher"):
        make(several)


def test_what_does_not_fit_is_named():
    empty = Layout(32, 32, 3, ())
    with pytest.raises(ValueError, match="which has none; name a teacher"):
        make(empty)
    with pytest.raises(UserError, match=r"teacher=dino: No run 'dino'\. Features .* file: fake"):
        make(teacher="dino")
    with pytest.raises(ValueError, match="oblong lie on no square grid"):
        make(Layout(32, 32, 3, (), features=(Feature("oblong", 8, 3),)))
    with pytest.raises(ValueError, match="hidden=18: expected a multiple of heads=4"):
        make(decoder="transformer", hidden=18)
    with pytest.raises(ValueError, match="weights=x: the features fake are stored"):
        make(weights="x")
