"""The suites that come with slotbench; each name that is registered gives the path of a file."""

import tomllib
from functools import partial
from pathlib import Path

from slotbench.registry import register

for _file in Path(__file__).parent.glob("*.toml"):
    _target = _file.stem.replace("-", "_")
    globals()[_target] = partial(Path, _file)
    _question = tomllib.loads(_file.read_text("utf-8"))["question"]
    register("suites", _file.stem, _question, "slotbench, docs/suites.md", f"{__name__}:{_target}")
