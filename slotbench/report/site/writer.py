"""Writes the site: one index, a page a run, pictures in a folder beside them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from slotbench import __version__
from slotbench.errors import UserError
from slotbench.files import write_whole
from slotbench.locks import Held, hold
from slotbench.progress import bar
from slotbench.report.site import charts, pages
from slotbench.report.site.curves import curves
from slotbench.report.site.findings import findings, ranks
from slotbench.report.site.gallery import Gallery, copy_pictures, draw_gallery
from slotbench.report.site.pages import Page, key_of
from slotbench.report.site.study import Study, study
from slotbench.results.leaderboard import Board, Row, leaderboard
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.grouping import by_group
from slotbench.results.leaderboard.ranks import NOTE as RANK_NOTE
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM
from slotbench.results.leaderboard.wording import comparison_lines, interval, number, titles
from slotbench.results.run import Run
from slotbench.suites.commands import Where
from slotbench.training.loop import Host

MOST_PANELS = 5
"""Metrics of the interval plot."""
MOST_CURVES = 24
"""Learning curves of the index; more have a page of their own."""
MOST_CONTESTANTS = 8
"""Rows of the picture at the top."""


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
    has no pictures yet; that takes its model and its dataset. ``suite``, a file or a name,
    restricts the page to the suite's runs and asks its question. :class:`UserError` as for
    :func:`slotbench.results.leaderboard.leaderboard`, for an unknown suite, and where another
    report is being written into ``out``.
    """
    runs = find(results_dir)
    asked = study(runs, Where(data_dir, results_dir, str(host.device)), suite, question)
    if suite and asked.runs is not None:
        runs = [run for run in runs if run.run in asked.runs]
    kept = {key_of(run.config) for run in runs if run.config}
    board = leaderboard(
        results_dir,
        dataset=dataset,
        keep=(lambda row: key_of(row.config) in kept) if suite else None,
    )
    shown = [
        Page(run, Run(run.path) if run.path and run.state != "unreadable" else None) for run in runs
    ]
    first = {
        key_of(page.found.config): page
        for page in reversed(shown)
        if page.found.counts and page.run
    }
    with _alone(out):
        galleries = _galleries(board, first, data_dir, out, host) if pictures else []
        with bar("Writing pages", len(shown) + 1) as progress:
            for done, page in enumerate(shown, start=1):
                _write_run(page, out)
                progress.set(done)
            _write_index(board, asked, shown, first, galleries, out)
            progress.set(len(shown) + 1)
    drawn = sum(len(page.pictures) for page in shown)
    return Site(out / "index.html", sum(bool(page.run) for page in shown), drawn)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the site's folder, and sweep what a killed report has left half written."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with hold(out / ".lock"):
            for folder in (out, out / "runs", out / "pictures"):
                for file in folder.glob(".*.tmp"):
                    file.unlink(missing_ok=True)
            yield
    except Held as error:
        raise UserError(
            f"Another report is being written into {out}.", "Wait for it, or name another --out."
        ) from error


def _write_run(page: Page, out: Path) -> None:
    """The page of one run, with copies of its pictures."""
    if page.run is None:
        return
    page.pictures = copy_pictures(page.run, out)
    points = pages.learning_curve(page.run)
    color, seed = charts.style(page.family)[0], page.found.seed or 0
    _write(
        out / page.link,
        "run.html.j2",
        root="../",
        page=page,
        found=page.found,
        facts=pages.run_facts(page),
        curve=curves("training loss", color, {seed: points}) if points else "",
    )


