"""The suites that come with slotbench: each function says where a file is."""

from pathlib import Path

HERE = Path(__file__).parent


def demo() -> Path:
    return HERE / "demo.toml"


def ssl_vs_reconstruction() -> Path:
    return HERE / "ssl-vs-reconstruction.toml"


def bottleneck() -> Path:
    return HERE / "bottleneck.toml"


def alignment() -> Path:
    return HERE / "alignment.toml"


def shifts() -> Path:
    return HERE / "shifts.toml"
