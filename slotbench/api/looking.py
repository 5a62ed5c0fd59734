"""Looking at results: evaluate, show, verify."""

import math
import os
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.api.data import (
    DATA,
    RESULTS,
    DatasetName,
    Place,
    RunName,
    RunNames,
    find,
    host,
    several,
)
from slotbench.errors import SlotbenchError, UserError
from slotbench.fields import Names, listed

if TYPE_CHECKING:
    from PIL.Image import Image

    from slotbench.results.run import Run


def evaluate(
    *runs: RunNames,
    metrics: Names = "all",
    split: str = "test",
    predictions: Place | None = None,
    baseline: str | None = None,
    dataset: DatasetName | None = None,
    name: str | None = None,
    mask_source: str = "attention",
    slots: int | None = None,
    seed: int = 0,
    force: bool = False,
    cache: bool = True,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, dict[str, Any]]:
    """Evaluate trained runs, predictions from elsewhere or a baseline.

    Numbers that are missing or of an older version are computed; the others are read from the
    run's evaluation.json.

    - ``runs``: Directories or ids.
    - ``metrics``: Groups, with commas between; all: each but decoder-probe, which takes minutes.
    - ``split``: The split to evaluate on.
    - ``predictions``: Evaluate masks and slots from elsewhere: docs/predictions.md.
    - ``baseline``: Evaluate a trivial masker: one-segment, voronoi or kmeans.
    - ``dataset``: Dataset of the predictions or the baseline; of a run: other data to evaluate it
      on. Such numbers are stored apart and marked as transfer.
    - ``name``: Name of the predictions.
    - ``mask_source``: Source of the predictions' `masks`: attention, decoder or predictor.
    - ``slots``: Slots of a baseline, or of a run on other data; none: objects + 1.
    - ``seed``: Seed of the probes, for predictions and baselines.
    - ``force``: Compute every number again.
    - ``cache``: Keep the core's output on each split.

    Returns the document of each ``evaluation.json`` by directory.
    """
    from slotbench.evaluation.groups import chosen
    from slotbench.results import judge, judge_external
    from slotbench.results.publish import writable

    own: dict[str, Any] = {"mask_source": mask_source, "slots": slots, "seed": seed}
    names = [run for each in runs for run in several(each)]
    judge_external.check_options(names, predictions, baseline, dataset, name, split, **own)
    places, where = (Path(data_dir), Path(results_dir)), host(device)
    metrics = listed(metrics)
    if names:
        chosen(metrics)  # one error instead of one for each run
        asked: dict[str, Any] = {"split": split, "metrics": metrics, "force": force}
        asked |= {"cached": cache, "dataset": dataset, "slots": slots}
        found = [find(run, results_dir) for run in names]
        return _judge_all(
            [writable(run, places[1]) for run in found],
            lambda run: judge.evaluate(run, where, places[0], **asked),
        )
    request = judge_external.Request(str(dataset), metrics, seed, *places, force)
    if predictions is not None:
        path, result = judge_external.evaluate_predictions(
            Path(predictions), str(name), request, mask_source=mask_source
        )
    else:
        path, result = judge_external.evaluate_baseline(str(baseline), request, slots=slots)
    return {str(path): result}


def _judge_all(
    runs: "list[Run]", judge: "Callable[[Run], dict[str, Any]]"
) -> dict[str, dict[str, Any]]:
    """The evaluations by directory. One bad run of several is named and stops no other."""
    from slotbench.progress import warn

    judged, failed = dict[str, dict[str, Any]](), list[str]()
    for run in runs:
        try:
            judged[str(run.path)] = judge(run)
        except SlotbenchError as error:
            if len(runs) == 1:
                raise
            warn(f"{run.path}: {error}")
            failed.append(run.id)
    if failed:
        said = f"{len(failed)} of {len(runs)} runs could not be evaluated: {', '.join(failed)}"
        raise UserError(f"{said}.", "The reasons are above; the other runs are evaluated.")
    return judged