def _write_index(
    board: Board,
    asked: Study,
    shown: Sequence[Page],
    first: Mapping[str, Page],
    galleries: list[Gallery],
    out: Path,
) -> None:
    links = {key: page.link for key, page in first.items()}
    drawn = _curves(board, shown)
    apart = len(drawn) > MOST_CURVES
    if apart:
        _write(out / "curves.html", "curves.html.j2", root="", curves=drawn)
    groups = by_group(board.rows)
    named = titles([group for group, _ in groups])
    over_all, single = ranks(board)
    _write(
        out / "index.html",
        "index.html.j2",
        root="",
        found=findings(board, asked),
        opening=_opening(board, galleries),
        tables=pages.board_tables(board, links),
        overall=over_all,
        ranks=single,
        rank_note=RANK_NOTE,
        plots=[_plots(board, rows, named[group]) for group, rows in groups],
        curves=[] if apart else drawn,
        curves_apart=len(drawn) if apart else 0,
        galleries=galleries,
        comparisons=comparison_lines(
            [pair for pair in board.comparisons if pair.result.n >= LEAST_FOR_A_CLAIM]
        ),
        warnings=board.warnings,
        runs=pages.runs_table(shown, board.shown[0]),
        families=sorted({row.family for row in board.rows}),
        style=charts.style,
    )


def _opening(board: Board, galleries: Sequence[Gallery]) -> dict[str, Any]:
    """The picture and the plot at the top: the dataset with pictures, else the first one."""
    groups = by_group(board.rows)
    pictured = {gallery.group: gallery for gallery in galleries}
    group, rows = next((each for each in groups if each[0] in pictured), groups[0])
    best = charts.contestants(rows)
    gallery = pictured.get(group)
    seen = {id(one.row): one for one in gallery.shown} if gallery else {}
    lines = [
        (seen[id(row)], number(row.metrics[PRIMARY].mean), interval(row.metrics[PRIMARY]))
        for row in best
        if id(row) in seen
    ]
    # Floor and ceiling stay when there are too many rows.
    controls = [line for line in lines if line[0].row.family == "control"]
    others = [line for line in lines if line not in controls][: MOST_CONTESTANTS - len(controls)]
    return {
        "title": titles([group for group, _ in groups])[group],
        "gallery": gallery,
        "lines": [line for line in lines if line in controls or line in others],
        "plot": charts.intervals(best, [PRIMARY], width=3.4) if best else "",
        "measure": PRIMARY,
    }


def _plots(board: Board, rows: Sequence[Row], title: str) -> dict[str, Any]:
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


def _curves(board: Board, shown: Sequence[Page]) -> list[tuple[str, str]]:
    """A plot for each row whose runs are here, with its description."""
    members: dict[str, list[Page]] = defaultdict(list)
    for page in shown:
        if page.run:
            members[key_of(page.found.config)].append(page)
    found = []
    for row in board.rows:
        seeds = {
            page.found.seed or 0: points
            for page in members[key_of(row.config)]
            if page.run and (points := pages.learning_curve(page.run))
        }
        if seeds:
            words = f"{row.label} on {row.group.dataset}: loss by step, {len(seeds)} seeds"
            found.append((words, curves(row.name, charts.style(row.family)[0], seeds)))
    return found


def _galleries(
    board: Board, first: Mapping[str, Page], data_dir: Path, out: Path, host: Host
) -> list[Gallery]:
    found = []
    for _, rows in by_group(board.rows):
        here = [(row, first.get(key_of(row.config))) for row in rows]
        members = [(row, page.run) for row, page in here if page and page.run]
        gallery = draw_gallery(members, data_dir, out, host)
        found += [gallery] if gallery else []
    return found


def _write(path: Path, template: str, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _environment().get_template(template).render(version=__version__, **values)
    # Names of folders may hold bytes that are no UTF-8.
    write_whole(path, text.encode(errors="replace"))


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
    environment.filters["address"] = _address
    return environment


def _breakable(text: str) -> Markup:
    """A metric's key that may be broken only after its slashes."""
    return Markup("/<wbr>").join(escape(part) for part in text.split("/"))


def _address(path: str) -> str:
    """A path as the address of a link."""
    return quote(path, errors="surrogateescape")
