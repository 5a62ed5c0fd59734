"""How long leaderboard and page take for 5,000 runs, and the status of a suite for 2,000 cells.

    python -m benchmarks.leaderboard_scale [--runs 5000] [--cells 2000] [--folder DIR]

Makes run directories of made-up numbers, asks in processes of their own, and prints a line each:
wall seconds; user + system seconds of the process, which other work on the machine disturbs less;
their ratio to those of ``slotbench --version``; and the goal, where there is one. The last line is
the size of the page. "Again" means that nothing has changed since the call before. Nothing is
trained.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal
from slotbench import api
from slotbench.config.resolve import dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.evaluation.groups import current_version, version
from slotbench.rng import numpy_generator
from slotbench.suites import commands

METRICS = (
    *(
        f"{name}/{source}"
        for name in ("ari", "fg_ari", "miou", "mbo", "sc", "msc")
        for source in ("attention", "decoder")
    ),
    *(
        f"properties/{probe}/{protocol}/{target}"
        for probe in ("linear", "mlp")
        for protocol in ("loss", "mask")
        for target in ("mean", "color", "shape", "size", "material", "position", "unmatched")
    ),
    *(
        f"health/{name}"
        for name in (
            "empty_slots",
            "slot_cosine",
            "effective_rank",
            "attention_entropy",
            "consistency",
        )
    ),
    *(
        f"linear_probe/{source}/{target}"
        for source in ("slots", "features")
        for target in ("map", "count")
    ),
    "knn/slots/count",
    "knn/features/count",
    "recon_mse",
)
"""56 keys, as many as an evaluation of the default groups has."""
CORES = ("slot-attention", "slot-mlp", "iterated", "slot-mixture")
OBJECTIVES = ("reconstruction", "random", "supervised", "simclr", "vicreg", "moco", "byol", "dino")
ALIGNMENTS = ("pool", "shared", "hungarian", "mask")


def write(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, indent=2))


def cells(seeds: int) -> Iterator[dict[str, Any]]:
    """Configurations, without end."""
    for data in itertools.count():
        for core, objective in itertools.product(CORES, OBJECTIVES):
            paired = OBJECTIVES.index(objective) > 2
            for alignment, seed in itertools.product(
                ALIGNMENTS if paired else (None,), range(seeds)
            ):
                yield config(data, core, objective, alignment, seed)


def config(
    data: int, core: str, objective: str, alignment: str | None, seed: int
) -> dict[str, Any]:
    """A ``config.json`` as long as those of real runs."""
    numbers = {f"field_{index}": index / 7 for index in range(12)}
    return {
        "schema": 1,
        "seed": seed,
        "preset": "quick",
        "dataset": {
            "name": "clevr",
            "variant": f"made-up-{data}",
            "origin": "rendered",
            "fingerprint": f"{data:064d}",
            "image_size": 64,
            "objects": 6,
        },
        "core": {"name": core, "slots": 7, **numbers},
        "encoder": {"name": "strided-cnn", **numbers},
        "objective": {"name": objective, **({"alignment": alignment} if alignment else {})},
        "train": {"steps": 3000, "batch_size": 32, **numbers},
        "overrides": {},
        "versions": {"core": 1, "objective": 1},
    }


STATUS = {
    "state": "done",
    "reason": "",
    "step": 3000,
    "steps": 3000,
    "seconds": 300.0,
    "images_per_second": 320.0,
    "parameters": 210_000,
    "device": "cpu, 2 threads",
    "warnings": [],
}


def evaluation(fingerprint: str, numbers: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """An ``evaluation.json``; ``numbers`` has value, low and high of each metric."""
    cells = {
        key: {
            "value": value,
            "low": low,
            "high": high,
            "n": 2000,
            "left_out": 0,
            "version": current_version(key),
        }
        for key, (value, low, high) in numbers.items()
    }
    return {
        "schema": 1,
        "split": "test",
        "fingerprint": fingerprint,
        "resolution": [64, 64],
        "images": 2000,
        "objects": 9000,
        "slots": 7,
        "metrics": cells,
        "skipped": {},
    }


def make(results: Path, runs: int, seeds: int) -> None:
    """``runs`` run directories below ``results``."""
    draws = numpy_generator(0, "leaderboard_scale")
    for number, made in enumerate(itertools.islice(cells(seeds), runs)):
        names = f"{made['core']['name']}+{made['objective']['name']}"
        folder = results / "runs" / f"clevr-{made['dataset']['variant']}" / names
        run = folder / f"{made['seed']}-{number:08x}"
        run.mkdir(parents=True)
        values = draws.uniform(0.2, 0.9, size=(len(METRICS), 3)).tolist()
        write(run / "config.json", made)
        numbers = dict(zip(METRICS, values, strict=True))
        write(run / "evaluation.json", evaluation(made["dataset"]["fingerprint"], numbers))
        write(run / "status.json", STATUS)


SUITE = """
question = "How long does it take?"
seeds = {seeds}
metrics = "segmentation,properties,linear-probe"
[axes]
objective = ["reconstruction", "random", "supervised", "simclr", "vicreg", "moco", "byol", "dino"]
[fixed]
dataset = "tetrominoes"
"""


def make_suite(folder: Path, cells: int) -> list[str]:
    """A suite of which three quarters are done; returns the words that ask for its status."""
    words = ["--data-dir", str(folder / "data"), "--results-dir", str(folder / "suite")]
    file = folder / "scale.toml"
    if not file.is_file():
        api.prepare("tetrominoes", train=4, val=2, test=2, workers=1, data_dir=folder / "data")
        file.write_text(SUITE.format(seeds=cells // len(OBJECTIVES)))
    where = commands.Where(folder / "data", folder / "suite", "cpu")
    found = commands.planned(commands.find(str(file), folder / "suite"), where)
    with DatasetFile(folder / "data" / "tetrominoes.h5") as dataset:
        info = dataset_info(dataset)
    for cell in found.cells[: len(found.cells) * 3 // 4]:
        cell.run.create(resolve(cell.choice, info))
        groups = {name: version(name) for name in cell.metrics}
        numbers = dict.fromkeys(METRICS, (0.5, 0.4, 0.6))
        judged = evaluation(info.fingerprint, numbers)
        write(cell.run.evaluation, judged | {"groups": groups})
        write(cell.run.status_file, STATUS)
    return ["suite", "status", str(file), *words, "--device", "cpu"]


def ask(*words: str) -> dict[str, float]:
    """Seconds that a command takes, and bytes that it prints."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "slotbench", *words],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - start, "cpu": used, "bytes": len(done.stdout)}


