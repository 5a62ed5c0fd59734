"""Rich tables of what a user asks about: names, runs, evaluations, throughput.

Cells may hold text from files: no cell is read as markup, none holds a control character.
"""

from typing import Any

from rich.table import Table
from rich.text import Text

from slotbench.progress import plain
from slotbench.registry import Entry


def _cell(text: object, style: str = "") -> Text:
    return Text(plain(str(text)), style)


def _table(title: str, *headings: str, **options: Any) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=_cell(title), title_justify="left", box=None, pad_edge=False, **options)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def registry_table(kind: str, entries: dict[str, Entry]) -> Table:
    """The names of a kind, each with its line and its source."""
    table = Table(title=kind, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("name", "what it is", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for name, entry in entries.items():
        notes = [f"({entry.family})"] if entry.family else []
        notes += [f"variants: {', '.join(entry.variants)}"] if entry.variants else []
        said = Text.assemble(_cell(entry.summary), " ", _cell(" ".join(notes), "dim"))
        table.add_row(_cell(name), said, _cell(entry.source))
    return table


def run_table(facts: dict[str, Any]) -> Table:
    """What a run is: its choices, its state and what it cost."""
    config, status = facts["config"], facts["status"]
    dataset = config["dataset"]
    table = Table(title=_cell(facts["run"]), title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column()
    data = f"{dataset['name']}:{dataset['variant']} ({dataset['origin']})"
    rows = [("dataset", f"{data}, {dataset['image_size']} pixels")]
    for section in ("core", "encoder", "objective", "decoder", "views", "train"):
        if section in config:
            fields = dict(config[section])
            listed = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "name")
            rows.append((section, f"{fields.get('name', '')} {listed}".strip()))
    rows.append(("seed, preset", f"{config['seed']}, {config['preset']}"))
    state = status["state"] + (f": {status['reason']}" if status["reason"] else "")
    rows.append(("state", f"{state}, step {status['step']:,} of {status.get('steps') or 0:,}"))
    rows.append(("cost", f"{status['seconds']:.0f} s on {status.get('device', '?')}"))
    for name, text in rows:
        table.add_row(name, _cell(text))
    for warning in status["warnings"]:
        table.add_row("warning", _cell(warning, "yellow"))
    if facts["resume"]:
        table.add_row("go on", _cell(facts["resume"]))
    return table


def evaluation_table(title: str, result: dict[str, Any]) -> Table:
    """Every number of an evaluation with its interval over images."""
    counted = f"{result['images']:,} images, {result.get('objects') or 0:,} objects"
    headings = ("metric", "value", "95 % over images", "n", "left out", "version")
    table = _table(f"{title}, {result['split']}: {counted}", *headings)
    for key, metric in result["metrics"].items():
        low, high, spread = metric.get("low"), metric.get("high"), metric.get("spread")
        value = "—" if metric["value"] is None else f"{metric['value']:.3f}"
        value += "" if spread is None else f" ± {spread:.3f}"
        interval = "" if low is None else f"{low:.3f} to {high:.3f}"
        counts = (f"{metric.get('n') or 0:,}", metric.get("left_out") or 0, metric["version"])
        table.add_row(*map(_cell, (key, value, interval, *counts)))
    for group, reason in result.get("skipped", {}).items():
        table.add_row(_cell(group, "dim"), _cell(f"not scored: {reason}", "dim"))
    return table


def throughput_table(rows: list[dict[str, Any]]) -> Table:
    """Milliseconds a step of every objective."""
    title = f"{rows[0]['preset']}, batches of {rows[0]['batch_size']}, {rows[0]['device']}"
    times = ("step, ms", "relative", "of it views, ms", "loading, ms", "waited, ms")
    table = _table(title, "objective", *times, "images/s", "GFLOP/s", "of peak")
    for row in rows:
        loading = "—" if row["loading_ms"] is None else f"{row['loading_ms']:.2f}"
        step, relative = f"{row['step_ms']:.1f}", f"{row['relative']:.2f}"
        views, rate = f"{row['views_ms']:.1f}", f"{row['images_per_second']:.0f}"
        cells = (row["objective"], step, relative, views, loading, f"{row['waited_ms']:.1f}", rate)
        speed = (f"{row['gflops_per_second']:.0f}", f"{row['share_of_peak']:.0%}")
        table.add_row(*map(_cell, (*cells, *speed)))
    return table
