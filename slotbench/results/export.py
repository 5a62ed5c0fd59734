"""Every result of every run with its provenance: one row for each run and metric.

Results that the leaderboard excludes have rows too, with the reason in ``problems``. A run without
results has one row without a metric.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.files import check_ending, replacing, write_whole
from slotbench.registry import unknown
from slotbench.results import documents
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.formats import cell_text
from slotbench.results.leaderboard.grouping import COSTS
from slotbench.results.leaderboard.records import Found

SCHEMA_VERSION = 1
FORMATS = ("csv", "parquet")
ENDINGS = {
    "csv": (".csv", ".txt"),
    "parquet": (".parquet",),
    "markdown": (".md", ".txt"),
    "bibtex": (".bib", ".txt"),
}
"""Format of results or citations -> the endings of its files."""
TEXT, WHOLE, REAL, FLAG = "string", "int64", "float64", "bool"
_KINDS = {
    WHOLE: "image_size core_version objective_version seed metric_version n left_out images "
    "threads",
    REAL: "value low high steps seconds images_per_second parameters flops",
    FLAG: "counts published external git_clean",
}
_ORDER = (
    "run state reason counts problems published external dataset fingerprint origin image_size "
    "core core_version objective objective_version family alignment preset seed overrides metric "
    "metric_version value low high n left_out split images model_sha256 git_commit git_clean "
    "slotbench python torch numpy device threads steps seconds images_per_second parameters flops "
    "warnings"
)
COLUMNS: Mapping[str, str] = {
    name: next((kind for kind, names in _KINDS.items() if name in names.split()), TEXT)
    for name in _ORDER.split()
}
"""Column -> kind. Unknown values are empty, ``overrides`` is JSON, lists are joined by ``; ``.
``low`` and ``high`` are the ends of the 95 % interval over images, not over seeds."""

Row = dict[str, Any]
_FROM_RESULT = ("value", "low", "high", "n", "left_out")


def results(results_dir: Path) -> Iterator[Row]:
    """The rows of :data:`COLUMNS`, run by run."""
    for run in find(results_dir):
        common = _common(run)
        cells = run.evaluation.metrics if run.evaluation is not None else {}
        if not cells:
            yield common
        for metric, cell in cells.items():
            numbers = {key: cell.get(key) for key in _FROM_RESULT}
            yield {**common, "metric": metric, "metric_version": cell["version"], **numbers}


def _common(run: Found) -> Row:
    used, judged = run.environment, run.evaluation
    if run.path is not None:
        used = documents.environment(run.path / "environment.json")
    versions = run.config.get("versions") or {}
    return {
        **dict.fromkeys(COLUMNS),
        **{key: of for key, of in vars(run).items() if key in COLUMNS},
        **{key: getattr(run.status, key, None) for key in COSTS},
        **{key: getattr(used, key) for key in ("slotbench", "python", "threads")},
        **{key: used.packages.get(key) for key in ("torch", "numpy")},
        **{key: "; ".join(getattr(run, key)) for key in ("problems", "warnings")},
        **{f"{key}_version": versions.get(key) for key in ("core", "objective")},
        "overrides": json.dumps(run.config.get("overrides") or {}, sort_keys=True),
        "split": judged and judged.split,
        "images": judged and judged.images,
        "model_sha256": judged and judged.model,
        "git_commit": used.git.commit,
        "git_clean": used.git.clean,
    }


def form_of(out: Path | None, form: str | None) -> str:
    """The format; None is decided by the file's name.

    :class:`UserError` if it is unknown, does not match the name, or cannot be written.
    """
    if form is None:
        form = "parquet" if out is not None and out.suffix == ".parquet" else "csv"
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if out is not None:
        check_ending(out, form, *ENDINGS[form])
    if form == "parquet":
        if out in (None, Path("-")):
            raise UserError("--format parquet needs a file.", "Add: --out results.parquet")
        _pyarrow()
    return form


def export(rows: Sequence[Row], form: str, out: Path | None) -> None:
    """Write the rows to a file; without ``out``, or with ``-``, CSV goes to stdout.

    A file is written whole or not at all. In CSV, an apostrophe precedes text that a spreadsheet
    would run as a formula.
    """
    if out is None or out == Path("-"):
        sys.stdout.write(to_csv(rows))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "csv":
        write_whole(out, to_csv(rows).encode(), follow=True)
        return
    with replacing(out, follow=True) as temporary:
        _write_parquet(rows, temporary)


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as text."""
    import pandas as pd

    cells = [{name: cell_text(value) for name, value in row.items()} for row in rows]
    frame = pd.DataFrame(cells, columns=list(COLUMNS), dtype=object)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _write_parquet(rows: Sequence[Row], path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    fields = [
        (name, getattr(pyarrow, kind.replace(FLAG, "bool_"))()) for name, kind in COLUMNS.items()
    ]
    metadata = {"slotbench": __version__, "schema": str(SCHEMA_VERSION)}
    table = pyarrow.Table.from_pylist(
        [{name: _as(COLUMNS[name], value) for name, value in row.items()} for row in rows],
        pyarrow.schema(fields, metadata),
    )
    parquet.write_table(table, path, compression="zstd")


def _as(kind: str, value: Any) -> Any:
    """A value of the column's kind; None for an integer of more than 64 bits."""
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
