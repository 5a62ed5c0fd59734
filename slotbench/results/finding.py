"""Finds runs in a results folder, and among the published ones, by a directory or an id."""

import os
from collections.abc import Iterable
from pathlib import Path

from slotbench import files
from slotbench.errors import UserError
from slotbench.progress import first_of
from slotbench.results import published_runs
from slotbench.results.run import Run


def all_runs(results_dir: Path) -> list[Run]:
    """Every run directory, sorted by path."""
    return [Run(file.parent) for file in sorted(results_dir.glob("runs/*/*/*/config.json"))]


def find(reference: str, results_dir: Path, *, published: bool = False) -> Run:
    """The run with this directory, or with this unique prefix of ``<seed>-<id>`` or ``<id>``.

    ``published`` also finds published runs with weights, if no run of the folder matches.
    """
    path = Path(reference)
    if (path / "config.json").is_file():
        return Run(path)
    runs = all_runs(results_dir)
    found, others = _named(reference, runs), dict[str, Run]()
    if published and not found:
        every = [Run(Path(path)) for path in published_runs(results_dir)]
        others = {run.id: run for run in every}
        found = _named(reference, others.values())
        if len(found) == 1:  # equal copies are one run
            copies = [run for run in every if run.id == found[0].id and run.model.is_file()]
            if len(copies) > 1:
                found = list({files.sha256_of(run.model): run for run in copies}.values())
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(run.path) for run in found[:4])
        advice = "Type more of the id, or a directory."
        raise UserError(f"{len(found)} runs match {reference!r}: {listed}.", advice)
    told = [
        f"{where}: {first_of([f'{run.id} ({run.path.parent.name})' for run in known], 6)}."
        for where, known in (("There are", runs), ("Published", others.values()))
        if known
    ]
    advice = " ".join(told) or "Type: slotbench train"
    where = results_dir / "runs"
    if len(path.parts) > 1 or os.path.lexists(path):
        fault = "it is no folder" if os.path.lexists(path) else "it does not exist"
        fault = "the folder has no file config.json" if path.is_dir() else fault
        wanted = f"Expected a folder such as {where}/DATASET/CORE+OBJECTIVE/SEED-ID, or an id."
        raise UserError(f"{path} is no run: {fault}. {wanted}", advice)
    problem = f" in {where}" if runs else f": {where} holds none"
    none = ", and no published run has that id" if others else ""
    raise UserError(f"No run {reference!r}{problem}{none}.", advice)


def _named(reference: str, runs: Iterable[Run]) -> list[Run]:
    """The runs whose ``<seed>-<id>`` or ``<id>`` begins with the reference."""
    if not reference:
        return []
    names = [(run, (run.id, run.id.partition("-")[2])) for run in runs]
    return [run for run, known in names if any(name.startswith(reference) for name in known)]
