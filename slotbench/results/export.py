"""Every result of every run with where it came from: one row a run and metric.

The rows hold every evaluation, also those that are stale or left out of the leaderboard; the
columns ``counts`` and ``problems`` say so. A run without results (failed, running, not yet
evaluated) has one row without a metric: nothing is missing in silence.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.files import replacing
from slotbench.registry import unknown
from slotbench.results import documents
from slotbench.results.leaderboard.collect import COSTS, find
from slotbench.results.leaderboard.formats import cell_text
from slotbench.results.leaderboard.records import Found

SCHEMA_VERSION = 1
FORMATS = ("csv", "parquet")
TEXT, WHOLE, REAL, FLAG = "string", "int64", "float64", "bool"
COLUMNS: Mapping[str, str] = {
    name: kind
    for kind, names in (
        (TEXT, "run state reason"),
        (FLAG, "counts"),
        (TEXT, "problems"),
        (FLAG, "published external"),
        (TEXT, "dataset fingerprint origin"),
        (WHOLE, "image_size"),
        (TEXT, "core"),
        (WHOLE, "core_version"),
        (TEXT, "objective"),
        (WHOLE, "objective_version"),
        (TEXT, "family alignment preset"),
        (WHOLE, "seed"),
        (TEXT, "overrides metric"),
        (WHOLE, "metric_version"),
        (REAL, "value low high"),
        (WHOLE, "n left_out"),
        (TEXT, "split"),
        (WHOLE, "images"),
        (TEXT, "model_sha256 git_commit"),
        (FLAG, "git_clean"),
        (TEXT, "slotbench python torch numpy device"),
        (WHOLE, "threads"),
        (REAL, "steps seconds images_per_second parameters flops"),
        (TEXT, "warnings"),
    )
    for name in names.split()
}
"""Column -> kind; empty where it is not known. ``overrides`` is JSON; lists are joined by ``; ``.
``low`` and ``high`` are the ends of the 95 % interval over images, not over seeds."""

Row = dict[str, Any]
_FROM_RESULT = ("value", "low", "high", "n", "left_out")


def results(results_dir: Path) -> Iterator[Row]:
    """The rows of :data:`COLUMNS`, run by run in the order of the leaderboard's reading."""
    for run in find(results_dir):
        common = _common(run)
        cells = run.evaluation.metrics if run.evaluation is not None else {}
        if not cells:
            yield common
        for metric, cell in cells.items():
            numbers = {key: cell.get(key) for key in _FROM_RESULT}
            yield {**common, "metric": metric, "metric_version": cell["version"], **numbers}


def _common(run: Found) -> Row:
    environment = run.environment
    if run.path is not None:
        environment = documents.environment(run.path / "environment.json")
    versions = run.config.get("versions") or {}
    return {
        **dict.fromkeys(COLUMNS),
        **{key: vars(run)[key] for key in COLUMNS if key in vars(run)},
        **{key: getattr(run.status, key, None) for key in COSTS},
        "problems": "; ".join(run.problems),
        "warnings": "; ".join(run.warnings),
        "core_version": versions.get("core"),
        "objective_version": versions.get("objective"),
        "overrides": json.dumps(run.config.get("overrides") or {}, sort_keys=True),
        "split": getattr(run.evaluation, "split", None),
        "images": getattr(run.evaluation, "images", None),
        "model_sha256": getattr(run.evaluation, "model", None),
        "git_commit": environment.git.commit,
        "git_clean": environment.git.clean,
        "slotbench": environment.slotbench,
        "python": environment.python,
        "torch": environment.packages.get("torch"),
        "numpy": environment.packages.get("numpy"),
        "threads": environment.threads,
    }


def form_of(out: Path | None, form: str | None) -> str:
    """The format that is meant; :class:`UserError` for an unknown one or none to write to."""
    if form is None:
        form = "parquet" if out is not None and out.suffix == ".parquet" else "csv"
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if form == "parquet":
        if is_stdout(out):
            raise UserError("--format parquet needs a file.", "Add: --out results.parquet")
        _pyarrow()
    return form


def export(rows: Iterable[Row], form: str, out: Path | None) -> int:
    """Write the rows; returns their number. Without ``out``, or with ``-``, CSV goes to stdout.

    A file is written whole or not at all. In CSV, text that a spreadsheet would run as a formula
    gets an apostrophe before it.
    """
    if is_stdout(out):
        return _write_csv(rows, sys.stdout)
    assert out is not None
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        if form == "parquet":
            return _write_parquet(list(rows), temporary)
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            return _write_csv(rows, stream)


def is_stdout(out: Path | None) -> bool:
    """Whether an ``--out`` means the standard output."""
    return out is None or out == Path("-")


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
        writer.writerow({name: cell_text(value) for name, value in row.items()})
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
    """A value of the column's kind; None for a whole number that the column cannot hold."""
    if kind == REAL and value is not None:
        return float(value)
    return None if kind == WHOLE and abs(value or 0) >= 2**63 else value


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(
            "--format parquet needs the package pyarrow, which is not installed.",
            'Type: pip install "slotbench[parquet]", or use --format csv.',
        ) from error
