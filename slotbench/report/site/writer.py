"""Writes the site: one index, a page a run, pictures in a folder beside them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from slotbench import __version__
from slotbench.files import write_whole
from slotbench.progress import bar, say
from slotbench.report.show import draw
from slotbench.report.site import charts, pages
from slotbench.report.site.curves import curves
from slotbench.report.site.findings import findings, ranks
from slotbench.report.site.gallery import WISH, Gallery, copy_pictures, draw_gallery
from slotbench.report.site.study import Study, study
from slotbench.results.leaderboard import Board, Row, collect, leaderboard
from slotbench.results.leaderboard.grouping import by_group as groups
from slotbench.results.leaderboard.ranks import NOTE as RANK_NOTE
from slotbench.results.leaderboard.wording import comparison_lines, titles
from slotbench.results.run import Run
from slotbench.suites.commands import Where
from slotbench.training.loop import Host

MOST_PANELS = 5
"""Metrics of the interval plot."""
MOST_CURVES = 24
"""Learning curves of the index; beyond, they have a page of their own."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """What was written."""

    index: Path
    runs: int
    pictures: int


def write_site(
    results_dir: Path,
    out: Path,
    *,
    data_dir: Path,
    host: Host,
    pictures: bool = True,
    question: str | None = None,
    dataset: str | None = None,
    suite: str | None = None,
) -> Site:
    """Write ``index.html``, ``runs/`` and ``pictures/`` into ``out``.

    With ``pictures``, the first run of each row shows the same test images, and is drawn if it
    has no pictures yet; that takes its model and its dataset. ``suite``, a file or a name, makes
    the page one of its runs and its question. Raises :class:`UserError` as
    :func:`slotbench.results.leaderboard.leaderboard` does, and for a suite that is not known.
    """
    records = _records(results_dir)
    asked = study(records, Where(data_dir, results_dir, str(host.device)), suite, question)
    if suite and asked.runs is not None:
        records = [record for record in records if record["run"] in asked.runs]
    kept = {pages.key_of(record["config"]) for record in records if record["config"]}
    board = leaderboard(
        results_dir,
        dataset=dataset,
        keep=(lambda row: pages.key_of(row.config) in kept) if suite else None,
    )
    first = {
        pages.key_of(record["config"]): record
        for record in reversed(records)
        if record["counts"] and record["page"]
    }
    galleries = _galleries(board, first, out, data_dir, host) if pictures else []
    with bar("Writing pages", len(records) + 1) as progress:
        drawn = 0
        for done, record in enumerate(records, start=1):
            if record["page"]:
                drawn += _write_run(record, out)
            progress.set(done)
        _write_index(board, asked, records, first, galleries, out)
        progress.set(len(records) + 1)
    return Site(out / "index.html", sum(bool(record["page"]) for record in records), drawn)


def _write_run(record: Record, out: Path) -> int:
    """The page of one run; returns how many pictures it has."""
    shown = copy_pictures(record["directory"], out)
    points = pages.learning_curve(record["directory"])
    color = charts.STYLE.get(str(record["family"]), charts.STYLE["unknown"])[0]
    _write(
        out / record["page"],
        "run.html.j2",
        root="../",
        record=record,
        pictures=shown,
        facts=pages.run_facts(record["directory"]),
        curve=curves("training loss", color, {int(record["seed"]): points}) if points else "",
    )
    return len(shown)


def _write_index(
    board: Board,
    asked: Study,
    records: Sequence[Record],
    first: Mapping[str, Record],
    galleries: list[Gallery],
    out: Path,
) -> None:
    links = {key: record["page"] for key, record in first.items()}
    drawn = _curves(board, records)
    apart = len(drawn) > MOST_CURVES
    if apart:
        _write(out / "curves.html", "curves.html.j2", root="", curves=drawn)
    over_all, single = ranks(board)
    _write(
        out / "index.html",
        "index.html.j2",
        root="",
        found=findings(board, asked),
        tables=pages.board_tables(board, links),
        overall=over_all,
        ranks=single,
        rank_note=RANK_NOTE,
        plots=[_plots(board, rows, title) for title, rows in _titled(board)],
        curves=[] if apart else drawn,
        curves_apart=len(drawn) if apart else 0,
        galleries=galleries,
        comparisons=comparison_lines(board.comparisons),
        warnings=board.warnings,
        runs=pages.runs_table(records, board.shown[0]),
        families=sorted({row.family for row in board.rows}),
        style=charts.STYLE,
    )


def _titled(board: Board) -> list[tuple[str, list[Row]]]:
    named = titles([group for group, _ in groups(board.rows)])
    return [(named[group], rows) for group, rows in groups(board.rows)]


def _plots(board: Board, rows: Sequence[Row], title: str) -> Record:
    metrics = [key for key in board.shown if any(key in row.metrics for row in rows)][:MOST_PANELS]
    return {
        "title": title,
        "intervals": charts.intervals(rows, metrics) if metrics else "",
        "more": max(0, len(rows) - charts.MOST_ROWS),
        "costs": [
            (f"{key} against {words}", svg)
            for cost, words in charts.AXES.items()
            for key in metrics
            if (svg := charts.costs(rows, key, cost))
        ],
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
            found.append((words, curves(row.name, charts.STYLE[row.family][0], seeds)))
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
            for row in rows
            if pages.key_of(row.config) in first
        ]
        for _, run in members:
            _draw(run, data_dir, host)
        gallery = draw_gallery(members, data_dir, out, host, say) if members else None
        found += [gallery] if gallery else []
    return found


def _draw(run: Run, data_dir: Path, host: Host) -> None:
    """The pictures of ``slotbench show``, where a run has none that are newer than its model."""
    from slotbench.errors import UserError
    from slotbench.results.models import open_dataset, run_title, trained

    page = run.pictures / "test.png"
    if page.is_file() and page.stat().st_mtime_ns >= run.model.stat().st_mtime_ns:
        return
    try:
        config = run.config()
        with open_dataset(config, data_dir) as dataset:
            draw(
                trained(run, config).to(host.device),
                dataset,
                WISH,
                run.pictures,
                title=run_title(run, config),
                seed=config.seed,
                device=host.device,
            )
    except (UserError, OSError) as error:
        say(f"{run.id}: no pictures: {error}")


def _write(path: Path, template: str, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _environment().get_template(template).render(version=__version__, **values)
    write_whole(path, text.encode())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("slotbench.report.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> Markup:
    """A metric's key that may be broken after its slashes and nowhere else."""
    return Markup("/<wbr>").join(escape(part) for part in text.split("/"))
