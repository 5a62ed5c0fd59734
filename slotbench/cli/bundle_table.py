"""What ``slotbench verify BUNDLE`` found, as tables."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

MISSING = "—"


def bundle_table(facts: dict[str, Any]) -> Iterator[Table | Text]:
    """Hashes first, then a table of the numbers that moved for each run, then the sum of it."""
    hashes = facts["hashes"]
    if hashes["wrong"]:
        yield Text(f"{len(hashes['wrong'])} of {hashes['files']} files are not as published:")
        yield from (Text(f"  {line}", style="red") for line in hashes["wrong"])
        return
    yield Text(f"{hashes['files']} files have the sha256 of the manifest.")
    for run in facts["runs"] if facts["recompute"] else ():
        yield from _run(run)
    if not facts["recompute"]:
        yield Text("No number was computed again: --no-recompute.")
        return
    verdicts = Counter(cell["verdict"] for run in facts["runs"] for cell in run["metrics"])
    done = sum(run["recomputed"] for run in facts["runs"])
    counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    yield Text(
        f"{done} of {len(facts['runs'])} runs computed again: {counted or 'no number'}. "
        f"Contradicted means: moved by more than {facts['tolerance']:g}.",
        style="bold",
    )


def _run(run: dict[str, Any]) -> Iterator[Table | Text]:
    if not run["recomputed"]:
        yield Text(f"{run['run']}: not computed again. {run['reason']}".rstrip())
        return
    moved = [cell for cell in run["metrics"] if cell["verdict"] != "same"]
    yield Text(
        f"{run['run']}: {len(run['metrics']) - len(moved)} of {len(run['metrics'])} numbers "
        "are the same to the last bit."
    )
    if not moved:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("metric", "stored", "computed again", "difference", "same decimals", ""):
        table.add_column(heading, justify="left" if heading in ("metric", "") else "right")
    for cell in moved:
        style = "red" if cell["verdict"] == "contradicted" else ""
        numbers = [_number(cell[key]) for key in ("stored", "recomputed")]
        difference = MISSING if cell["difference"] is None else f"{cell['difference']:+.2e}"
        same = MISSING if cell["same_decimals"] is None else str(cell["same_decimals"])
        texts = (cell["metric"], *numbers, difference, same, cell["verdict"])
        table.add_row(*(Text(str(text), style=style) for text in texts))
    yield table


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.8f}"
