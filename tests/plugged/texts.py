"""Plugins as text, and small commands on them."""

from pathlib import Path

from tests.commands import sets

RANDOM = "from slotbench.objectives.control import Random\n"
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
EXAMPLES = ("objective", "core", "dataset", "metric")
SMALL = (
    *["--preset", "quick", "--steps", "2", "--no-evaluate", "--device", "cpu"],
    *sets("encoder.channels=8", "train.batch_size=8"),
)
DOTS = ("prepare", "dots", "--train", "16", "--val", "8", "--test", "8", "--image-size", "32")
DOTS_CHOSEN = ("--dataset", "dots", "--objective", "alignment-uniformity")
DISCS = (EXAMPLE / "slotbench_example" / "dataset.py").read_text()
METRIC = """from slotbench.evaluation.metric import Metric
from slotbench.registry import register


@register("metrics")
class Mine(Metric):
    name, summary, source, version, better, keys = "mine", "m", "m", 1, 1, ("mine/*",)

    def compute(self, context):
        return 1 / 0
"""
MINE = """from slotbench.registry import register
from slotbench.fields import NoOptions
from slotbench.objectives.control import Random


@register("objectives")
class Mine(Random):
    name, summary, source = "mine", "m", "m"
    family = "control"
    Config = NoOptions
"""
OBJECTIVE = """import torch
from slotbench.fields import NoOptions
from slotbench.objectives.objective import Objective
from slotbench.registry import register


@register("objectives")
class Mine(Objective):
    name, summary, source, family, Config = "mine", "m", "m", "control", NoOptions

    def __init__(self, core, config):
        super().__init__(core)

    def loss(self, batch):
        mean = self.core(batch.images).slots.mean()
        return {"loss": mean}
"""
CORE = """import torch
from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.registry import register


@register("cores")
class Mine(Core):
    name, summary, source, Config = "mine", "m", "m", CoreConfig

    def forward(self, images, noise=None):
        return self.output(images)
"""
