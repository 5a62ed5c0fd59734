"""The whole evaluation, on a core that finds every object because its colour says which it is."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Layout, Property
from slotbench.datasets.prepare.parts import join
from slotbench.errors import SlotbenchError, UserError
from slotbench.evaluation.evaluate import LIMITS, evaluate
from slotbench.evaluation.frozen_pass import ARRAYS, collect, frozen, initial_noise
from slotbench.evaluation.segmentation import METRICS
from tests.conftest import ATTRIBUTES as BLOCKS

SIZE, OBJECTS, LEVELS = 16, 3, 4
SHADE = Property("shade", "categorical", classes=tuple("abcd"))
LAYOUT = Layout(SIZE, SIZE, OBJECTS, (SHADE, Property("position", "numeric", dim=2)))
ATTRIBUTES = {**BLOCKS, "name": "squares", "variant": "tiny", "image_size": SIZE}
CORNERS = np.array([(1, 1), (1, 9), (9, 1), (9, 9)])


def squares(n, seed, labelled=True):
    """Squares of different shades, one in a quarter of the frame each."""
    generator = np.random.default_rng(seed)
    batch = LAYOUT.empty(n)
    for image in range(n):
        count = generator.integers(1, OBJECTS + 1)
        shades, quarters = generator.permutation(LEVELS), generator.permutation(4)
        for index in range(count):
            y, x = CORNERS[quarters[index]] + generator.integers(0, 3, 2)
            area = np.s_[image, y : y + 4, x : x + 4]
            batch["image"][area] = (shades[index] + 1) * 50
            batch["mask"][area] = index + 1
            batch["visible"][image, index] = True
            batch["property/shade"][image, index] = shades[index]
            batch["property/position"][image, index] = y, x
    if not labelled:
        batch["mask"][:] = 255
    return batch


def blind(path, **sizes):
    """A prepared file of squares whose masks label nothing; 30 images a split where not told."""
    sizes = {"train": 30, "val": 30, "test": 30, **sizes}
    splits = {split: [squares(n, 0, labelled=False)] for split, n in sizes.items()}
    join(path / "blind.h5", LAYOUT, splits, ATTRIBUTES)
    return DatasetFile(path / "blind.h5")


class ByShade(Core):
    """Slot k takes the pixels of one shade; the initial noise decides the order of the slots."""

    def __init__(self, slots=LEVELS + 1, broken=False, quiet=False):
        super().__init__(CoreConfig(slots=slots, width=LEVELS + 4), nn.Dropout(0.5))
        self.broken, self.quiet = broken, quiet

    def noise(self, batch, generator):
        return None if self.quiet else super().noise(batch, generator)

    def forward(self, images, noise=None):
        levels = torch.arange(LEVELS + 1) * 50 / 255
        masks = ((images[:, :1] - levels[:, None, None]).abs() < 0.01).float()
        grid = torch.stack(torch.meshgrid(*[torch.arange(SIZE) / 8.0 - 1] * 2, indexing="ij"))
        area = masks.sum(dim=(2, 3))
        centre = torch.einsum("bkhw,chw->bkc", masks, grid) / area.clamp(min=1)[:, :, None]
        shade = torch.eye(LEVELS + 1).expand(len(images), -1, -1)
        slots = torch.cat([shade, centre, area[:, :, None] > 0], dim=2)
        slots = self.encoder(slots * 4)  # dropout, which evaluation must switch off
        if noise is not None:
            order = noise[:, :, 0].argsort(dim=1)
            slots = slots.take_along_dim(order[:, :, None], dim=1)
            masks = masks.take_along_dim(order[:, :, None, None], dim=1)
        if self.broken:
            slots = slots / 0
        return SlotOutput(slots, masks, images.flatten(2).mT)


class Plain(nn.Module):
    """An objective as the evaluation sees it, without a decoder."""

    def __init__(self, core):
        super().__init__()
        self.core = core

    def decode(self, output, images):
        del output, images

    def predictor_masks(self, images, output=None):
        del output, images


class WithDecoder(Plain):
    """Its masks are the attention maps at half the size; its image is grey."""

    def decode(self, output, images):  # noqa: ARG002
        masks = output.attention[:, :, ::2, ::2]
        return Decoded(torch.full((len(masks), 3, 8, 8), 0.5), masks, masks[:, :, None])


def judge(dataset, objective=None, **options):
    options = {"seed": 0, "probe_steps": 500, **options}
    return evaluate(objective or WithDecoder(ByShade()), dataset, **options)


def test_a_core_that_finds_every_object_scores_1(dataset):
    seen = []
    document = judge(dataset, progress=lambda done, total: seen.append((done, total)))
    json.dumps(document, allow_nan=False)
    metrics = {key: result["value"] for key, result in document["metrics"].items()}
    for name in METRICS:
        assert metrics[f"{name}/attention"] == 1, name
        assert 0.3 < metrics[f"{name}/decoder"] < 1.01, name
    assert metrics["properties/linear/mask/shade"] > 0.95
    assert metrics["properties/linear/mask/position"] > 0.3
    # Pairing by the probe's own loss has local optima: better than chance is all that is sure.
    assert metrics["properties/linear/loss/shade"] > 1.5 / LEVELS
    assert 0.3 < metrics["properties/linear/loss/mean"] < 1
    assert metrics["properties/linear/mask/mean/dropped"] == metrics["properties/linear/mask/mean"]
    # Every object is found, so that it is described as often as its only class is right.
    described = metrics["properties/linear/mask/shade"]
    assert metrics["found+described/attention"] == pytest.approx(described)
    assert metrics["found+described/decoder"] < described
    assert metrics["linear_probe/slots/count"] > 0.9
    assert 0 < metrics["linear_probe/slots/map"] <= 1
    assert metrics["properties/mlp/mask/position"] > metrics["properties/linear/mask/position"]
    assert metrics["health/consistency"] == 1
    # The noise decides the order of the slots, which no score may depend on.
    for name in METRICS:
        drawn = document["metrics"][f"{name}/decoder/draws"]
        assert drawn["value"] == pytest.approx(metrics[f"{name}/decoder"]), name
        assert drawn["spread"] == pytest.approx(0, abs=1e-12), name
    assert metrics["health/attention_entropy"] == 0
    assert metrics["health/effective_rank"] > 2
    batch = dataset.read("test")
    objects = batch["visible"].sum(axis=1)
    assert metrics["health/empty_slots"] == pytest.approx((LEVELS - objects).mean() / 5)
    images = batch["image"] / 255
    assert metrics["recon_mse"] == pytest.approx(((images - 0.5) ** 2).mean(), rel=1e-5)
    others = "linear_probe/features/map linear_probe/features/count knn/slots/count"
    others += " dci/completeness dci/disentanglement knn/features/count health/slot_cosine"
    others += " properties/mlp/loss/mean set_prediction/linear/ap/0.125"
    assert set(others.split()) <= set(metrics)
    assert (document["images"], document["objects"]) == (90, objects.sum())
    assert document["resolution"] == [SIZE, SIZE]
    assert document["dataset"] == "squares:tiny"
    assert document["fingerprint"] == dataset.fingerprint
    assert document["skipped"] == {"shifts": "the dataset has no shifted test sets"}
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_batches_and_limits_change_nothing(dataset):
    objective = WithDecoder(ByShade())
    whole, parts = (
        collect(objective, dataset, "test", n, seed=3, batch_size=size)
        for n, size in ((90, 64), (50, 7))
    )
    given = {name for name in ARRAYS if "predictor" not in name}
    assert set(whole) == set(parts) == given
    for name, values in whole.items():
        assert len(parts[name]) == 50
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values[:50], parts[name], atol=1e-6)
        else:
            np.testing.assert_array_equal(values[:50], parts[name])


def test_only_what_is_wanted_is_made(dataset):
    objective, calls = WithDecoder(ByShade()), []
    decode = objective.decode
    objective.core.register_forward_hook(lambda *_: calls.append("core"))
    objective.decode = lambda *given: calls.append("decoder") or decode(*given)
    for wanted, made in {
        ("slots", "overlap"): ["core"],
        ("recon_mse",): ["core", "decoder"],
        ("labels/attention/third",): ["core"],
        ("labels/attention/first", "labels/decoder/second"): ["core", "core", "decoder"],
    }.items():
        calls.clear()
        assert set(collect(objective, dataset, "test", 20, seed=0, wanted=wanted)) == set(wanted)
        assert calls == made


def test_noise_differs_between_images_draws_splits_and_seeds():
    asked = [("test", 0, "first"), ("test", 0, "second"), ("val", 0, "first"), ("test", 1, "first")]
    draws = [initial_noise(ByShade(), of, 0, 2, seed=seed, draw=draw) for of, seed, draw in asked]
    assert len(torch.cat(draws).flatten(1).unique(dim=0)) == 8


def test_masks_of_a_predictor_are_a_source_of_their_own(dataset):
    class Predicting(Plain):
        def predictor_masks(self, images, output=None):
            del images
            return output.attention.flip(1)

    found = judge(dataset, Predicting(ByShade()), groups=("segmentation", "draws"))["metrics"]
    assert set(found) == {
        f"{name}/{source}{draws}"
        for name in METRICS
        for source in ("attention", "predictor")
        for draws in ("", "/draws")
    }
    assert found["fg_ari/predictor"]["value"] == 1


def test_what_cannot_be_computed_is_skipped_with_its_reason(tmp_path):
    unlabelled = "no pixel of the images is labelled"
    probes = ("properties", "properties-mlp", "linear-probe", "set-prediction", "dci")
    with blind(tmp_path, val=0) as file:
        document = judge(file, WithDecoder(ByShade(quiet=True)))
    assert document["skipped"] == {
        **dict.fromkeys(("segmentation", "draws", "slot-count", "swapped"), unlabelled),
        "health/consistency": "the core draws no initial noise",
        **dict.fromkeys(probes, "val has no images"),
        "shifts": "the dataset has no shifted test sets",
    }
    assert document["metrics"]["health/consistency"]["value"] is None
    kept = {key for key in document["metrics"] if not key.startswith("health/")}
    assert kept == {"recon_mse"}
    with blind(tmp_path) as file:
        document = judge(file, groups=("properties", "dci", "decoder-probe"), probe_steps=2)
        without = judge(file, groups=("decoder-probe",), limits={**LIMITS, "train": 0})
    by_masks = ("properties/linear/mask", "found+described", "dci")
    assert document["skipped"] == {
        **dict.fromkeys(by_masks, "a split has no labelled pixel"),
        "decoder-probe": unlabelled,
    }
    # What needs no masks is there: pairing by loss, and the probe decoder's error.
    assert {key.rpartition("/")[0] for key in document["metrics"]} >= {"properties/linear/loss"}
    assert {key for key in document["metrics"] if "decoder" in key} == {"recon_mse/probe-decoder"}
    assert without["skipped"] == {"decoder-probe": "train has no images"}


def test_slots_that_are_not_finite_name_the_core_and_unknown_names_the_nearest(dataset):
    with pytest.raises(SlotbenchError, match=r"ByShade: the slots of test image 0 .*NaN") as caught:
        judge(dataset, Plain(ByShade(broken=True)))
    assert caught.value.exit_code == 1
    with pytest.raises(UserError, match="segmentation"):
        judge(dataset, groups=("segmentatoin",))
    with pytest.raises(UserError, match="test, train, val"):
        judge(dataset, split="tset")


def test_modes_and_gradients_are_put_back():
    core = ByShade()
    core.train()
    core.encoder.eval()
    with frozen(core):
        assert not core.training
        assert not torch.is_grad_enabled()
    assert core.training
    assert not core.encoder.training
    assert torch.is_grad_enabled()