def goals() -> list[Goal]:
    """Wall seconds of each question that has a goal, for 5,000 runs and 2,000 cells."""
    command = [sys.executable, "-m", "benchmarks.leaderboard_scale"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    units = {"wall": "seconds", "MB": "MB"}
    return [
        Goal(f"5,000 runs, 2,000 cells, {row['asked']}: {unit}", row[key], row["goal"])
        for row in rows
        for key, unit in units.items()
        if key in row and row["goal"] is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--cells", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="use these results, made by an earlier call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary) / "cache")
        if not (folder / "runs").is_dir():
            make(folder, arguments.runs, arguments.seeds)
        status = make_suite(folder, arguments.cells)
        board = ["leaderboard", "--results-dir", str(folder)]
        report = ["report", "--no-pictures", *board[1:], "--out", str(folder / "report")]
        least = min(ask("--version")["cpu"] for _ in range(3))
        for name, words, goal in (
            ("leaderboard", board, 2.0),
            ("leaderboard, again", board, 0.5),
            ("leaderboard --wide --all", [*board, "--wide", "--all"], None),
            ("leaderboard --json", [*board, "--json"], None),
            ("leaderboard --format csv", [*board, "--format", "csv"], None),
            ("report --no-pictures", report, 8.0),
            ("suite status", status, None),
            ("suite status, again", status, 1.0),
        ):
            found = ask(*words)
            told = {"ratio": found["cpu"] / least, "goal": goal}
            numbers = {key: value and round(value, 2) for key, value in {**found, **told}.items()}
            print(json.dumps({"asked": name, **numbers}), flush=True)
        size = (folder / "report" / "index.html").stat().st_size / 1e6
        print(json.dumps({"asked": "index.html", "MB": round(size, 2), "goal": 1.5}))


if __name__ == "__main__":
    main()
