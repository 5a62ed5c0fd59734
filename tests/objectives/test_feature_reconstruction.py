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
from tests.objectives import tiny
from tests.small import images

LAYOUT = Layout(32, 32, 3, (), features=(Feature("fake", 16, 6),))
DECODERS = ("mlp", "transformer")


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
    target = torch.randn(2, 16, 6, generator=torch_generator(0, "target")).half()
    loss = made.loss(batch(target))["loss"]
    slots = made.core(images(), batch().noise(made.core)).slots
    arguments = (slots,) if decoder == "mlp" else (slots, target.float())
    tiny.assert_same_loss(made, loss, (made.decoder(*arguments)[0] - target).square().mean())
    loss.backward()
    for key, weight in made.named_parameters():
        assert weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("decoder", DECODERS)
def test_features_computed_on_the_way_train_as_stored_ones_do(decoder):
    stored, computed = make(decoder=decoder), make(decoder=decoder, teacher="timm:fake")
    assert computed.reads == ()
    # The same weights at the start, and no others: the teacher has no say in them.
    assert tiny.differences(stored.state_dict(), computed.state_dict()) == []
    exact = stored.loss(batch())["loss"]
    assert torch.equal(exact, computed.loss(TrainBatch(images(), None, 0, 0))["loss"])
    rounded = stored.loss(batch(batch().labels["feature/fake"].half()))["loss"]
    torch.testing.assert_close(rounded, exact, rtol=1e-3, atol=1e-4)


def test_the_teacher_does_not_learn():
    made = make(teacher="timm:fake")
    teacher = made.teacher.encoder
    before = tiny.state(teacher)
    made.eval().train()
    assert not any(part.training for part in teacher.modules())
    optimizer = torch.optim.Adam(made.parameters(), 0.1)
    first = made.loss(batch())["loss"]
    first.backward()
    optimizer.step()
    assert not torch.equal(made.loss(batch())["loss"], first)
    assert tiny.differences(before, teacher.state_dict()) == []
    assert all(weight.grad is None for weight in teacher.parameters())


@pytest.mark.parametrize(
    ("decoder", "teacher"), [("mlp", None), ("mlp", "timm:fake"), ("transformer", "timm:fake")]
)
def test_masks_are_the_decoders_one_for_each_feature(decoder, teacher):
    made = make(decoder=decoder, teacher=teacher).eval()
    output = made.core(images())
    masks = made.masks(images(), output)
    assert masks.shape == (2, 3, 4, 4)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 4, 4))
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
    given = TrainBatch(images(), None, 0, 0, labels={"feature/b": torch.zeros(2, 9, 5)})
    assert made.loss(given)["loss"].isfinite()
    assert made.masks(images()).shape == (2, 3, 3, 3)


def layout(**features):
    listed = (Feature(name, positions, 3) for name, positions in features.items())
    return Layout(32, 32, 3, (), features=tuple(listed))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": layout()}, "which has none; name a teacher"),
        ({"layout": layout(a=4, b=9)}, "which has those of a, b; name a teacher"),
        ({"layout": layout(oblong=8)}, "oblong lie on no square grid"),
        ({"teacher": "dino"}, r"teacher=dino: No run 'dino'\. Features .* file: fake"),
        ({"decoder": "transformer", "hidden": 18}, "hidden=18: expected a multiple of heads=4"),
        ({"weights": "x"}, "weights=x: the features fake are stored"),
    ],
)
def test_what_does_not_fit_is_named(fields, message):
    with pytest.raises((ValueError, UserError), match=message):
        make(**fields)
