"""What slotbench does, as functions: for scripts and notebooks, and for every command.

    import slotbench
    slotbench.prepare("clevr", train=6_000, val=500, test=1_000)
    run = slotbench.train(objective="simclr", preset="quick")
    slotbench.evaluate(run)
    slotbench.leaderboard()             # a pandas DataFrame
    core = slotbench.load(run)          # core(images): slots, attention, features

Each function takes what its command takes, under the same names. Input that the user can mend
raises :class:`slotbench.errors.UserError`. Torch is imported by the functions that need it.
"""

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from slotbench.results.leaderboard import Board
    from slotbench.results.run import Run
    from slotbench.trained.frozen import FrozenCore
    from slotbench.trained.torch_data import ImageData
    from slotbench.training.loop import Host

DATA, RESULTS = Path("data"), Path("results")
Place = str | Path
"""Of a file or folder."""


def prepare(
    name: str,
    *,
    variant: str | None = None,
    source: Path | None = None,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    seed: int = 0,
    shifts: str | None = None,
    features: str | None = None,
    features_weights: Path | None = None,
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **options: Any,
) -> Path:
    """Make a dataset: one HDF5 file, rendered here or imported from ``source``; returns its path.

    ``train``, ``val`` and ``test`` are numbers of images (of video: clips). ``shifts`` names
    shifted test sets, with commas between, or ``all``. ``features`` names a teacher whose frozen
    features are stored too. Other options are fields of
    :class:`slotbench.datasets.prepare.preparation.Request`, such as ``workers`` and ``force``.
    """
    from slotbench.datasets.format.dataset_file import DatasetFile
    from slotbench.datasets.format.summary import summary
    from slotbench.datasets.prepare.preparation import Request
    from slotbench.datasets.prepare.preparation import prepare as make
    from slotbench.datasets.prepare.sheet import draw_sheet, draw_shifts
    from slotbench.datasets.shifts.kinds import parse
    from slotbench.progress import say

    given = {"train": train, "val": val, "test": test}
    sizes = {split: size for split, size in given.items() if size is not None}
    if features is None and features_weights is not None:
        raise UserError(
            f"--features-weights {features_weights}: of which teacher?",
            "Type --features TEACHER too.",
        )
    request = Request(
        name=name,
        variant=variant,
        source=source,
        download=download,
        image_size=image_size,
        sizes=sizes,
        seed=seed,
        shifts=() if shifts is None else parse(shifts),
        data_dir=Path(data_dir),
        **options,
    )
    teacher = None
    if features is not None:
        # Load the teacher first: a wrong name should not show up after hours of rendering.
        from slotbench.results.models import load_teacher

        teacher = load_teacher(features, features_weights, results_dir=Path(results_dir))
    path = make(request)
    if teacher is not None:
        from slotbench.datasets.prepare.stored_features import add_features

        add_features(path, teacher)
    with DatasetFile(path) as dataset:
        sheet = str(draw_sheet(dataset, path.with_suffix(".png")))
        if shifts is not None:
            sheet += f", {draw_shifts(dataset, path.with_name(f'{path.stem}-shifts.png'))}"
        for line in (*summary(dataset), f"Contact sheet: {sheet}"):
            say(line)
        say(f"Next, type: slotbench train --dataset {dataset.reference}")
    return path


def host(
    device: str = "auto",
    checkpoint_every: float = 120.0,
    gpus: int = 1,
    track: tuple[str, ...] = (),
) -> "Host":
    """Where and how runs are executed; :class:`UserError` where this machine cannot do it.

    ``checkpoint_every`` is in seconds; ``gpus`` share each batch; ``track`` names trackers.
    """
    from slotbench.report.pictures import Watcher
    from slotbench.training import devices
    from slotbench.training.loop import Host

    if not (math.isfinite(checkpoint_every) and checkpoint_every >= 0):
        raise UserError(f"--checkpoint-every {checkpoint_every}: expected seconds, 0 or above.")
    chosen = devices.choose(device)
    devices.check_processes(chosen, gpus)
    if track:
        from slotbench.tracking.tracker import check

        check(track)
    return Host(
        chosen,
        checkpoint_every,
        processes=gpus,
        trackers=track,
        observe=lambda path, config, step: Watcher(track, path, config, step),
    )


