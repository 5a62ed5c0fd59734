"""Run directories made up for the tests of the leaderboard; no training, no evaluation."""

import itertools
import json
from collections.abc import Mapping
from types import SimpleNamespace

from rich.console import Console

from slotbench.evaluation.groups import current_version
from slotbench.results.leaderboard.terminal import to_text
from slotbench.results.leaderboard.wording import DEFAULT_METRICS

Numbers = Mapping[str, float | None]
ALL = dict.fromkeys(DEFAULT_METRICS, 0.5)
USUAL = {"name": "clevr", "variant": "clevr6", "origin": "rendered", "size": 64}
USUAL |= {"core": "slot-attention", "preset": "quick", "learning_rate": 2e-3, "steps": 3000}
USUAL |= {"alignment": None, "overrides": None, "content": None}
_serial = itertools.count()


def write(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


def make_config(objective="reconstruction", seed=0, **fields):
    """``fields`` are those of :data:`USUAL`."""
    assert USUAL.keys() >= fields.keys()
    of = SimpleNamespace(**(USUAL | fields))
    data = {"name": of.name, "variant": of.variant, "origin": of.origin, "image_size": of.size}
    content = of.content or f"f-{of.name}-{of.variant}-{of.origin}-{of.size}"
    document = {
        "schema": 1,
        "seed": seed,
        "preset": of.preset,
        "dataset": {**data, "objects": 6, "fingerprint": content},
        "core": {"name": of.core, "slots": 7, "slot_init": "learned"},
        "encoder": {"name": "strided-cnn", "channels": 32},
        "objective": {"name": objective, **({"alignment": of.alignment} if of.alignment else {})},
        "train": {"steps": of.steps, "batch_size": 32, "learning_rate": of.learning_rate},
        "overrides": of.overrides or {},
        "versions": {"core": 1, "objective": 1},
    }
    if objective == "reconstruction":
        document["decoder"] = {"name": "shuffle", "channels": 32}
    if objective == "simclr":
        document["views"] = {}
    for path, value in (of.overrides or {}).items():
        section, field = path.split(".")
        document[section][field] = value
    return document


def make_status(state="done", **fields):
    times = {"seconds": 300.0, "images_per_second": 320.0, "parameters": 210_000}
    same = {"state": state, "reason": "", "step": 3000, "steps": 3000, "warnings": []}
    return {**same, **times, "device": "cpu, 2 threads", **fields}


def make_evaluation(config, numbers, *, version=None, **fields):
    same = {"low": None, "high": None, "n": 2000, "left_out": 0}
    cells = {
        key: {"value": value, **same, "version": version or current_version(key)}
        for key, value in numbers.items()
    }
    data = {"fingerprint": config["dataset"]["fingerprint"], "images": 2000, "objects": 9000}
    judged = {"split": "test", "resolution": [64, 64], **data, "metrics": cells, "skipped": {}}
    return {"schema": 1, **judged, **fields}


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


def make_record(numbers, **config_fields):
    config = make_config(**config_fields)
    judged = make_evaluation(config, numbers)
    return {"config": config, "status": make_status(), "evaluation": judged}


def publish(results, numbers, seeds):
    records = [make_record(numbers, seed=seed) for seed in seeds]
    write(results / "published" / "2025.json", records)


def text_of(board, width=120, **views):
    return to_text(board, Console(width=width, force_terminal=False), **views)


def only(board):
    (row,) = board.to_json()["rows"]
    return row
