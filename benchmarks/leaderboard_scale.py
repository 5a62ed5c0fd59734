"""How long the leaderboard takes for 10,000 runs.

    python -m benchmarks.leaderboard_scale [--runs 10000] [--seeds 5] [--folder DIR]

Makes run directories of made-up numbers, asks for the leaderboard in processes of their own, and
prints a line each: wall seconds, and user + system seconds of the process, which other work on
the machine disturbs less. Nothing is trained.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slotbench.evaluation.groups import current_version
from slotbench.rng import numpy_generator

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


def make(results: Path, runs: int, seeds: int) -> None:
    """``runs`` run directories below ``results``."""
    draws = numpy_generator(0, "leaderboard_scale")
    versions = {key: current_version(key) for key in METRICS}
    for number, made in enumerate(itertools.islice(cells(seeds), runs)):
        names = f"{made['core']['name']}+{made['objective']['name']}"
        folder = results / "runs" / f"clevr-{made['dataset']['variant']}" / names
        run = folder / f"{made['seed']}-{number:08x}"
        run.mkdir(parents=True)
        values = draws.uniform(0.2, 0.9, size=(len(METRICS), 3)).tolist()
        evaluation = {
            "schema": 1,
            "split": "test",
            "fingerprint": made["dataset"]["fingerprint"],
            "resolution": [64, 64],
            "images": 2000,
            "objects": 9000,
            "slots": 7,
            "metrics": {
                key: {
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": 2000,
                    "left_out": 0,
                    "version": versions[key],
                }
                for key, (value, low, high) in zip(METRICS, values, strict=True)
            },
            "skipped": {},
        }
        write(run / "config.json", made)
        write(run / "evaluation.json", evaluation)
        write(
            run / "status.json",
            {
                "state": "done",
                "reason": "",
                "step": 3000,
                "steps": 3000,
                "seconds": 300.0,
                "images_per_second": 320.0,
                "parameters": 210_000,
                "device": "cpu, 2 threads",
                "warnings": [],
            },
        )


def ask(results: Path, *words: str) -> dict[str, float]:
    """Seconds that ``slotbench leaderboard`` takes, and bytes that it prints."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "slotbench", "leaderboard", "--results-dir", str(results), *words],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - start, "cpu": used, "bytes": len(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="use these results, made by an earlier call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = arguments.folder or Path(temporary)
        if not (results / "runs").is_dir():
            make(results, arguments.runs, arguments.seeds)
        for words in (("--dataset", "clevr:made-up-0"), (), ("--json",), ("--format", "csv")):
            found = {key: round(value, 2) for key, value in ask(results, *words).items()}
            print(json.dumps({"asked": " ".join(words) or "table", **found}), flush=True)


if __name__ == "__main__":
    main()
