"""Writes the site: one index, a page a run, pictures in a folder beside them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from slotbench import __version__
from slotbench.files import write_whole
from slotbench.leaderboard import Board, Row, collect, leaderboard
from slotbench.leaderboard.tables import groups
from slotbench.leaderboard.wording import comparison_lines, titles
from slotbench.progress import bar, say
from slotbench.report.show import draw
from slotbench.report.site import charts, pages
from slotbench.report.site.gallery import WISH, Gallery, copy_pictures, draw_gallery
from slotbench.runs import Run
from slotbench.train import Host

MOST_PANELS = 4
"""Metrics of the interval plot."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """What was written."""

    index: Path
    runs: int
    pictures: int


def write_site(
    results_dir: Path, out: Path, *, data_dir: Path, host: Host, pictures: bool = True,
    question: str = "", dataset: str | None = None,
) -> Site:  # fmt: skip
    """Write ``index.html``, ``runs/`` and ``pictures/`` into ``out``.

    With ``pictures``, the first run of each row shows the same test images, and is drawn if it
    has no pictures yet; that takes its model and its dataset. Raises :class:`UserError` as
    :func:`slotbench.leaderboard.leaderboard` does.
    """
    board = leaderboard(results_dir, dataset=dataset)
    records = _records(results_dir)
    first = {pages.key_of(record["config"]): record for record in reversed(records)
             if record["counts"] and record["page"]}  # fmt: skip
    galleries = _galleries(board, first, out, data_dir, host) if pictures else []
    with bar("Writing pages", len(records) + 1) as progress:
        drawn = 0
        for done, record in enumerate(records, start=1):
            if record["page"]:
                shown = copy_pictures(record["directory"], out)
                drawn += len(shown)
                _write(out / record["page"], "run.html.j2", root="../", record=record,
                       facts=pages.run_facts(record["directory"]), pictures=shown)  # fmt: skip
            progress.set(done)
        _write(out / "index.html", "index.html.j2", root="", question=question,
               **_index(board, records, first, galleries))  # fmt: skip
        progress.set(len(records) + 1)
    return Site(out / "index.html", sum(bool(record["page"]) for record in records), drawn)


def _index(
    board: Board, records: Sequence[Record], first: Mapping[str, Record], galleries: list[Gallery]
) -> Record:
    links = {key: record["page"] for key, record in first.items()}
    return {
        "answer": board.verdict.sentence,
        "notes": board.verdict.notes,
        "tables": pages.board_tables(board, links),
        "plots": [_plots(board, rows, title) for title, rows in _titled(board)],
        "curves": _curves(board, records),
        "galleries": galleries,
        "comparisons": comparison_lines(board.comparisons),
        "warnings": board.warnings,
        "runs": pages.runs_table(records, board.shown[0]),
        "families": sorted({row.family for row in board.rows}),
        "style": charts.STYLE,
    }


def _titled(board: Board) -> list[tuple[str, list[Row]]]:
    named = titles([group for group, _ in groups(board.rows)])
    return [(named[group], rows) for group, rows in groups(board.rows)]


def _plots(board: Board, rows: Sequence[Row], title: str) -> Record:
    metrics = [key for key in board.shown if any(key in row.metrics for row in rows)][:MOST_PANELS]
    return {
        "title": title,
        "intervals": charts.intervals(rows, metrics) if metrics else "",
        "costs": [(key, svg) for key in metrics if (svg := charts.costs(rows, key))],
    }


def _curves(board: Board, records: Sequence[Record]) -> list[tuple[str, str]]:
    """A plot a row whose runs are here, with the words that say what it shows."""
    members: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["page"]:
            members[pages.key_of(record["config"])].append(record)
    found = []
    for row in board.rows:
        seeds = {
            record["seed"]: points
            for record in members[pages.key_of(row.config)]
            if (points := pages.learning_curve(record["directory"]))
        }
        if seeds:
            words = f"{row.label} on {row.group.dataset}: loss by step, {len(seeds)} seeds"
            found.append((words, charts.curves(row.name, row.family, seeds)))
    return found


def _records(results_dir: Path) -> list[Record]:
    """Every run that the leaderboard sees, with its directory and the address of its page."""
    found: list[Record] = []
    for each in collect(results_dir).to_dict("records"):
        record: Record = {str(key): value for key, value in each.items()}
        readable = not record["published"] and record["state"] != "unreadable"
        run = pages.directory(results_dir, record["run"]) if readable else None
        record["directory"] = run
        record["name"] = run.id if run else record["run"]
        record["page"] = f"runs/{run.id}.html" if run else ""
        found.append(record)
    return found


def _galleries(
    board: Board, first: Mapping[str, Record], out: Path, data_dir: Path, host: Host
) -> list[Gallery]:
    found = []
    for _, rows in groups(board.rows):
        members = [
            (row, first[pages.key_of(row.config)]["directory"])
            for row in rows if pages.key_of(row.config) in first
        ]  # fmt: skip
        for _, run in members:
            _draw(run, data_dir, host)
        gallery = draw_gallery(members, data_dir, out, host, say) if members else None
        found += [gallery] if gallery else []
    return found


def _draw(run: Run, data_dir: Path, host: Host) -> None:
    """The pictures of ``slotbench show``, where a run has none that are newer than its model."""
    from slotbench.errors import UserError
    from slotbench.train import trained
    from slotbench.workflow import open_dataset, run_title

    page = run.pictures / "test.png"
    if page.is_file() and page.stat().st_mtime_ns >= run.model.stat().st_mtime_ns:
        return
    try:
        config = run.config()
        with open_dataset(config, data_dir) as dataset:
            draw(
                trained(run, config).to(host.device), dataset, WISH, run.pictures,
                title=run_title(run, config), seed=config.seed, device=host.device,
            )  # fmt: skip
    except (UserError, OSError) as error:
        say(f"{run.id}: no pictures: {error}")


def _write(path: Path, template: str, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    loader = PackageLoader("slotbench.report.site")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["breakable"] = _breakable
    text = environment.get_template(template).render(version=__version__, **values)
    write_whole(path, text.encode())


def _breakable(text: str) -> Markup:
    """A metric's key that may be broken after its slashes and nowhere else."""
    return Markup("/<wbr>").join(escape(part) for part in text.split("/"))
