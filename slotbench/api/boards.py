"""Comparing and publishing runs: leaderboard, report, export, publish."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.api.data import DATA, RESULTS, DatasetName, Place, RunNames, find, several
from slotbench.errors import UserError
from slotbench.fields import Names, checked

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.results.leaderboard import Board


@checked
def board(
    results_dir: Place = RESULTS,
    *,
    dataset: DatasetName | None = None,
    metrics: Names = (),
    core: str | None = None,
    family: str | None = None,
    scale: bool = False,
    ranks: bool = False,
) -> "Board":
    """Compare all runs: every seed counts, missing cells stay missing.

    - ``dataset``: Only this dataset.
    - ``metrics``: Columns: keys or their beginnings, with commas between.
    - ``core``: Only this core.
    - ``family``: Only this family: reconstruction, self-supervised, combined, control, transfer
      or external.
    - ``scale``: Show numbers between random (0) and supervised (1).
    - ``ranks``: Show ranks, with ties where intervals overlap.

    Returns the leaderboard with its comparisons and verdict.
    """
    from slotbench.results.leaderboard import leaderboard as collect

    return collect(
        Path(results_dir),
        dataset=dataset,
        metrics=metrics if isinstance(metrics, str) else tuple(metrics),
        core=core,
        family=family,
        scale=scale,
        ranks=ranks,
    )


def leaderboard(results_dir: Place = RESULTS, **filters: Any) -> "pd.DataFrame":
    """The leaderboard as a table: a line for each row and metric, as ``--format csv`` prints.

    ``filters`` as for :func:`board`.
    """
    return board(results_dir, **filters).to_frame()


def publish(
    runs: RunNames, out: Place, *, force: bool = False, results_dir: Place = RESULTS
) -> dict[str, Any]:
    """Write finished runs, with their weights and hashes, for others to verify.

    - ``runs``: Directories or ids.
    - ``out``: A folder or .zip to write; .json: records without weights.
    - ``force``: Replace a bundle that is there.

    Returns the content of the bundle.
    """
    from slotbench.results.publish import publish as write

    return write([find(run, results_dir) for run in several(runs)], Path(out), force=force)


def report(
    out: Place | None = None,
    *,
    dataset: DatasetName | None = None,
    suite: str | None = None,
    question: str | None = None,
    pictures: bool = True,
    force: bool = False,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> Path:
    """Write the leaderboard, its plots and a page a run as a static site.

    - ``out``: Folder of the site; none: <results-dir>/report.
    - ``dataset``: Only this dataset.
    - ``suite``: Only this suite's runs, and its question; a file or a name.
    - ``question``: The question above the answer; none: the suite's, or the project's.
    - ``pictures``: Draw masks of the same images, by the first run of each row.
    - ``force``: Replace an index.html that slotbench did not write.

    Returns the site's index.
    """
    from slotbench.progress import counted, say
    from slotbench.report.site import write_site

    site = write_site(
        Path(results_dir),
        Path(results_dir) / "report" if out is None else Path(out),
        data_dir=Path(data_dir),
        device=device,
        pictures=pictures,
        question=question,
        dataset=dataset,
        suite=suite,
        force=force,
    )
    say(f"Wrote {counted(site.runs, 'page')} of runs and {counted(site.pictures, 'picture')}.")
    return site.index


def export(
    form: str | None = None, out: Place | None = None, *, results_dir: Place = RESULTS
) -> int:
    """Write every result with its provenance: a row for each run and metric.

    - ``form``: csv or parquet; none: by the file's name.
    - ``out``: Write here; none: stdout.

    Returns how many rows were written.
    """
    from slotbench.progress import counted, say
    from slotbench.results import export as exporting

    out = None if out is None else Path(out)
    form = exporting.form_of(out, form)
    rows = list(exporting.results(Path(results_dir)))
    if not rows:
        raise UserError(f"No results in {results_dir}.", "Type: slotbench train")
    exporting.export(rows, form, out)
    if out is not None:
        runs = counted(len({row["run"] for row in rows}), "run")
        say(f"{counted(len(rows), 'row')} of {runs}: {out}")
    return len(rows)


def cite(form: str = "markdown", results_dir: Place = RESULTS) -> str:
    """The sentences and sources for a paper, as ``markdown`` or ``bibtex``."""
    from slotbench.registry import unknown
    from slotbench.results import citations
    from slotbench.results.export import results

    if form not in ("markdown", "bibtex"):
        raise unknown("format of --cite", form, ("markdown", "bibtex"))
    rows = list(results(Path(results_dir)))
    if form == "bibtex":
        return citations.to_bibtex(rows)
    return citations.to_markdown(rows, board(results_dir).verdict.sentence)
