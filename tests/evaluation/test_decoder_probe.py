"""The decoder on frozen slots: it finds objects in slots that hold them, and in no others."""

import torch

from slotbench.evaluation.decoder_probe import train_decoder
from slotbench.evaluation.evaluate import LIMITS, evaluate
from slotbench.evaluation.segmentation import METRICS
from tests.evaluation.test_evaluate import ByShade, Plain, blind, judge


class Noise(ByShade):
    """Attention and slots that know nothing of the image."""

    def forward(self, images, noise=None):
        output = super().forward(images, noise)
        return output._replace(slots=torch.randn(output.slots.shape, generator=self.generator))


def probe(dataset, core, steps=120):
    return evaluate(Plain(core), dataset, seed=0, groups=("decoder-probe",), probe_steps=steps)[
        "metrics"
    ]


def test_slots_that_hold_objects_give_masks_and_noise_gives_none(dataset):
    found = probe(dataset, ByShade())
    assert set(found) == {f"{name}/probe-decoder" for name in (*METRICS, "recon_mse")}
    noise = Noise()
    noise.generator = torch.Generator().manual_seed(0)
    blind = probe(dataset, noise)
    assert found["fg_ari/probe-decoder"]["value"] > blind["fg_ari/probe-decoder"]["value"] + 0.1
    assert found["recon_mse/probe-decoder"]["value"] < blind["recon_mse/probe-decoder"]["value"]


def test_the_core_is_left_alone_and_the_seed_decides(dataset):
    core = ByShade()
    core.encoder.weight = torch.nn.Parameter(torch.ones(1))
    core.train()
    first, again = (probe(dataset, core, steps=5) for _ in range(2))
    assert first == again
    assert core.training
    assert core.encoder.weight.grad is None


def test_scale_and_shift_of_slots_do_not_matter():
    slots = torch.randn(40, 3, 6, generator=torch.Generator().manual_seed(0))
    slots[..., 5] = 2.0  # a dimension that does not vary
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    one, other = (
        train_decoder(made.numpy(), images, seed=0, steps=10)(made).masks
        for made in (slots, slots * 8 + 3)
    )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_without_labels_the_error_is_left(tmp_path):
    with blind(tmp_path) as file:
        document = judge(file, groups=("decoder-probe",), probe_steps=2)
    assert set(document["metrics"]) == {"recon_mse/probe-decoder"}
    assert document["skipped"] == {"decoder-probe": "no pixel of the images is labelled"}


def test_without_training_images_there_is_no_decoder(dataset):
    document = judge(dataset, groups=("decoder-probe",), limits={**LIMITS, "train": 0})
    assert document["skipped"] == {"decoder-probe": "train has no images"}
