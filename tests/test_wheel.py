"""What ``pip install`` gives: the wheel in an environment of its own, used in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
SMALL = ("--train", "16", "--val", "8", "--test", "8", "--workers", "1")


def run(*command, cwd):
    """The command without this environment's variables; its output."""
    names = ("HOME", "PATH", "LANG", "OMP_NUM_THREADS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """``bin/`` of an environment with the wheel; what it depends on comes from this one."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(ROOT / "slotbench", source / "slotbench")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    alone = ("--no-deps", "--no-index")
    run(*pip, "wheel", *alone, "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    site = folder / "venv/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    # A folder named in a .pth is searched; its own .pth, such as an editable install's, are not.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = folder.glob("*.whl")
    binary = folder / "venv/bin"
    run(*pip, "--python", binary / "python", "install", *alone, wheel, cwd=folder)
    return binary


def test_pinned_packages_take_the_oldest_python():
    """pip cannot install a pin that needs a later Python than slotbench does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    pins = set((ROOT / "constraints.txt").read_text().lower().split())
    pinned = {
        found.name: found.metadata.get("Requires-Python")
        for found in distributions()
        if f"{found.name}=={found.version}".lower() in pins
    }
    assert len(pinned) > 50
    refused = {name for name, of in pinned.items() if of and not SpecifierSet(of).contains(oldest)}
    assert not refused


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_folder(installed, tmp_path):
    slotbench = installed / "slotbench"
    code = "import slotbench; print(slotbench.__file__, slotbench.__version__)"
    file, version = run(installed / "python", "-c", code, cwd=tmp_path).split()
    package = Path(file).parent
    assert package.is_relative_to(installed.parent)
    assert run(slotbench, "--version", cwd=tmp_path).split() == ["slotbench", version]
    for name in ("py.typed", "index.json", "report/site/templates"):
        assert (package / name).exists()
    board = json.loads(run(slotbench, "leaderboard", "--json", cwd=tmp_path))
    assert len(board["rows"]) >= 20  # the published ones
    suites = json.loads(run(slotbench, "list", "suites", "--json", cwd=tmp_path))["suites"]
    assert "demo" in [suite["name"] for suite in suites]
    run(slotbench, "prepare", "clevr", *SMALL, cwd=tmp_path)
    words = ("--preset", "quick", "--steps", "3", "--set", "train.batch_size=4", "--device", "cpu")
    trained = run(slotbench, "train", "--objective", "slot-infonce", *words, cwd=tmp_path)
    path = tmp_path / trained.strip()
    assert (path / "evaluation.json").is_file()
    assert json.loads(run(slotbench, "show", path, "--json", cwd=tmp_path))["config"]
    board = json.loads(run(slotbench, "leaderboard", "--json", cwd=tmp_path))
    assert any(row["seeds"] and not row["published"] for row in board["rows"])
    run(slotbench, "report", "--device", "cpu", cwd=tmp_path)
    assert (tmp_path / "results/report/index.html").is_file()
    published = min(package.glob("results/published/*/runs/clevr-clevr6/*/*")).name
    few = ("--images", "2", "--device", "cpu")
    run(slotbench, "predict", published, "clevr", "--out", "seen", *few, cwd=tmp_path)
    assert len(list((tmp_path / "seen" / "masks").iterdir())) == 2
    status = json.loads(run(slotbench, "suite", "status", "demo", "--json", cwd=tmp_path))
    assert status["cells"]
