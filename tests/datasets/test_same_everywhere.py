"""Drawn bytes are those that functions of NumPy, OpenBLAS and libc for old processors give."""

import hashlib
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from slotbench import registry
from slotbench.datasets.render.clevrtex_scene import OUTD, USUAL, tile
from slotbench.datasets.render.meshes import SHAPES, mesh
from slotbench.datasets.shifts.kinds import split_of
from tests.datasets.sources import RENDERED

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="other processors have no such switches"
)


def drawn(everything: bool) -> dict[str, str]:
    """Name -> sha256 of what is drawn: two images of each dataset, or all variants and shifts."""
    from slotbench.datasets.render.mitsuba_render import encoded

    found = {"encoded": encoded(np.random.default_rng(0).random(2_000_000, np.float32))}
    for name in RENDERED:
        kind = registry.get("datasets", name).load()
        for variant in kind.variants if everything else kind.variants[:1]:
            dataset = kind(variant, 48 if everything else 32, 3)
            shifts = [split_of(shift) for shift in dataset.drawn_shifts if everything]
            for split in ("train", *shifts):
                if split.removeprefix("test-") in dataset.without("rendered"):
                    continue
                for key, array in dataset.render(split, 0, 3 if everything else 2).items():
                    found[f"{name} {variant} {split} {key}"] = array
    found |= {f"tile {name}": tile(name) for name in USUAL | OUTD}
    for shape in SHAPES:
        found |= {f"mesh {shape} {key}": array for key, array in vars(mesh(shape)).items()}
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in found.items()}


def old_processor() -> dict[str, str]:
    """Environment variables that hide the processor's newer instructions."""
    from numpy._core import _multiarray_umath as core

    features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]
    hidden = ",".join(f"-{name}{end}" for name in NEWER for end in ("", "_Usable"))
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={hidden}",
    }


NEWER = ("AVX512F", "AVX2", "FMA", "FMA4")


def drawn_in(more: dict[str, str], everything: bool) -> dict[str, str]:
    command = [sys.executable, "-m", __name__, *(["all"] if everything else [])]
    done = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_bytes_do_not_depend_on_the_instruction_set(everything):
    here, old = drawn_in({}, everything), drawn_in(old_processor(), everything)
    assert here.keys() == old.keys()
    assert [name for name in here if here[name] != old[name]] == []


if __name__ == "__main__":
    print(json.dumps(drawn("all" in sys.argv)))
