"""Every result of every run with where it came from: one row a run and metric.

The rows are what the evaluations say, stale or left out of the leaderboard as they may be; the
columns ``counts`` and ``problems`` say so. A run without results (failed, running, not yet
evaluated) has one row without a metric: nothing is missing in silence.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.files import read_json
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.records import Found

SCHEMA_VERSION = 1
FORMATS = ("csv", "parquet")
TEXT, WHOLE, REAL, FLAG = "string", "int64", "float64", "bool"
COLUMNS: Mapping[str, str] = {
    "run": TEXT,
    "state": TEXT,
    "reason": TEXT,
    "counts": FLAG,
    "problems": TEXT,
    "published": FLAG,
    "external": FLAG,
    "dataset": TEXT,
    "fingerprint": TEXT,
    "origin": TEXT,
    "image_size": WHOLE,
    "core": TEXT,
    "core_version": WHOLE,
    "objective": TEXT,
    "objective_version": WHOLE,
    "family": TEXT,
    "alignment": TEXT,
    "preset": TEXT,
    "seed": WHOLE,
    "overrides": TEXT,
    "metric": TEXT,
    "metric_version": WHOLE,
    "value": REAL,
    "low": REAL,
    "high": REAL,
    "n": WHOLE,
    "left_out": WHOLE,
    "split": TEXT,
    "images": WHOLE,
    "model_sha256": TEXT,
    "git_commit": TEXT,
    "git_clean": FLAG,
    "slotbench": TEXT,
    "python": TEXT,
    "torch": TEXT,
    "numpy": TEXT,
    "device": TEXT,
    "threads": WHOLE,
    "steps": REAL,
    "seconds": REAL,
    "images_per_second": REAL,
    "parameters": REAL,
    "flops": REAL,
    "warnings": TEXT,
}
"""Column -> kind; empty where it is not known. ``overrides`` is JSON; lists are joined by ``; ``.
``low`` and ``high`` are the ends of the 95 % interval over images, not over seeds."""

Row = dict[str, Any]
_FROM_RUN = (
    "run",
    "state",
    "reason",
    "counts",
    "published",
    "external",
    "dataset",
    "fingerprint",
    "origin",
    "image_size",
    "core",
    "objective",
    "family",
    "alignment",
    "preset",
    "seed",
    "device",
    "steps",
    "seconds",
    "images_per_second",
    "parameters",
    "flops",
)


def results(results_dir: Path) -> Iterator[Row]:
    """The rows of :data:`COLUMNS`, run by run in the order of the leaderboard's reading."""
    published: dict[Path, Any] = {}
    for run in find(results_dir):
        evaluation, environment = _documents(run, results_dir, published)
        common = _common(run, evaluation, environment)
        cells = evaluation.get("metrics") if isinstance(evaluation, dict) else None
        if not isinstance(cells, dict) or not cells:
            yield common
            continue
        for metric, cell in cells.items():
            known = cell if isinstance(cell, dict) else {}
            yield common | {
                "metric": str(metric),
                "metric_version": known.get("version"),
                **{key: known.get(key) for key in ("value", "low", "high", "n", "left_out")},
            }


def _common(run: Found, evaluation: Any, environment: Any) -> Row:
    evaluation = evaluation if isinstance(evaluation, dict) else {}
    environment = environment if isinstance(environment, dict) else {}
    config = run.get("config") or {}
    versions, git = config.get("versions") or {}, environment.get("git") or {}
    packages = environment.get("packages") or {}
    return dict.fromkeys(COLUMNS) | {
        **{key: run.get(key) for key in _FROM_RUN},
        "problems": "; ".join(run["problems"]),
        "warnings": "; ".join(run["warnings"]),
        "core_version": versions.get("core"),
        "objective_version": versions.get("objective"),
        "overrides": json.dumps(config.get("overrides") or {}, sort_keys=True),
        "split": evaluation.get("split"),
        "images": evaluation.get("images"),
        "model_sha256": evaluation.get("model"),
        "git_commit": git.get("commit"),
        "git_clean": git.get("clean"),
        "slotbench": environment.get("slotbench"),
        "python": environment.get("python"),
        "torch": packages.get("torch"),
        "numpy": packages.get("numpy"),
        "threads": environment.get("threads"),
    }


def _documents(run: Found, results_dir: Path, published: dict[Path, Any]) -> tuple[Any, Any]:
    """``evaluation`` and ``environment`` of a run; None for what is not there or cannot be read."""
    if not run["published"]:
        folder = results_dir / run["run"]
        return _read(folder / "evaluation.json"), _read(folder / "environment.json")
    name, _, number = run["run"].rpartition(", run ")
    file = results_dir / (name or run["run"])
    if file not in published:
        published[file] = _read(file)
    records = published[file]
    record = records[int(number)] if isinstance(records, list) and number else {}
    record = record if isinstance(record, dict) else {}
    return record.get("evaluation"), record.get("environment")


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except (UserError, OSError):
        return None


def form_of(out: Path | None, form: str | None) -> str:
    """The format that is meant; :class:`UserError` for an unknown one or none to write to."""
    from slotbench.registry import unknown

    if form is None:
        form = "parquet" if out is not None and out.suffix == ".parquet" else "csv"
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if form == "parquet":
        if out is None:
            raise UserError("--format parquet needs a file.", "Add: --out results.parquet")
        _pyarrow()
    return form


def export(rows: Iterable[Row], form: str, out: Path | None) -> int:
    """Write the rows; returns their number. Without ``out``, CSV goes to stdout.

    A file is written whole or not at all.
    """
    import sys

    if out is None:
        return _write_csv(rows, sys.stdout)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        temporary = Path(folder) / "rows"
        if form == "parquet":
            written = _write_parquet(list(rows), temporary)
        else:
            with temporary.open("w", newline="") as stream:
                written = _write_csv(rows, stream)
        temporary.replace(out)
    return written


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as text."""
    stream = io.StringIO()
    _write_csv(rows, stream)
    return stream.getvalue()


def _write_csv(rows: Iterable[Row], stream: IO[str]) -> int:
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    written = 0
    for row in rows:
        writer.writerow(row)
        written += 1
    return written


def _write_parquet(rows: Sequence[Row], path: Path) -> int:
    pyarrow, parquet = _pyarrow()
    fields = [
        (name, getattr(pyarrow, kind.replace(FLAG, "bool_"))()) for name, kind in COLUMNS.items()
    ]
    schema = pyarrow.schema(
        fields, metadata={"slotbench": __version__, "schema": str(SCHEMA_VERSION)}
    )
    columns = {name: [_as(kind, row[name]) for row in rows] for name, kind in COLUMNS.items()}
    parquet.write_table(pyarrow.table(columns, schema=schema), path, compression="zstd")
    return len(rows)


def _as(kind: str, value: Any) -> Any:
    """A value of the column's kind; None where a document holds something else there."""
    if value is None:
        return None
    if kind == TEXT:
        return str(value)
    if kind == FLAG:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == REAL:
        return float(value)
    return int(value) if value == int(value) and abs(value) < 2**63 else None


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(
            "--format parquet needs the package pyarrow, which is not installed.",
            'Type: pip install "slotbench[parquet]", or use --format csv.',
        ) from error
