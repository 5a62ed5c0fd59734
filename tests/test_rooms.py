"""The rooms of the package: imports go down, without circles, as CONTRIBUTING.md draws them."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "slotbench"
MOST_MODULES = 70
"""Modules of slotbench that training a run may import."""
TRAIN = """
import sys
from slotbench.cli import main
words = "train --dataset clevr --preset quick --steps 2 --no-evaluate --device cpu"
small = "--set train.batch_size=4 --set encoder.channels=8 --set core.width=8"
sys.argv = ["slotbench", *words.split(), *small.split(), *sys.argv[1:]]
try:
    main()
finally:
    names = [name for name in sys.modules if name.split(".")[0] == "slotbench"]
    print("\\n".join(sorted(names)), file=sys.stderr)
"""


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of slotbench that it imports anywhere, in functions too."""
    files = {module_of(file): file for file in PACKAGE.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for module, file in files.items():
        found[module] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found[module] |= {name.name for name in node.names if name.name in files}
            elif isinstance(node, ast.ImportFrom) and node.module in files:
                full = {f"{node.module}.{name.name}" for name in node.names}
                found[module] |= (full & files.keys()) or {str(node.module)}
    # The package itself offers the functions of `api`, which it imports when they are used.
    del found["slotbench"]
    return {module: targets - {"slotbench"} for module, targets in found.items()}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The first folder of a module; a loose file is a room of its own."""
    return module.split(".")[1] if "." in module else ""


def levels() -> list[set[str]]:
    """The diagram of CONTRIBUTING.md: a line a level, the lowest last."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    diagram = text.partition("<!-- rooms -->")[2].partition("<!-- end -->")[0]
    lines = [line.split("#")[0] for line in diagram.splitlines() if line.startswith("    ")]
    return [set(re.findall(r"[a-z_]+", line)) for line in lines]


def test_the_diagram_names_every_room_once() -> None:
    drawn = [room for level in levels() for room in level]
    rooms = {room_of(module) for module in imports()} - {"", "__main__"}
    assert Counter(drawn) == Counter(rooms)


def test_imports_go_down_the_diagram() -> None:
    level = {room: number for number, rooms in enumerate(levels()) for room in rooms}
    upward = [
        f"{module} -> {target}"
        for module, targets in imports().items()
        for target in targets
        if room_of(module) in level and room_of(target) in level
        if room_of(module) != room_of(target) and level[room_of(target)] <= level[room_of(module)]
    ]
    assert not upward


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = imports()

    def reached(module: str) -> set[str]:
        found, waiting = set[str](), list(graph[module])
        while waiting:
            found.add(target := waiting.pop())
            waiting += [further for further in graph[target] if further not in found]
        return found

    assert [module for module in graph if module in reached(module)] == []


def test_a_files_name_occurs_once() -> None:
    names = Counter(file.name for file in PACKAGE.rglob("*.py") if file.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_training_a_run_imports_few_modules(blocks: Path, tmp_path: Path) -> None:
    places = ["--data-dir", str(blocks), "--results-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *places], capture_output=True, text=True, check=False
    )
    names = {line for line in done.stderr.splitlines() if line.split(".")[0] == "slotbench"}
    assert "slotbench.training.loop" in names, done.stderr
    assert len(names) <= MOST_MODULES, sorted(names)