def show(
    run: RunName,
    *,
    images: int | None = None,
    index: Iterable[str] | Iterable[int] | str | int | None = None,
    split: str = "test",
    ranked: int = 500,
    properties: bool = True,
    preview: "Callable[[list[Image]], None] | None" = None,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Show a run: its settings, its numbers and its pictures.

    - ``images``: How many of the first images to draw; none: 6, of which a terminal shows those
      that fit.
    - ``index``: Draw these images instead; they count from 0.
    - ``split``: The split to draw from.
    - ``ranked``: Score this many images to find the best and the worst; 0: none.
    - ``properties``: Draw property predictions.

    Returns one document. Pictures are drawn where the run has a model; ``lacking`` says what to
    prepare if its dataset is not here. ``preview`` gets a small picture of each image and its
    masks.
    """
    from slotbench.files import parse_document, reason_of
    from slotbench.progress import bar
    from slotbench.report.seen import Viewer
    from slotbench.report.show import draw
    from slotbench.results import documents
    from slotbench.results.models import open_dataset, run_title, trained
    from slotbench.results.publish import writable

    indices, found = _indices(index), find(run, results_dir)
    found.check()
    config, drawn, lacking = found.config(), {}, ""
    if found.model.is_file():
        try:
            open_dataset(config, Path(data_dir), alike=True).close()
        except UserError as error:
            lacking = f"No pictures, because they need the dataset. {error}"
        else:
            found = writable(found, Path(results_dir))
    status = found.status()
    parse_document(status, documents.Status, str(found.status_file))
    judged = _evaluation(found)
    if found.pictures.is_symlink():
        raise UserError(f"{found.pictures} is a link; slotbench draws into a folder of the run.")
    if found.model.is_file() and not lacking:
        where = host(device).device
        with (
            open_dataset(config, Path(data_dir), alike=True) as dataset,
            bar("Drawing", 1.0, count=False) as told,
        ):
            try:
                made = draw(
                    Viewer(trained(found, config).to(where), dataset, split, config.seed, where),
                    found.pictures,
                    title=run_title(found, config),
                    images=6 if images is None else images,
                    indices=indices,
                    ranked=ranked,
                    properties=properties,
                    progress=told,
                    preview=preview,
                )
                drawn = asdict(made)
            except OSError as error:  # such as in a run's folder that is read-only
                lacking = f"No pictures: {reason_of(error)}"
    command = f"slotbench train --resume {shlex.quote(str(found.path))}"
    return {
        "run": str(found.path),
        "config": config.to_dict(),
        "status": status,
        "evaluation": judged,
        "pictures": [str(path) for path in sorted(found.pictures.glob("*.png"))],
        "drawn": drawn,
        "lacking": lacking,
        "resume": command if status["state"] != "done" else "",
    }


def _evaluation(run: "Run") -> dict[str, Any] | None:
    """The stored evaluation of a run, checked; None where it has none."""
    from slotbench.files import parse_document, read_json
    from slotbench.results import documents

    if not os.path.lexists(run.evaluation):
        return None
    try:
        judged: dict[str, Any] = read_json(run.evaluation)
        parse_document(judged, documents.Evaluation, str(run.evaluation))
    except UserError as error:
        raise UserError(error.message, f"Type: slotbench evaluate {run.typed}") from error
    return judged


def _indices(given: Iterable[str] | Iterable[int] | str | int | None) -> tuple[int, ...]:
    """The images of ``--index``; none where it was not typed."""
    if given is None:
        return ()
    words = listed(given)
    if not (words and all(re.fullmatch("[0-9]{1,18}", word) for word in words)):
        told = ",".join(words)
        raise UserError(f"--index {told}: expected numbers with commas between, from 0.")
    return tuple(map(int, words))


def verify(
    target: RunName,
    *,
    against: Place | None = None,
    recompute: bool = True,
    tolerance: float = 0.01,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Check that a dataset, a run or a bundle is whole and unchanged.

    A dataset's recipe and fingerprint are compared with the published runs'. Rendered data of one
    recipe count as the same; the fingerprint tells whether every byte is.

    A bundle's hashes are checked, and its numbers are computed again where the dataset is prepared;
    the digits that moved are shown. A changed bundle is an error (exit code 2); numbers that moved
    too far are a failure (1).

    - ``target``: A prepared dataset (its name or its file), a run or a bundle.
    - ``against``: Another prepared dataset: compare recipe and fingerprint.
    - ``recompute``: Compute a bundle's numbers again from its weights.
    - ``tolerance``: How far a number of a bundle may move.

    Returns the facts; a bundle's document has the key ``bundle``.
    """
    from h5py import is_hdf5

    from slotbench.datasets.format.places import ENDINGS, is_known, locate
    from slotbench.results import verify as check
    from slotbench.results.bundle import is_bundle

    if not 0 <= tolerance < math.inf:
        raise UserError(f"--tolerance {tolerance}: expected a number, 0 or above.")
    path = Path(target if isinstance(target, str | Path) else target.path)
    data_dir = Path(data_dir)
    if is_known(str(target)) and not os.path.lexists(path):
        path = locate(str(target), data_dir)
    if is_bundle(path):
        from slotbench.results.recompute import verify_bundle

        return verify_bundle(path, data_dir, device, recompute=recompute, tolerance=tolerance)
    if path.suffix in ENDINGS or is_hdf5(path):
        other = None if against is None else locate(against, data_dir)
        facts = check.dataset(path)
        return facts | check.agreement(facts, Path(results_dir), other)
    if against is not None:
        raise UserError(f"--against {against}: {target} is not a prepared dataset.")
    if os.path.lexists(path) and not (path / "config.json").exists():
        kind_of = "folder" if path.is_dir() else "file"
        raise UserError(
            f"{target} is a {kind_of}, and no prepared dataset, run or bundle.",
            "Name a prepared dataset, a run's directory or id, or a bundle.",
        )
    return check.run(find(target, results_dir))