def train(
    *,
    evaluate: bool = True,
    resume: "str | Path | Run | None" = None,
    init: "str | Path | Run | None" = None,
    device: str = "auto",
    checkpoint_every: float = 120.0,
    gpus: int = 1,
    track: Iterable[str] = (),
    set: Mapping[str, Any] | None = None,
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **choice: Any,
) -> "Run":
    """Train a core by an objective, evaluate it, and return the run.

    ``choice`` are fields of :class:`slotbench.config.resolve.Choice`: ``dataset``, ``core``,
    ``objective``, ``alignment``, ``preset``, ``seed``, ``steps``, ``budget``. ``set`` sets any
    field of the configuration: ``{"core.slots": 7}``.

    ``init`` is a run whose weights this one starts from: those of the core, and of the objective
    where it is the same. ``resume`` is a run to go on with; everything else is then read from it.
    With ``resume`` and ``steps``, a finished run is extended: a run of its own goes on from its
    last step, on the schedule of a run of so many steps.
    """
    from slotbench.config.resolve import Choice
    from slotbench.results import work

    told = tuple(f"{field}={value}" for field, value in (set or {}).items())
    own = [*(key for key in choice if key != "steps"), *(["set"] if told else [])]
    own += [] if init is None else ["init"]
    if resume is not None and own:
        named = ", ".join(own)
        raise UserError(
            f"--resume {resume}: the run has its own {named}.", "Leave the other options out."
        )
    where = host(device, checkpoint_every, gpus, tuple(track))
    places = (Path(data_dir), Path(results_dir))
    if resume is not None:
        path = find(resume, results_dir).path
        run = work.resume(str(path), where, *places, evaluate=evaluate, **choice)
    else:
        choice["overrides"] = (*choice.get("overrides", ()), *told)
        earlier = None if init is None else str(find(init, results_dir).path)
        run = work.start(Choice(**choice), where, *places, evaluate=evaluate, init=earlier)
    _say_end(run, evaluated=evaluate)
    return run


def _say_end(run: "Run", *, evaluated: bool) -> None:
    """Three lines: what was learnt, where the pictures are, what to type next."""
    from slotbench.progress import say

    if evaluated:
        from slotbench.results.outcome import learnt

        say(learnt(run, run.config()))
    else:
        say("Learnt: not evaluated.")
    say(f"Pictures: {run.pictures} (of test images: slotbench show {run.id})")
    say(f"Next, type: slotbench {'leaderboard' if evaluated else f'evaluate {run.id}'}")


def evaluate(
    *runs: "str | Path | Run",
    metrics: str = "all",
    split: str = "test",
    dataset: str | None = None,
    slots: int | None = None,
    force: bool = False,
    cache: bool = True,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, dict[str, Any]]:
    """Judge trained runs; returns the document of each ``evaluation.json`` by directory.

    ``metrics`` names groups with commas between. Computes what is missing there or is of an
    older version; ``force`` computes everything anew. ``cache`` keeps the core's output.
    ``dataset`` judges them on other data than they were trained on, with ``slots`` slots (none:
    one more than it has objects); such numbers are kept apart and marked as transfer.
    """
    from slotbench.results import judge

    where = host(device)
    return {
        str(run.path): judge.evaluate(
            run,
            where,
            Path(data_dir),
            split=split,
            metrics=metrics,
            force=force,
            cached=cache,
            dataset=dataset,
            slots=slots,
        )
        for run in [find(reference, results_dir) for reference in runs]
    }


