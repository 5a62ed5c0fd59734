"""Writes the site: an index, a page for each run, and a folder of pictures."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from slotbench import __version__
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import check_folder, naming, read_bytes, write_whole
from slotbench.locks import Held, hold
from slotbench.progress import bar, counted, say
from slotbench.report.site import pages
from slotbench.report.site.curves import curves
from slotbench.report.site.findings import findings, opening, ranks, row_by_row
from slotbench.report.site.pages import Page, Panel
from slotbench.report.site.study import Study, study
from slotbench.results.leaderboard import Board, leaderboard
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.filters import summed_up
from slotbench.results.leaderboard.grouping import by_group
from slotbench.results.leaderboard.ranks import NOTE as RANK_NOTE
from slotbench.results.run import Run

if TYPE_CHECKING:
    from slotbench.report.site.gallery import Gallery

MOST_CURVES = 24
"""Learning curves of the index; more have a page of their own."""
MOST_BYTES = 2**26
"""Largest picture that is copied."""
NAMES = ("index.html", "curves.html", "rows.js", "site.css", "runs", "pictures", ".lock")
"""Files and folders of a site."""


@dataclass(frozen=True)
class Site:
    """The index that was written, and counts."""

    index: Path
    runs: int
    pictures: int


def write_site(
    results_dir: Path,
    out: Path,
    *,
    data_dir: Path,
    device: str = "auto",
    pictures: bool = True,
    question: str | None = None,
    dataset: str | Path | None = None,
    suite: str | None = None,
    force: bool = False,
) -> Site:
    """Write ``index.html``, ``runs/`` and ``pictures/`` into ``out``.

    With ``pictures``, the first run of each row shows the same test images, and its missing
    pictures are drawn; this needs its model and its dataset. ``suite``, a file or a name, restricts
    the page to the suite's runs and asks its question. ``force`` replaces files with the names of a
    site's that are no site.

    :class:`UserError` as for :func:`slotbench.results.leaderboard.leaderboard`, for an unknown
    suite, where another report is being written into ``out``, or where it holds other things.
    """
    if not _ours(out):
        check_folder(out, NAMES, force=force)
    everything = find(results_dir)
    asked = study(everything, data_dir, results_dir, device, suite, question)
    runs = [run for run in everything if not suite or asked.runs is None or run.run in asked.runs]
    kept = {run.row for run in runs}
    board = leaderboard(
        results_dir,
        dataset=dataset,
        keep=(lambda row: row.key in kept) if suite else None,
        found=everything,
    )
    shown = [
        Page(run, Run(run.path) if run.path and run.state != "unreadable" else None) for run in runs
    ]
    first = {page.found.row: page for page in reversed(shown) if page.found.counts and page.run}
    with _alone(out):
        galleries = _galleries(board, first, data_dir, out, device) if pictures else []
        _write(out / "site.css", _environment().get_template("site.css").render())
        with bar("Writing pages", len(shown) + 1) as progress:
            for done, page in enumerate(shown, start=1):
                _write_run(page, out)
                if done % 50 == 0:
                    progress.set(done)
            _write_index(board, asked, shown, first, galleries, out)
            progress.set(len(shown) + 1)
    drawn = sum(len(page.pictures) for page in shown)
    return Site(out / "index.html", sum(bool(page.run) for page in shown), drawn)


def _ours(out: Path) -> bool:
    """Whether a folder holds a site by slotbench, finished or not."""
    index = out / "index.html"
    if index.is_file():
        return b"<p>Written by slotbench " in index.read_bytes()
    return not os.path.lexists(index) and (out / ".lock").is_file()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lock the site's folder, and remove the unfinished files of a killed report."""
    try:
        for folder in (out, out / "runs", out / "pictures"):
            folder.mkdir(parents=True, exist_ok=True)
        with hold(out / ".lock"):
            for file in out.rglob(".*.tmp"):
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
    page.pictures, found = _copy_pictures(page.run, out), page.found
    title, family = "training loss", page.found.family or "unknown"
    curve = curves(title, family, {0: page.curve}) if page.curve else ""
    facts = pages.run_facts(page)
    text = _render("run.html.j2", page=page, found=found, facts=facts, curve=curve)
    _write(out / "runs" / f"{page.name}.html", text)


