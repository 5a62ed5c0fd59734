"""The suites that come with slotbench: each function says where a file is."""

from pathlib import Path

from slotbench.registry import register

HERE = Path(__file__).parent


@register(
    "suites",
    name="demo",
    summary="Does a slot-based model need reconstruction, or can contrast train it?",
    source="slotbench, docs/suites.md",
)
def demo() -> Path:
    """The file of the suite."""
    return HERE / "demo.toml"


@register(
    "suites",
    name="ssl-vs-reconstruction",
    summary="Does a slot-based model need reconstruction, or can self-supervision train it?",
    source="slotbench, docs/suites.md",
)
def ssl_vs_reconstruction() -> Path:
    """The file of the suite."""
    return HERE / "ssl-vs-reconstruction.toml"


@register(
    "suites",
    name="bottleneck",
    summary="Do objects need a narrow slot: width, the encoder's capacity, or decorrelated slots?",
    source="slotbench, docs/suites.md",
)
def bottleneck() -> Path:
    """The file of the suite."""
    return HERE / "bottleneck.toml"


@register(
    "suites",
    name="alignment",
    summary="Does it matter how the slots of two views are paired?",
    source="slotbench, docs/suites.md",
)
def alignment() -> Path:
    """The file of the suite."""
    return HERE / "alignment.toml"


@register(
    "suites",
    name="shifts",
    summary="Which objective's slots lose least where test images differ?",
    source="slotbench, docs/suites.md",
)
def shifts() -> Path:
    """The file of the suite."""
    return HERE / "shifts.toml"
