"""Run directories made up for the tests of the leaderboard; no training, no evaluation."""

import io
import itertools
import json
from collections.abc import Mapping

from rich.console import Console

from slotbench.evaluation.groups import current_version
from slotbench.results.leaderboard.terminal import render
from slotbench.results.leaderboard.wording import DEFAULT_METRICS

Numbers = Mapping[str, float | None]
ALL = dict.fromkeys(DEFAULT_METRICS, 0.5)


def write(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


def make_config(
    objective="reconstruction",
    seed=0,
    *,
    alignment=None,
    overrides=None,
    preset="quick",
    name="clevr",
    variant="clevr6",
    origin="rendered",
    size=64,
    core="slot-attention",
    learning_rate=2e-3,
    steps=3000,
):
    overrides = overrides or {}
    document = {
        "schema": 1,
        "seed": seed,
        "preset": preset,
        "dataset": {
            "name": name,
            "variant": variant,
            "origin": origin,
            "objects": 6,
            "fingerprint": f"f-{name}-{variant}-{origin}-{size}",
            "image_size": size,
        },
        "core": {"name": core, "slots": 7, "slot_init": "learned"},
        "encoder": {"name": "strided-cnn", "channels": 32},
        "objective": {"name": objective},
        "train": {"steps": steps, "batch_size": 32, "learning_rate": learning_rate},
        "overrides": overrides,
        "versions": {"core": 1, "objective": 1},
    }
    if objective == "reconstruction":
        document["decoder"] = {"name": "shuffle", "channels": 32}
    if alignment is not None:
        document["objective"]["alignment"] = alignment
    for path, value in overrides.items():
        section, field = path.split(".")
        document[section][field] = value
    return document


def make_status(state="done", **fields):
    return {
        "state": state,
        "reason": "",
        "step": 3000,
        "steps": 3000,
        "seconds": 300.0,
        "images_per_second": 320.0,
        "parameters": 210_000,
        "device": "cpu, 2 threads",
        "warnings": [],
        **fields,
    }


def make_evaluation(config, numbers, *, version=None, **fields):
    cells = {
        key: {
            "value": value,
            "low": None,
            "high": None,
            "n": 2000,
            "left_out": 0,
            "version": current_version(key) if version is None else version,
        }
        for key, value in numbers.items()
    }
    return {
        "schema": 1,
        "split": "test",
        "dataset": "clevr:clevr6",
        "resolution": [64, 64],
        "images": 2000,
        "fingerprint": config["dataset"]["fingerprint"],
        "objects": 9000,
        "metrics": cells,
        "skipped": {},
        **fields,
    }


_serial = itertools.count()


def add_run(results, numbers=None, *, status=None, version=None, evaluation=None, **config_fields):
    """Write one run directory; without ``numbers`` it has no evaluation."""
    config = make_config(**config_fields)
    names = f"{config['core']['name']}+{config['objective']['name']}"
    dataset = f"{config['dataset']['name']}-{config['dataset']['variant']}"
    run = results / "runs" / dataset / names / f"{config['seed']}-{next(_serial):08x}"
    write(run / "config.json", config)
    write(run / "status.json", status or make_status())
    if numbers is not None:
        document = make_evaluation(config, numbers, version=version, **(evaluation or {}))
        write(run / "evaluation.json", document)
    return run


def add_seeds(results, metric, values, **fields):
    for seed, value in enumerate(values):
        add_run(results, {metric: value}, seed=seed, **fields)


def publish(results, numbers, seeds):
    records = []
    for seed in seeds:
        config = make_config(seed=seed)
        records.append(
            {
                "config": config,
                "status": make_status(),
                "evaluation": make_evaluation(config, numbers),
            }
        )
    write(results / "published" / "2025.json", records)


def text_of(board, width=120, **views):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    render(board, console, **views)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def only(board):
    (row,) = board.to_json()["rows"]
    return row