def _copy_pictures(run: Run, out: Path) -> list[Panel]:
    """Copy the pictures of a run beside the pages; a link that leaves the run is not followed."""
    found = []
    for file in sorted(run.pictures.glob("test*.png"), key=lambda each: (len(each.name), each)):
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(run.path)):
            say(f"{file} leads out of the run and is left out.")
            continue
        try:
            content = read_bytes(file, MOST_BYTES)
        except SlotbenchError as error:
            say(f"Left out: {error}")
            continue
        name = f"pictures/{run.id}-{file.name}"
        write_whole(out / name, content)
        found.append(Panel(name, file.stem.replace("-", " ")))
    return found


def _write_index(
    board: Board,
    asked: Study,
    shown: Sequence[Page],
    first: Mapping[str | None, Page],
    galleries: "list[Gallery]",
    out: Path,
) -> None:
    drawn = _curves(board, shown)
    apart = len(drawn) > MOST_CURVES
    if apart:
        _write(out / "curves.html", _render("curves.html.j2", curves=drawn))
    top = opening(board, galleries)
    links = {str(key): page.link for key, page in first.items()}
    tables = {"board": pages.board_data(board, links, top["group"]), "runs": pages.runs_data(shown)}
    most = pages.MOST_ROWS
    more = {name: table["rows"][most:] for name, table in tables.items()}
    data = {name: {**table, "rows": table["rows"][:most]} for name, table in tables.items()}
    if any(more.values()):
        _write(out / "rows.js", f"slotbench({_json(more)});\n")
    text = _render(
        "index.html.j2",
        found=findings(board, asked),
        opening=top,
        data=_json(data),
        more=any(more.values()),
        datasets=tables["board"]["datasets"],
        ranks=ranks(board),
        rank_note=RANK_NOTE,
        curves=[] if apart else drawn,
        curves_apart=len(drawn) if apart else 0,
        galleries=galleries,
        comparisons=row_by_row(board),
        warnings=summed_up(board.warnings),
        families=sorted({row.family for row in board.rows}),
    )
    _write(out / "index.html", text)


def _curves(board: Board, shown: Sequence[Page]) -> list[tuple[str, Markup]]:
    """A plot for each row with local runs, with its description."""
    members: dict[str | None, list[Page]] = defaultdict(list)
    for page in shown:
        members[page.found.row].append(page)
    found = []
    for row in board.rows:
        if seeds := {page.found.seed or 0: page.curve for page in members[row.key] if page.curve}:
            count = counted(len(seeds), "seed")
            words = f"{row.label} on {row.group.dataset}: loss by step, {count}"
            found.append((words, curves(row.name, row.family, seeds)))
    return found


def _galleries(
    board: Board, first: Mapping[str | None, Page], data_dir: Path, out: Path, device: str
) -> "list[Gallery]":
    # Without pictures, torch is not needed.
    from slotbench.report.site.gallery import draw_galleries
    from slotbench.training.devices import choose

    groups = []
    for _, rows in by_group(board.rows):
        here = [(row, first.get(row.key)) for row in rows]
        groups.append([(row, page.run) for row, page in here if page and page.run])
    return draw_galleries(groups, data_dir, out, choose(device))


def _json(document: Any) -> Markup:
    """A document as JavaScript that is safe inside HTML."""
    return htmlsafe_json_dumps(document, separators=(",", ":"), allow_nan=False)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(version=__version__, **values)


def _write(path: Path, text: str) -> None:
    """Write a page whole, without waiting for the disk: a report can be made again."""
    temporary = path.with_name(f".{path.name}.tmp")
    # Names of folders may not be valid UTF-8.
    try:
        with naming(path):
            temporary.write_bytes(text.encode(errors="replace"))
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    # Some file systems wait for the disk where a file is renamed over another.
    path.unlink(missing_ok=True)
    temporary.rename(path)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("slotbench.report.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A metric's key may be broken after its slashes, a combination's name after its plus.
    environment.filters["breakable"] = lambda name: Markup(
        re.sub("([/+])", r"\1<wbr>", str(escape(name)))
    )
    environment.filters["address"] = lambda path: quote(path, errors="surrogateescape")
    return environment
