"""Rich tables of what a user asks about: names, runs, evaluations, throughput."""

from typing import Any

from rich.table import Table

from slotbench.registry import Entry


def registry_table(kind: str, entries: dict[str, Entry]) -> Table:
    table = Table(title=kind, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("name", "what it is", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for name, entry in entries.items():
        notes = [f"[dim]({entry.family})[/]"] if entry.family else []
        notes += [f"[dim]variants: {', '.join(entry.variants)}[/]"] if entry.variants else []
        table.add_row(name, " ".join([entry.summary, *notes]), entry.source)
    return table


def run_table(facts: dict[str, Any]) -> Table:
    """What a run is: its choices, its state and what it cost."""
    config, status = facts["config"], facts["status"]
    dataset = config["dataset"]
    table = Table(title=facts["run"], title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column()
    data = f"{dataset['name']}:{dataset['variant']} ({dataset['origin']})"
    table.add_row("dataset", f"{data}, {dataset['image_size']} pixels")
    for section in ("core", "encoder", "objective", "decoder", "views", "train"):
        if section in config:
            fields = dict(config[section])
            name = fields.pop("name", "")
            listed = ", ".join(f"{key}={value}" for key, value in fields.items())
            table.add_row(section, f"{name} [dim]{listed}[/]")
    table.add_row("seed, preset", f"{config['seed']}, {config['preset']}")
    state = status["state"] + (f": {status['reason']}" if status["reason"] else "")
    table.add_row("state", f"{state}, step {status['step']:,} of {status.get('steps', 0):,}")
    table.add_row("cost", f"{status['seconds']:.0f} s on {status.get('device', '?')}")
    for warning in status["warnings"]:
        table.add_row("warning", f"[yellow]{warning}[/]")
    if facts["resume"]:
        table.add_row("go on", facts["resume"])
    return table


def evaluation_table(title: str, result: dict[str, Any]) -> Table:
    """Every number of an evaluation with its interval over images."""
    shown = (
        f"{title}, {result['split']}: {result['images']:,} images, {result['objects']:,} objects"
    )
    table = Table(title=shown, title_justify="left", box=None, pad_edge=False)
    table.add_column("metric")
    for heading in ("value", "95 % over images", "n", "left out", "version"):
        table.add_column(heading, justify="right")
    for key, metric in result["metrics"].items():
        interval = ""
        if metric.get("low") is not None:
            interval = f"{metric['low']:.3f} to {metric['high']:.3f}"
        value = "—" if metric["value"] is None else f"{metric['value']:.3f}"
        if metric.get("spread") is not None:
            value += f" ± {metric['spread']:.3f}"
        table.add_row(
            key,
            value,
            interval,
            f"{metric['n']:,}",
            str(metric.get("left_out", 0)),
            str(metric["version"]),
        )
    for group, reason in result.get("skipped", {}).items():
        table.add_row(f"[dim]{group}[/]", f"[dim]not scored: {reason}[/]")
    return table


def throughput_table(rows: list[dict[str, Any]]) -> Table:
    title = f"{rows[0]['preset']}, batches of {rows[0]['batch_size']}, {rows[0]['device']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("objective")
    for heading in ("step, ms", "relative", "of it views, ms", "loading, ms", "images/s"):
        table.add_column(heading, justify="right")
    for row in rows:
        loading = "—" if row["loading_ms"] is None else f"{row['loading_ms']:.2f}"
        table.add_row(
            row["objective"],
            f"{row['step_ms']:.1f}",
            f"{row['relative']:.2f}",
            f"{row['views_ms']:.1f}",
            loading,
            f"{row['images_per_second']:.0f}",
        )
    return table
