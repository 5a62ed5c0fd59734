"""The decoder on frozen slots: it finds objects in slots that hold them, and in no others."""

import torch

from slotbench.evaluation.decoder_probe import train_decoder
from slotbench.evaluation.evaluate import evaluate
from slotbench.evaluation.segmentation import METRICS
from tests.evaluation.test_evaluate import ByShade, Plain


class Noise(ByShade):
    """Slots that know nothing of the image."""

    def forward(self, images, noise=None):
        output = super().forward(images, noise)
        return output._replace(slots=torch.randn_like(output.slots))


def probe(dataset, core, steps=120):
    options = {"groups": ("decoder-probe",), "probe_steps": steps}
    found = evaluate(Plain(core), dataset, seed=0, **options)["metrics"]
    return {key.partition("/")[0]: result["value"] for key, result in found.items()}


def test_slots_that_hold_objects_give_masks_and_noise_gives_none(dataset):
    found = probe(dataset, ByShade())
    assert set(found) == {*METRICS, "recon_mse"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noise = probe(dataset, Noise())
    assert found["fg_ari"] > noise["fg_ari"] + 0.1
    assert found["recon_mse"] < noise["recon_mse"]


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
