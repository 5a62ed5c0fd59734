"""The leaderboard on a terminal: a Rich table a dataset, then what the comparison shows."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slotbench.results.leaderboard import compact
from slotbench.results.leaderboard.comparisons import Paired
from slotbench.results.leaderboard.grouping import Row
from slotbench.results.leaderboard.tables import groups
from slotbench.results.leaderboard.verdict import Verdict
from slotbench.results.leaderboard.wording import (
    MISSING,
    TEST,
    best,
    columns,
    comparison_lines,
    cost_words,
    fewer,
    flops,
    interval,
    number,
    titles,
)

LEGEND = (
    "Mean over seeds, 95 % bootstrap interval, inter-quartile mean from five seeds. "
    f"*: best of its column. {MISSING}: missing."
)
_HEADING = 13
"""Characters a line in a metric's heading."""


def render(
    console: Console,
    rows: Sequence[Row],
    metrics: Sequence[str],
    paired: Sequence[Paired],
    answer: Verdict,
    warnings: Sequence[str],
    scale: str = "",
) -> None:
    """Print everything; metrics that do not fit the width go on in a further table."""
    if len(rows) >= compact.MANY:
        _write(console, compact.tables(rows, metrics, console.width))
    else:
        _tables(console, rows, metrics)
    console.print(Text(f"{LEGEND} {scale}".strip(), style="dim"))
    console.print()
    console.print(Text("Self-supervision against reconstruction", style="bold"))
    if len(paired) >= compact.MANY:
        _write(console, compact.comparison(paired))
    else:
        for title, lines in comparison_lines(paired):
            console.print(Text(title))
            _notes(console, lines)
    if paired:
        console.print(Text(TEST, style="dim"))
    console.print(Text(answer.sentence, style="bold"))
    _notes(console, answer.notes)
    if warnings:
        console.print()
        console.print(Text("Left out", style="bold"))
        _notes(console, warnings)


def _write(console: Console, lines: Iterable[str]) -> None:
    """Plain text, past Rich: it takes a second for a thousand lines."""
    console.file.write("".join(f"{line}\n" for line in lines))


def _tables(console: Console, rows: Sequence[Row], metrics: Sequence[str]) -> None:
    named = titles([group for group, _ in groups(rows)])
    for group, members in groups(rows):
        wanted = columns(members, metrics)
        console.print(Text(named[group], style="bold"))
        for part in _parts(console, members, wanted):
            console.print(_table(members, part, with_cost=part[-1:] == wanted[-1:]))
        _notes(console, [f"{row.label}: {text}" for row in members for text in row.warnings])
        console.print()


def _parts(console: Console, rows: Sequence[Row], wanted: Sequence[str]) -> list[list[str]]:
    """The metrics in as few tables as fit the console's width."""
    unlimited = console.options.update(max_width=10_000)
    parts: list[list[str]] = [[]]
    for metric in wanted:
        trial = [*parts[-1], metric]
        table = _table(rows, trial, with_cost=metric == wanted[-1])
        width = Measurement.get(console, unlimited, table).maximum
        if parts[-1] and width > console.width:
            parts.append([metric])
        else:
            parts[-1] = trial
    return parts


def _table(rows: Sequence[Row], metrics: Sequence[str], *, with_cost: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("objective\ncore\nfamily\npreset", overflow="fold", max_width=24)
    table.add_column("seeds", justify="right")
    for metric in metrics:
        table.add_column(_heading(metric), justify="right", overflow="fold")
    if with_cost:
        table.add_column("cost", overflow="fold", max_width=18)
    marked = {metric: best(rows, metric) for metric in metrics}
    for index, row in enumerate(rows):
        cells = [_metric(row, metric, best=index in marked[metric]) for metric in metrics]
        cost = [_cost(row)] if with_cost else []
        table.add_row(_label(row), _seeds(row), *cells, *cost, end_section=index + 1 < len(rows))
    return table


def _heading(metric: str) -> Text:
    """A key on as few lines as its parts allow."""
    lines = [""]
    parts = metric.split("/")
    for index, part in enumerate(parts):
        text = part if index + 1 == len(parts) else f"{part}/"
        if lines[-1] and len(lines[-1]) + len(text) > _HEADING:
            lines.append("")
        lines[-1] += text
    return Text("\n".join(lines))


def _label(row: Row) -> Text:
    text = Text(row.name, style="bold italic" if row.external else "bold")
    for line in (row.core, row.family, row.preset):
        # An external row says so once, in its name; nothing was trained in one without a preset.
        if line and line not in ("external", "none"):
            text.append(f"\n{line}", style="not bold not italic")
    if row.settings:
        text.append(f"\n{row.settings}", style="not bold italic")
    return text


def _seeds(row: Row) -> Text:
    text = Text(str(len(row.seeds)))
    if row.failed:
        text.append(f"\n{row.failed} failed", style="red")
    if row.published:
        text.append(f"\n{row.published} publ.", style="dim")
    return text


def _metric(row: Row, metric: str, *, best: bool) -> Text:
    summary = row.metrics.get(metric)
    if summary is None:
        return Text(MISSING, style="dim")
    text = Text(f"* {number(summary.mean)}" if best else number(summary.mean))
    if best:
        text.stylize("bold green")
    iqm = f"IQM {number(summary.iqm)}" if summary.iqm is not None else ""
    for line in (interval(summary), iqm, fewer(row, metric)):
        if line:
            text.append(f"\n{line}", style="not bold default")
    return text


def _cost(row: Row) -> Text:
    words = cost_words(row.cost)
    known = [
        f"{words['steps']} steps" if row.cost.steps is not None else "",
        words["time"] if row.cost.seconds is not None else "",
        f"{words['images/s']} images/s" if row.cost.images_per_second is not None else "",
        f"{words['parameters']} params" if row.cost.parameters is not None else "",
        f"{flops(row.cost.flops)} FLOPs" if row.cost.flops is not None else "",
        row.cost.device,
    ]
    return Text("\n".join(line for line in known if line) or MISSING)


def _notes(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
