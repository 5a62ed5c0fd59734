"""Training one run, tuning, whole studies, timing."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import registry
from slotbench.api.data import DATA, RESULTS, DatasetName, Place, RunName, find, host
from slotbench.errors import UserError
from slotbench.fields import Names, Workers, listed, text_of
from slotbench.fields import workers as workers_of
from slotbench.files import typed

if TYPE_CHECKING:
    from slotbench.results.run import Run
    from slotbench.suites.drive import Picture

Settings = Iterable[str] | str | Mapping[str, Any]
"""``section.field=value``, once or several times, or ``section.field`` -> value."""


def _texts(settings: Settings) -> tuple[str, ...]:
    if isinstance(settings, Mapping):
        return tuple(f"{field}={text_of(value)}" for field, value in settings.items())
    return (settings,) if isinstance(settings, str) else tuple(settings)


def train(
    *,
    dataset: DatasetName | None = None,
    core: str | None = None,
    objective: str | None = None,
    alignment: str | None = None,
    teacher: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    budget: str | None = None,
    set: Settings = (),
    resume: RunName | None = None,
    init: RunName | None = None,
    evaluate: bool = True,
    track: Names = (),
    gpus: int = 1,
    device: str = "auto",
    checkpoint_every: float = 120.0,
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> "Run":
    """Train a core by an objective and evaluate it.

    - ``dataset``: NAME, NAME:VARIANT or a file; none: clevr.
    - ``core``: The core; none: slot-attention.
    - ``objective``: The objective; none: reconstruction.
    - ``alignment``: How slots of two views are paired; none: the first, where the objective
      takes any.
    - ``teacher``: The network whose features are learned, where the objective has one.
    - ``preset``: The preset; none or auto: base on a GPU, else quick.
    - ``seed``: Seed of weights, order and views; none: 0.
    - ``steps``: Optimiser steps; none: the preset's. With --resume: extend a finished run.
    - ``budget``: Such as 4000:steps, 64000:images, 600:seconds or 2e15:flops.
    - ``set``: Set any field of the configuration; of two values, the last counts.
    - ``resume``: Continue this run, as it is configured.
    - ``init``: Start from this run's core, and from its objective where it is the same.
    - ``evaluate``: Evaluate at the end.
    - ``track``: Send metrics there too; several with commas between.
    - ``gpus``: GPUs that share each batch; with --device cpu, as many processes.
    - ``checkpoint_every``: Seconds from one checkpoint to the next.

    Returns the run. With ``resume`` and ``steps``, a new run extends a finished one: it continues
    from the last step, on the schedule of a run of ``steps`` steps.
    """
    from slotbench.results import work
    from slotbench.training.distributed import first_rank

    typed = {
        "dataset": None if dataset is None else str(dataset),
        "core": core,
        "objective": objective,
        "alignment": alignment,
        "preset": preset,
        "seed": seed,
        "budget": budget,
    }
    choice: dict[str, Any] = {key: value for key, value in typed.items() if value is not None}
    told = _texts(set)
    where = host(device, checkpoint_every, gpus, track)
    places = (Path(data_dir), Path(results_dir))
    if resume is None:
        from slotbench.config.resolve import Choice, teacher_settings

        learned = (
            () if teacher is None else teacher_settings(objective or Choice.objective, teacher)
        )
        told = (*learned, *told)
        asked = Choice(**choice, steps=steps, overrides=told, results_dir=str(results_dir))
        earlier = None if init is None else str(find(init, results_dir).path)
        run = work.start(asked, where, *places, evaluate=evaluate, init=earlier)
    else:
        others = {"teacher": teacher, "set": told or None, "init": init}
        for name in (*choice, *(key for key, value in others.items() if value is not None)):
            raise UserError(
                f"--{name} with --resume {resume}: the run has its own configuration.",
                f"Leave --{name} out, or leave --resume out to train another run.",
            )
        path = str(find(resume, results_dir).path)
        run = work.resume(path, where, *places, evaluate=evaluate, steps=steps)
    if first_rank():
        _say_end(run, data_dir, results_dir, evaluated=evaluate)
    return run


def _say_end(run: "Run", data_dir: Place, results_dir: Place, *, evaluated: bool) -> None:
    """Say the score, the place of the pictures, and the next command."""
    from slotbench.progress import say

    evaluated = evaluated or run.evaluation.is_file()  # by an earlier command
    if evaluated:
        from slotbench.results.outcome import learnt

        say(learnt(run, run.config()))
    else:
        say("Learnt: not evaluated.")
    data, results = typed("data", data_dir), typed("results", results_dir)
    say(f"Pictures: {run.pictures} (of test images: slotbench show {run.typed}{data})")
    following = f"leaderboard{results}" if evaluated else f"evaluate {run.typed}{data}"
    say(f"Next, type: slotbench {following}")


def reproduce(
    study: str,
    *,
    row: str,
    seed: int | None = None,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, Any]:
    """Train one more seed of a published row; say whether it falls in the published interval.

    The row's own settings are trained on one more seed, evaluated, and compared with the interval
    that holds 95 of 100 further seeds. A value outside of it ends with exit code 1.

    - ``study``: A file or bundle of published records, without its ending, or the beginning of
      several.
    - ``row``: An objective, objective/alignment, or a row's key.
    - ``seed``: The seed to train; none: the first that is not published.

    Returns the comparison, a metric at a time, the primary measure first.
    """
    from slotbench.results.reproduce import reproduce as again

    return again(study, row, seed, host(device), Path(data_dir), Path(results_dir))


def tune(
    objective: Names = ("reconstruction",),
    *,
    dataset: DatasetName = "clevr",
    core: str = "slot-attention",
    alignment: str | None = None,
    trials: int = 12,
    steps: int | None = None,
    preset: str = "auto",
    set: Settings = (),
    workers: Workers = 1,
    dry_run: bool = False,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> dict[str, dict[str, Any]]:
    """Tune contestants alike: the same space, trials and steps, on seeds of their own.

    Trials are compared by fg_ari/attention on 200 images of val. The best settings are written to
    results/tuning/tuned, where --preset tuned reads them with the same --results-dir.

    - ``objective``: The objectives, with commas between; each has the same budget.
    - ``dataset``: NAME, NAME:VARIANT or a file.
    - ``core``: The core.
    - ``alignment``: How slots of two views are paired.
    - ``trials``: Trials of each contestant.
    - ``steps``: Steps of a trial; none: the preset's.
    - ``preset``: The preset that the settings change.
    - ``set``: Set any field of the configuration, in every trial.
    - ``workers``: Trials at once, a process each; all: one a core, as memory allows.
    - ``dry_run``: Print space and cost only.

    Returns settings, score and cost by objective; with ``dry_run``, the space and the number of
    runs.
    """
    from slotbench.suites import tune as tuning
    from slotbench.suites.local import processes

    choice = {
        "dataset": str(dataset),
        "core": core,
        "alignment": alignment,
        "steps": steps,
        "preset": preset,
        "overrides": _texts(set),
        "results_dir": str(results_dir),
    }
    places, count = (Path(data_dir), Path(results_dir)), workers_of(workers) or processes()
    if not listed(objective):
        raise UserError("--objective names none.", "Type: slotbench list objectives")

    def contest(each: str, dry: bool) -> dict[str, Any]:
        return tuning.contest(each, host(device), *places, trials, count, dry, choice)

    # All are checked before the first is tuned for hours.
    found = {each: contest(each, True) for each in listed(objective)}
    return found if dry_run else {each: contest(each, False) for each in found}


def suite_run(
    suite: str,
    *,
    engine: str = "local",
    workers: Workers = None,
    address: str | None = None,
    option: Iterable[str] = (),
    prepare: bool = False,
    retry: bool = False,
    device: str = "auto",
    data_dir: Place = DATA,
    results_dir: Place = RESULTS,
) -> "Picture":
    """Run the runs of a suite that are not done; failed ones wait for retry.

    - ``suite``: A suite's file, or its name.
    - ``engine``: The engine that runs them.
    - ``workers``: Runs at once; all or none: a GPU each, else a core each as memory allows.
    - ``address``: Address of a Ray cluster, or auto; none: one is started here.
    - ``option``: An option of submitit, such as slurm_partition=gpu; repeat for several.
    - ``prepare``: Prepare missing datasets first.
    - ``retry``: Run the failed ones, too.

    Returns how it stands: ``counts`` of runs by state, and each run in ``cells("failed")``.
    """
    from slotbench.suites import commands

    told, count = {}, workers_of(workers)
    for text in option:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UserError(f"--option {text}: expected KEY=VALUE.")
        told[key] = value
    registry.get("engines", engine)  # a mistake ends here, before data are prepared
    where = commands.Where(Path(data_dir), Path(results_dir), device)
    found = commands.find(suite, where.results_dir)
    if prepare:
        commands.prepare(found, where)
    return commands.run(
        found, where, engine, workers=count, address=address, options=told, retry=retry
    )


def suite_status(
    suite: str, *, device: str = "auto", data_dir: Place = DATA, results_dir: Place = RESULTS
) -> "Picture":
    """Show the state of every run of a suite.

    - ``suite``: A suite's file, or its name.

    Returns how it stands, as :func:`suite_run` does.
    """
    from slotbench.suites import commands

    where = commands.Where(Path(data_dir), Path(results_dir), device)
    return commands.status(commands.find(suite, where.results_dir), where)


def speedrun(
    objective: str = "reconstruction",
    *,
    dataset: DatasetName = "clevr",
    preset: str = "quick",
    set: Settings = (),
    seeds: int = 5,
    every: int = 50,
    goals: int = 2,
    note: str = "",
    threads: int = 2,
    device: str = "auto",
    data_dir: Place = DATA,
) -> str:
    """Time training until attention finds the objects of 200 validation images.

    The clock stops during the checks. The row has processor time and wall time.

    - ``objective``: The objective.
    - ``dataset``: NAME, NAME:VARIANT or a file.
    - ``preset``: The preset that the settings change.
    - ``set``: Set any field of the configuration; of two values, the last counts.
    - ``seeds``: How many seeds, from 0, one after the other.
    - ``every``: Steps from one check to the next.
    - ``goals``: 1: FG-ARI 0.80; 2: also with mIoU 0.60.
    - ``note``: The change, for the row.
    - ``threads``: Threads of torch on a CPU.

    Returns the row, as docs/speedrun.md has it.
    """
    import torch

    from slotbench.config.resolve import Choice
    from slotbench.suites import speedrun as running

    if goals not in (1, 2):
        raise UserError(f"--goals {goals}: expected 1 or 2.")
    for name, value in (("seeds", seeds), ("every", every), ("threads", threads)):
        if value < 1:
            raise UserError(f"--{name} {value}: expected at least 1.")
    where = host(device)
    torch.set_num_threads(threads)
    told = _texts(set)
    asked = Choice(objective=objective, dataset=str(dataset), preset=preset, overrides=told)
    attempts = running.speedrun(asked, seeds, every, goals, where, Path(data_dir))
    note = note or " ".join(told) or f"{preset} as it is"
    return running.board_row(attempts, note, objective, where)


def bench(
    preset: str = "quick",
    *,
    dataset: DatasetName | None = None,
    device: str = "auto",
    data_dir: Place = DATA,
) -> list[dict[str, Any]]:
    """Measure the throughput of this machine: seconds a step for every objective.

    - ``preset``: The preset.
    - ``dataset``: Also time loading from this dataset.

    Returns a row an objective, with milliseconds a step.
    """
    from slotbench.training import bench as throughput

    return throughput.measure(preset, host(device).device, dataset, Path(data_dir))
