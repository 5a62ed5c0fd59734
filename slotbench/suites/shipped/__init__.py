"""The suites that come with slotbench; each name that is registered gives the path of a file."""

from functools import partial
from pathlib import Path

from slotbench.registry import register

demo, alignment, bottleneck, shifts, ssl_vs_reconstruction = (
    partial(Path(__file__).with_name, f"{name}.toml")
    for name in ("demo", "alignment", "bottleneck", "shifts", "ssl-vs-reconstruction")
)
for _name, _question in {
    "demo": "Does a slot-based model need reconstruction, or can contrast train it?",
    "ssl-vs-reconstruction": (
        "Does a slot-based model need reconstruction, or can self-supervision train it?"
    ),
    "bottleneck": (
        "Do objects need a narrow slot: width, the encoder's capacity, or decorrelated slots?"
    ),
    "alignment": "Does it matter how the slots of two views are paired?",
    "shifts": "Which objective's slots lose least where test images differ?",
}.items():
    _target = f"{__name__}:{_name.replace('-', '_')}"
    register("suites", _name, _question, "slotbench, docs/suites.md", _target)