def evaluate_external(
    dataset: str,
    *,
    predictions: Place | None = None,
    name: str | None = None,
    mask_source: str = "attention",
    baseline: str | None = None,
    slots: int | None = None,
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Judge a file of predictions (docs/predictions.md), or a baseline such as ``kmeans``.

    Other options are fields of :class:`slotbench.results.judge_external.Request`: ``metrics``,
    ``seed``, ``force``.
    """
    from slotbench.results import judge_external

    request = judge_external.Request(
        dataset, data_dir=Path(data_dir), results_dir=Path(results_dir), **options
    )
    if predictions is not None:
        path, result = judge_external.evaluate_predictions(
            Path(predictions), str(name), request, mask_source=mask_source
        )
    else:
        path, result = judge_external.evaluate_baseline(str(baseline), request, slots=slots)
    return {str(path): result}


def board(results_dir: Place = RESULTS, **filters: Any) -> "Board":
    """The leaderboard with its comparisons and verdict.

    ``filters`` are those of :func:`slotbench.results.leaderboard.leaderboard`: ``dataset``,
    ``metrics``, ``core``, ``family``, ``scale``, ``ranks``.
    """
    from slotbench.results.leaderboard import leaderboard as collect

    return collect(Path(results_dir), **filters)


def leaderboard(results_dir: Place = RESULTS, **filters: Any) -> "pd.DataFrame":
    """The leaderboard as a table: a line for each row and metric, as ``--format csv`` prints.

    ``filters`` as for :func:`board`.
    """
    return board(results_dir, **filters).to_frame()


def find(run: "str | Path | Run", results_dir: Place = RESULTS) -> "Run":
    """The run of a directory or of a unique beginning of its id; a run is given back as it is."""
    from slotbench.results import run as runs

    return run if isinstance(run, runs.Run) else runs.find(str(run), Path(results_dir))


def load(
    run: "str | Path | Run",
    *,
    slots: int | None = None,
    device: str = "cpu",
    results_dir: Place = RESULTS,
) -> "FrozenCore":
    """The trained core of a run, frozen: ``load(run)(images)`` gives slots and attention.

    ``slots`` is another number of slots than in training, where the core's weights allow it.
    """
    from slotbench.trained import frozen

    return frozen.load(find(run, results_dir), slots=slots, device=host(device).device)


def dataset(reference: str, split: str = "train", *, data_dir: Place = DATA) -> "ImageData":
    """A split of a prepared dataset as a ``torch.utils.data.Dataset``.

    ``reference`` is a name, ``name:variant`` or the path of a prepared file.
    """
    from slotbench.datasets.format.places import locate
    from slotbench.trained.torch_data import ImageData

    return ImageData(locate(reference, Path(data_dir)), split)


def predict(
    run: "str | Path | Run",
    path: str | Path,
    out: Place,
    *,
    slots: int | None = None,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **options: Any,
) -> dict[str, Any]:
    """Write a run's masks, slots and overlays of pictures into the folder ``out``.

    ``path`` is a picture, a folder of pictures or a prepared dataset. ``options`` are fields of
    :class:`slotbench.trained.predict.Request`: ``split``, ``images``, ``source``, ``fit``,
    ``seed``, ``force``, ``skip_damaged``.
    """
    from slotbench.trained.predict import Request
    from slotbench.trained.predict import predict as write

    where = host(device).device
    model = load(run, slots=slots, device=device, results_dir=results_dir)
    request = Request(str(path), Path(out), data_dir=Path(data_dir), **options)
    return write(model, request, where)


def export_model(
    run: "str | Path | Run", out: Place, *, force: bool = False, results_dir: Place = RESULTS
) -> list[Path]:
    """Write a run's core as safetensors with a model card whose code loads it; returns both."""
    from slotbench.trained.card import export as write

    return write(load(run, results_dir=results_dir), Path(out), force=force)


def show(
    run: "str | Path | Run",
    *,
    images: int = 6,
    index: tuple[int, ...] = (),
    split: str = "test",
    ranked: int = 500,
    properties: bool = True,
    preview: "Callable[[Image], None] | None" = None,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """What a run is, its numbers, and its pictures, which are drawn where it has a model.

    ``preview`` gets a small picture of the masks of the first images.
    """
    from slotbench.files import parse_document, read_json
    from slotbench.progress import bar
    from slotbench.report.show import Wish, draw
    from slotbench.results import documents
    from slotbench.results.models import open_dataset, run_title, trained

    found = find(run, results_dir)
    config, drawn, judged = found.config(), {}, None
    parse_document(found.status(), documents.Status, str(found.status_file))
    if found.evaluation.is_file():
        judged = read_json(found.evaluation)
        parse_document(judged, documents.Evaluation, str(found.evaluation))
    if found.pictures.is_symlink():
        raise UserError(f"{found.pictures} is a link; slotbench draws into a folder of the run.")
    if found.model.is_file():
        wish, where = Wish(images, index, split, ranked, properties), host(device)
        with (
            open_dataset(config, Path(data_dir)) as dataset,
            bar("Drawing", 1.0, count=False) as told,
        ):
            made = draw(
                trained(found, config).to(where.device),
                dataset,
                wish,
                found.pictures,
                title=run_title(found, config),
                seed=config.seed,
                device=where.device,
                progress=told,
                preview=preview,
            )
            drawn = asdict(made)
    status = found.status()
    command = f"slotbench train --resume {shlex.quote(str(found.path))}"
    return {
        "run": str(found.path),
        "config": config.to_dict(),
        "status": status,
        "evaluation": judged,
        "pictures": [str(path) for path in sorted(found.pictures.glob("*.png"))],
        "drawn": drawn,
        "resume": command if status["state"] != "done" else "",
    }


def verify(
    target: str | Path,
    *,
    against: Path | None = None,
    recompute: bool = True,
    tolerance: float = 0.01,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Check a prepared dataset, a run or a bundle; a bundle's document has the key ``bundle``.

    A dataset's recipe and fingerprint are compared with published runs and the file ``against``.
    """
    from slotbench.progress import say
    from slotbench.results import verify as check
    from slotbench.results.bundle import is_bundle

    if not 0 <= tolerance < math.inf:
        raise UserError(f"--tolerance {tolerance}: expected a number, 0 or above.")
    path = Path(target)
    if is_bundle(path):
        from slotbench.results.recompute import verify_bundle

        return verify_bundle(
            path, Path(data_dir), device, recompute=recompute, tolerance=tolerance, say=say
        )
    if path.is_file() or path.suffix == ".h5":
        facts = check.dataset(path)
        return facts | check.agreement(facts, Path(results_dir), against)
    if against is not None:
        raise UserError(f"--against {against}: {target} is not a prepared file.")
    if path.is_dir() and not (path / "config.json").exists():
        raise UserError(
            f"{target} is a folder, and neither a run nor a bundle.",
            "Name a prepared file, a run's directory or id, or a bundle.",
        )
    return check.run(str(target), Path(results_dir))


def publish(
    runs: "Iterable[str | Path | Run]",
    out: Place,
    *,
    force: bool = False,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Write a bundle of finished runs that others can verify; returns what it holds."""
    from slotbench.results.publish import publish as write

    return write([find(run, results_dir) for run in runs], Path(out), force=force)


def report(
    out: Place | None = None,
    *,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **options: Any,
) -> Path:
    """Write the leaderboard, its plots and a page a run as a static site; returns its index.

    ``options`` are those of :func:`slotbench.report.site.write_site`: ``pictures``,
    ``question``, ``dataset``, ``suite``.
    """
    from slotbench.progress import say
    from slotbench.report.site import write_site

    out = Path(results_dir) / "report" if out is None else Path(out)
    site = write_site(Path(results_dir), out, data_dir=Path(data_dir), device=device, **options)
    say(f"{site.runs} pages of runs, {site.pictures} of their pictures.")
    return site.index


def export(
    form: str | None = None, out: Place | None = None, *, results_dir: Place = RESULTS
) -> int:
    """Write every result with its provenance, a row a run and metric; returns how many rows.

    ``form`` is ``csv`` or ``parquet``; none: by the file's name. Without ``out``, the table goes
    to stdout.
    """
    from slotbench.progress import say
    from slotbench.results import export as exporting

    out = None if out is None else Path(out)
    form = exporting.form_of(out, form)
    rows = list(exporting.results(Path(results_dir)))
    if not rows:
        raise UserError(f"No results in {results_dir}.", "Type: slotbench train")
    written = exporting.export(rows, form, out)
    if out is not None:
        say(f"{written:,} rows of {len({row['run'] for row in rows}):,} runs: {out}")
    return written


def cite(form: str = "markdown", results_dir: Place = RESULTS) -> str:
    """What a paper should say and cite for these results, as ``markdown`` or ``bibtex``."""
    from slotbench.registry import unknown
    from slotbench.results import citations
    from slotbench.results.export import results

    if form not in ("markdown", "bibtex"):
        raise unknown("format of --cite", form, ("markdown", "bibtex"))
    rows = list(results(Path(results_dir)))
    if form == "bibtex":
        return citations.to_bibtex(rows)
    return citations.to_markdown(rows, board(results_dir).verdict.sentence)


def tune(
    objectives: Iterable[str] = ("reconstruction",),
    *,
    trials: int = 12,
    workers: int = 1,
    dry_run: bool = False,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
    **choice: Any,
) -> dict[str, dict[str, Any]]:
    """Tune each objective with the same budget; returns its settings, score and cost by name.

    ``choice`` are fields of :class:`slotbench.config.resolve.Choice`. ``workers`` processes share
    the trials. ``dry_run`` trains nothing: the result is the space and the number of runs.
    """
    from slotbench.suites import tune as tuning

    return {
        objective: tuning.contest(
            objective,
            host(device),
            Path(data_dir),
            Path(results_dir),
            trials,
            workers,
            dry_run,
            choice,
        )
        for objective in objectives
    }


def speedrun(
    objective: str = "reconstruction",
    *,
    seeds: int = 5,
    every: int = 50,
    goals: int = 2,
    threads: int | None = None,
    note: str = "",
    device: str = "auto",
    data_dir: Place = DATA,
    **choice: Any,
) -> str:
    """Time training until attention finds the objects; returns a row of docs/speedrun.md.

    ``choice`` are fields of :class:`slotbench.config.resolve.Choice`; ``goals`` is 1 (FG-ARI 0.80)
    or 2 (also with mIoU 0.60); a check is made every ``every`` steps.
    """
    import torch

    from slotbench.config.resolve import Choice
    from slotbench.suites import speedrun as running

    where = host(device)
    if threads is not None:
        torch.set_num_threads(threads)
    asked = Choice(objective=objective, **choice)
    attempts = running.speedrun(asked, seeds, every, goals, where, Path(data_dir))
    return running.board_row(attempts, note, objective, where)


def bench(
    preset: str = "quick",
    *,
    dataset: str | None = None,
    device: str = "auto",
    data_dir: Place = DATA,
) -> list[dict[str, Any]]:
    """How fast this machine trains: a row an objective, with milliseconds a step."""
    from slotbench.training import bench as throughput

    return throughput.measure(preset, host(device).device, dataset, Path(data_dir))
