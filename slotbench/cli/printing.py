"""Rich tables: names, runs, evaluations, throughput, bundles.

Cells may hold text from files: no cell is read as markup, none holds a control character.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from slotbench.evaluation.groups import shown_keys
from slotbench.progress import counted, plain
from slotbench.registry import Entry

MISSING = "—"


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


def run_table(facts: dict[str, Any], *, brief: bool = False) -> Table:
    """A run's settings, state and cost; ``brief``: only the settings that were typed."""
    from slotbench.results.leaderboard.records import settings_text

    config, status = facts["config"], facts["status"]
    dataset = config["dataset"]
    table = Table(title=_cell(facts["run"]), title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column()
    data = f"{dataset['name']}:{dataset['variant']} ({dataset['origin']})"
    rows = [("dataset", f"{data}, {dataset['image_size']} pixels")]
    apart = ("dataset", "overrides", "versions")
    sections = {key: of for key, of in config.items() if isinstance(of, dict) and key not in apart}
    if brief:
        names = [f"{section} {of['name']}" for section, of in sections.items() if "name" in of]
        names += filter(None, [settings_text(config["overrides"])])
        rows.append(("run", ", ".join([*names, f"{config['preset']}, seed {config['seed']}"])))
        sections = {}
    for section, fields in sections.items():
        listed = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "name")
        rows.append((section, f"{fields.get('name', '')} {listed}".strip()))
    rows += [] if brief else [("seed, preset", f"{config['seed']}, {config['preset']}")]
    state = status["state"] + (f": {status['reason']}" if status["reason"] else "")
    cost = f"{status['seconds']:.0f} s on {status.get('device') or '?'}"
    step = f"step {status['step']:,} of {status.get('steps') or 0:,}"
    rows.append(("state", f"{state}, {step}, {cost}"))
    for name, text in rows:
        table.add_row(name, _cell(text))
    for warning in status["warnings"]:
        table.add_row("warning", _cell(warning, "yellow"))
    if facts["resume"]:
        table.add_row("go on", _cell(facts["resume"]))
    return table


def evaluation_table(title: str, result: dict[str, Any]) -> Table:
    """Every number of an evaluation with its interval over images; names are never cut."""
    counted = f"{result['images']:,} images, {result.get('objects') or 0:,} objects"
    some_left_out = any(metric.get("left_out") for metric in result["metrics"].values())
    headings = ("metric", "value", "95 % over images", "n", *["left out"][:some_left_out])
    table = _table(f"{title}, {result['split']}: {counted}", *headings)
    table.columns[0].overflow = "fold"
    for key, metric in result["metrics"].items():
        low, high, spread = metric.get("low"), metric.get("high"), metric.get("spread")
        value = MISSING if metric["value"] is None else f"{metric['value']:.3f}"
        value += "" if spread is None else f" ± {spread:.3f}"
        interval = "" if None in (low, high) else f"{low:.3f} to {high:.3f}"
        left_out = [metric.get("left_out") or 0][:some_left_out]
        counts = (f"{metric.get('n') or 0:,}", *left_out)
        table.add_row(*map(_cell, (key, value, interval, *counts)))
    skipped = [f"{group}: not scored: {why}" for group, why in result.get("skipped", {}).items()]
    if skipped:
        table.caption, table.caption_justify = _cell("\n".join(skipped), "dim"), "left"
    return table


def main_numbers(result: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """An evaluation with the leaderboard's columns alone, and how many other numbers it has."""
    metrics = result["metrics"]
    main = {key: metrics[key] for key in shown_keys() if key in metrics} or metrics
    others = len(metrics) - len(main)
    return {**result, "metrics": main}, counted(others, "more number") if others else ""


def throughput_table(rows: list[dict[str, Any]]) -> Table:
    """Milliseconds a step of every objective."""
    title = f"{rows[0]['preset']}, batches of {rows[0]['batch_size']}, {rows[0]['device']}"
    times = ("step", "relative", "of it\nviews", "loading", "waited")
    rates = ("images\nper s", "GFLOP/s", "of\npeak")
    table = _table(f"{title}; times in ms", "objective", *times, *rates, padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    for row in rows:
        loading = MISSING if row["loading_ms"] is None else f"{row['loading_ms']:.2f}"
        step, relative = f"{row['step_ms']:.1f}", f"{row['relative']:.2f}"
        views, rate = f"{row['views_ms']:.1f}", f"{row['images_per_second']:.0f}"
        cells = (row["objective"], step, relative, views, loading, f"{row['waited_ms']:.1f}", rate)
        speed = (f"{row['gflops_per_second']:.0f}", f"{row['share_of_peak']:.0%}")
        table.add_row(*map(_cell, (*cells, *speed)))
    return table


def bundle_table(facts: dict[str, Any]) -> Iterator[Table | Text]:
    """A bundle's hashes, the numbers of each run that moved, and their counts."""
    hashes = facts["hashes"]
    if hashes["wrong"]:
        yield Text(f"{len(hashes['wrong'])} of {hashes['files']} files are not as published:")
        yield from (Text(f"  {line}", style="red") for line in hashes["wrong"])
        return
    yield Text(f"{hashes['files']} files have the sha256 of the manifest.")
    for run in facts["runs"] if facts["recompute"] else ():
        yield from _bundle_run(run)
    if not facts["recompute"]:
        yield Text("No number was computed again: --no-recompute.")
        return
    verdicts = Counter(cell["verdict"] for run in facts["runs"] for cell in run["metrics"])
    done = sum(run["recomputed"] for run in facts["runs"])
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    meaning = f": {told}. Contradicted means: moved by more than {facts['tolerance']:g}."
    again = f"{done} of {counted(len(facts['runs']), 'run')} computed again"
    yield Text(again + (meaning if told else "."), style="bold")


def reproduced_table(facts: dict[str, Any]) -> Table:
    """A published row and the seed that was trained anew."""
    seeds = counted(len(facts["seeds"]), "published seed")
    title = f"{facts['row']} on {facts['dataset']}: {seeds}, and seed {facts['seed']} trained anew"
    headings = ("metric", "published", "95 of 100 seeds", f"seed {facts['seed']}", "")
    table = _table(title, *headings)
    for cell in facts["metrics"]:
        numbers = (f"{cell['published']:.3f}", f"{cell['low']:.3f} to {cell['high']:.3f}")
        told = "inside" if cell["inside"] else "outside"
        table.add_row(*map(_cell, (cell["metric"], *numbers, f"{cell['value']:.3f}", told)))
    return table


def _bundle_run(run: dict[str, Any]) -> Iterator[Table | Text]:
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
