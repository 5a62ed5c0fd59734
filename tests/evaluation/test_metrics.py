"""Groups of metrics: one list, versions in every result, and one more file is one more metric."""

from fnmatch import fnmatchcase

import pytest
import torch

from slotbench import registry
from slotbench.errors import UserError
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.evaluate import evaluate
from slotbench.evaluation.metric import Metric
from slotbench.evaluation.result import Result
from tests.evaluation.test_evaluate import ByShade, WithDecoder, judge


def test_keys_belong_to_one_group_and_are_all_known(dataset):
    document = judge(dataset, groups=metrics.names(), probe_steps=3)
    assert document["groups"] == {name: metrics.load(name).version for name in metrics.names()}
    for key, result in document["metrics"].items():
        owners = [
            name
            for name in metrics.names()
            if any(fnmatchcase(key, pattern) for pattern in metrics.load(name).keys)
        ]
        assert owners == [metrics.group_of(key)], key
        assert result["version"] == metrics.current_version(key)
    found = {metrics.group_of(key) for key in document["metrics"]}
    assert found | set(document["skipped"]) == set(metrics.names())


def test_all_stands_for_the_default_groups():
    assert metrics.chosen("all") == metrics.default_groups()
    assert "decoder-probe" not in metrics.default_groups()
    assert metrics.chosen("all,decoder-probe")[-1] == "decoder-probe"
    assert metrics.chosen(" health , health") == ("health",)
    with pytest.raises(UserError, match="Did you mean 'segmentation'"):
        metrics.chosen("segmentatoin")
    with pytest.raises(UserError, match="names no group"):
        metrics.chosen(",")


class Brightness(Metric):
    """``brightness``: the mean of the slots; its results get the group's version."""

    name = "brightness"
    summary = "an example"
    source = "here"
    version = 3
    better = -1
    keys = ("brightness",)
    needs = ("slots",)

    def compute(self, context):
        return {"brightness": Result(float(context.judged.slots.mean()), context.judged.n)}


def test_one_class_and_one_call_add_a_metric_with_the_keys_that_it_states(dataset, monkeypatch):
    registry.register("metrics")(Brightness)
    document = judge(dataset, groups=("brightness",))
    assert document["metrics"]["brightness"]["version"] == 3
    assert metrics.current_version("brightness") == 3
    assert metrics.direction("brightness") == -1
    assert "brightness" in metrics.chosen("all")
    for key in ("darkness", "fg_ari/attention"):
        monkeypatch.setattr(Brightness, "compute", lambda *_, key=key: {key: Result(0.5, 1)})
        with pytest.raises(UserError, match=f"gives '{key}', which is none of its keys"):
            judge(dataset, groups=("brightness",))


def test_each_metric_says_its_direction_and_what_is_compared():
    for key, sign in (("fg_ari/decoder", 1), ("recon_mse", -1), ("recon_mse/probe-decoder", -1)):
        assert metrics.direction(key) == sign
    for nowhere in ("health/slot_cosine", "nonsense/decoder"):
        assert metrics.direction(nowhere) == 0
    assert metrics.current_version("nonsense/decoder") == 0
    assert metrics.group_of("nonsense") is None
    assert metrics.group_of("properties/linear/mask") == "properties"
    for key in (*metrics.compared_keys(), *metrics.shown_keys()):
        assert metrics.direction(key) == (-1 if key.endswith("/error") else 1)
    assert "fg_ari/attention" in metrics.compared_keys()
    assert not any("/loss/" in key for key in metrics.compared_keys())


@pytest.mark.parametrize(
    ("attribute", "message"),
    [("keys", "keys = ("), ("version", "version = 1"), ("better", "better = 1")],
)
def test_a_metric_that_does_not_describe_itself_is_named(attribute, message):
    body = {"name": "odd", "summary": "odd", "source": "here", "version": 1, "better": 1}
    body |= {"keys": ("odd",), attribute: None}
    with pytest.raises(UserError, match=rf"Odd .*: the class attribute '{attribute}'") as caught:
        registry.register("metrics")(type("Odd", (Metric,), body))
    assert message in caught.value.advice


def test_order_of_the_slots_changes_no_score(dataset):
    class Reversed(ByShade):
        def forward(self, images, noise=None):
            output = super().forward(images, noise)
            return output._replace(slots=output.slots.flip(1), attention=output.attention.flip(1))

    groups = ("segmentation", "draws", "health", "linear-probe", "dci")
    first, other = (
        evaluate(WithDecoder(core), dataset, seed=0, groups=groups)["metrics"]
        for core in (ByShade(), Reversed())
    )
    for key, result in first.items():
        # The mean over slots is rounded in another order, which the solver's last steps see.
        close = 2e-3 if key.startswith("linear_probe") else 1e-6
        assert other[key]["value"] == pytest.approx(result["value"], abs=close), key


def test_the_spread_is_that_of_the_draws(dataset):
    class Wavering(ByShade):
        """Gives all to the first slot where the first number drawn is above 0."""

        def forward(self, images, noise=None):
            output = super().forward(images, noise)
            blind = (noise[:, 0, 0] > 0)[:, None, None, None]
            one = torch.eye(5)[0][:, None, None]
            return output._replace(attention=torch.where(blind, one, output.attention))

    objective = WithDecoder(Wavering())
    found = judge(dataset, objective, groups=("draws", "segmentation"))["metrics"]
    drawn, one = found["fg_ari/attention/draws"], found["fg_ari/attention"]
    assert 0 < drawn["spread"] < 0.2
    assert 0 < abs(drawn["value"] - one["value"]) < 4 * drawn["spread"]
    # One mask for all is as far from the truth as can be in fg_ari where there are two objects.
    assert 0.3 < drawn["value"] < 0.9
    # Averaging draws leaves less variance between images than one draw has.
    assert drawn["high"] - drawn["low"] < one["high"] - one["low"]
