"""``slotbench tune``: the same number of trials for every contestant, over a declared space.

Every section of a configuration declares the values to try (``space``). A trial trains a run on a
seed from 1000 up and scores it by ``fg_ari/attention`` on the first images of val. Results are
reported on other seeds and images. Optuna's TPE proposes the settings; successive halving ends poor
trials early. The best settings are trained on further seeds, and those with the best mean are
written to ``tuning/tuned`` in the results folder.
"""

import json
import math
import os
import shlex
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import torch
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from slotbench import plugins
from slotbench.config import tuned
from slotbench.config.resolve import Choice, check_names, dataset_info, kinds_of
from slotbench.config.run_config import RunConfig, parse_override
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.errors import RunLocked, SlotbenchError, TrainingError, UserError, interrupted
from slotbench.files import typed
from slotbench.locks import changing, held, hold
from slotbench.objectives.objective import Objective
from slotbench.progress import counted, say
from slotbench.results.models import trained
from slotbench.results.run import Run
from slotbench.results.work import carry_out, preset_for
from slotbench.rng import seed_of
from slotbench.suites.speedrun import IMAGES, check_masks, val_scores
from slotbench.suites.trials import (
    FINALISTS,
    FIRST_SEED,
    RUNGS,
    SEEDS,
    Plan,
    in_words,
    rounded,
    suggest,
    untouched,
)
from slotbench.training.loop import Host, Observer
from slotbench.training.signals import end_with

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Pruned(SlotbenchError):  # noqa: N818  # no failure
    """Successive halving has ended a trial."""


class _Work:
    """The trials of one contestant on a dataset, for one process.

    The study is kept in ``results/tuning/<dataset>.db``; runs are below the same folder.
    """

    def __init__(self, plan: Plan, host: Host, dataset: DatasetFile, results_dir: Path) -> None:
        self.plan, self.host, self.dataset = plan, host, dataset
        self.failed: list[str] = []
        check_masks(dataset)
        self.info = dataset_info(dataset)
        self.config = config = plan.config(self.info)
        names = (str(config.names["core"]), str(config.names["objective"]))
        self.contestant = tuned.key_of(*names, config.alignment)
        self.folder = results_dir / "tuning" / f"{self.info.name}-{self.info.variant}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.space = plan.space(config)
        # Trials of another preset, of other settings or over another space are another study.
        told = (plan.choice.preset, f"{config.train.steps} steps", *plan.choice.overrides)
        place = f"space {seed_of('space', json.dumps(in_words(self.space))):016x}"
        self.study = _study(self.folder, " ".join((self.contestant, *told, place)))
        self.process = self.folder / f".process-{uuid4().hex}.lock"

    def take_trials(self) -> None:
        """Run trials until the study has as many as planned.

        A failed trial is replaced by one with other settings, at most ``trials`` times. Before any
        has succeeded, a user's mistake ends tuning: every other trial would meet it too.
        """
        with ExitStack() as alive:
            with changing(_database(self.folder)):
                alive.enter_context(hold(self.process))
                alive.callback(self.process.unlink, missing_ok=True)
            while (done := len(self.study.get_trials(states=DONE))) < self.plan.trials:
                say(f"{self.contestant}: {counted(self.plan.trials - done, 'trial')} to go.")
                again = (SlotbenchError,) if done else (TrainingError, RunLocked)
                begun = self._begin()
                with suppress(*again):
                    self._train(*begun)
                if len(self.failed) > self.plan.trials:
                    said = f"{self.contestant}: {len(self.failed)} trials failed. The last: "
                    advice = f"Their runs are in {self.folder}."
                    raise SlotbenchError(said + self.failed[-1], advice)

    def _train(self, trial: optuna.Trial, overrides: tuple[str, ...]) -> None:
        """Train the run of a trial, and tell the study its score."""
        try:
            self.study.tell(trial, self._score(overrides, 0, trial))
        except Pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:  # but not an interruption: its trial is taken again
            self.study.tell(trial, state=TrialState.FAIL)
            if isinstance(error, SlotbenchError):
                self.failed.append(error.message)
                say(f"A trial failed: {error.message}")
            raise

    def _begin(self) -> tuple[optuna.Trial, tuple[str, ...]]:
        """The next trial and its settings: of a process that was ended, else of the sampler."""
        with changing(_database(self.folder)):
            self._revive()
            if not self.study.trials:
                self.study.enqueue_trial(untouched(self.config, self.space))
            trial = self.study.ask()
            trial.set_user_attr("process", self.process.name)
            proposed = (f"{field}={suggest(trial, field, of)}" for field, of in self.space.items())
            trial.set_user_attr("overrides", overrides := tuple(proposed))
        return trial, overrides

    def _revive(self) -> None:
        """Queue the trials of processes that were ended: a living one holds the lock it names."""
        files = list(self.folder.glob(".process-*.lock"))
        living = [file.name for file in files if held(file)]
        for file in files:
            if file.name not in living:
                file.unlink()
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.user_attrs.get("process") not in living:
                self.study.tell(trial.number, state=TrialState.FAIL)
                queued = trial.system_attrs.get("fixed_params", {})
                self.study.enqueue_trial({**queued, **trial.params})

    def _run(self, config: RunConfig) -> Run:
        return Run.of(config, self.folder)

    def _score(self, overrides: tuple[str, ...], seed: int, trial: Any = None) -> float:
        """Train a run, or take it as it is where it is done; its score on val."""
        config = self.plan.config(self.info, overrides, seed)
        run = self._run(config)
        host = replace(self.host, observe=lambda *_: _Judge(trial, self.dataset, config))
        carry_out(run, config, self.dataset, host, ())
        return val_scores(trained(run, config).to(host.device), self.dataset)["fg_ari"]

    def train_finalists(self) -> None:
        """Train the finalists on their further seeds, but for runs that another process trains."""
        for overrides in self._finalists():
            for seed in range(1, SEEDS):
                with suppress(RunLocked):
                    self._score(overrides, seed)

    def _finalists(self) -> list[tuple[str, ...]]:
        """The settings of the best trials that were trained to their end, best first."""
        # Several processes may run a trial more than planned: it does not count.
        counted = self.study.get_trials(states=DONE)[: self.plan.trials]
        complete = [trial for trial in counted if trial.state == TrialState.COMPLETE]
        ranked = sorted(complete, key=lambda trial: -float(trial.value or 0))
        return [tuple(trial.user_attrs["overrides"]) for trial in ranked[:FINALISTS]]

    def best(self) -> tuned.Tuned:
        """The finalist with the best mean over the seeds of tuning."""
        plan, means = self.plan, []
        for overrides in self._finalists():
            values = [self._score(overrides, seed) for seed in range(SEEDS)]
            means.append((math.fsum(values) / len(values), overrides))
        if not means:
            raise UserError("No trial was trained to its end.", "Allow for more: --trials")
        mean, overrides = max(means)
        # Setting a preset's own value changes neither a run nor its id.
        preset = untouched(self.config, self.space)
        own = {f"{field}={rounded(value)}" for field, value in preset.items()}
        chosen = [*plan.choice.overrides, *(text for text in overrides if text not in own)]
        return tuned.Tuned(
            preset=plan.choice.preset,
            settings={
                f"{section}.{field}": text for section, field, text in map(parse_override, chosen)
            },
            steps=self.config.train.steps,
            trials=plan.trials,
            score=round(mean, 4),
            seeds=tuple(FIRST_SEED + seed for seed in range(SEEDS)),
            date=datetime.now(UTC).date().isoformat(),
            space=in_words(self.space),
        )


def contest(
    objective: str,
    host: Host,
    data_dir: Path,
    results_dir: Path,
    trials: int,
    workers: int,
    dry_run: bool,
    choice: Mapping[str, Any],
) -> dict[str, Any]:
    """Tune one contestant, or continue; what :func:`slotbench.api.tune` returns of it."""
    asked = Choice(objective=objective, **choice)
    if asked.preset == "auto":
        asked = replace(asked, preset=preset_for(host.device))
    check_names(asked)
    if not all(kind.trains for kind in kinds_of(asked.objective).values()):
        said = f"--objective {objective}: it trains nothing, so there is nothing to tune."
        raise UserError(said, "Leave it out.")
    plan = Plan(asked, trials)
    if dry_run:
        with DatasetFile(locate(asked.dataset, data_dir)) as dataset:
            config = plan.config(dataset_info(dataset))
        steps, told = config.train.steps, in_words(plan.space(config))
        return {"space": told, "runs": plan.runs, "steps": steps, "images": IMAGES}
    arguments = (plan, str(host.device), data_dir, results_dir, os.getpid())
    spawn = get_context("spawn")
    helpers = [spawn.Process(target=_take_trials, args=arguments) for _ in range(workers - 1)]
    for helper in helpers:
        helper.start()
    try:
        with _working(plan, host, data_dir, results_dir) as work:
            place = work.info.name, work.info.variant
            tuned.kept(*place, results_dir)  # a bad file is told before, not after
            work.take_trials()
            work.train_finalists()
            for helper in helpers:
                helper.join()
            found = work.best()
    except BaseException:
        for helper in helpers:
            helper.terminate()
            helper.join()
        raise
    file = tuned.write(*place, work.contestant, found, results_dir)
    say(f"{work.contestant}: fg_ari/attention {found.score:.3f} on val. Settings: {file}")
    names = ("objective", "dataset", "core", "alignment")
    differ = [name for name in names if getattr(asked, name) != getattr(Choice(), name)]
    words = " ".join(f"--{name} {shlex.quote(getattr(asked, name))}" for name in differ)
    folders = typed("data", data_dir) + typed("results", results_dir)
    say(f"Next, type: slotbench train --preset tuned {words}".rstrip() + folders)
    return found.model_dump(mode="json")


@contextmanager
def _working(plan: Plan, host: Host, data_dir: Path, results_dir: Path) -> Iterator[_Work]:
    with DatasetFile(locate(plan.choice.dataset, data_dir)) as dataset:
        work = _Work(plan, host, dataset, results_dir)
        with _stored(work.folder):
            yield work


def _take_trials(plan: Plan, device: str, data_dir: Path, results_dir: Path, parent: int) -> None:
    """One more process: it runs trials of the same study, and ends with its parent."""
    end_with(parent)
    plugins.load_all()
    try:
        with _working(plan, Host(torch.device(device)), data_dir, results_dir) as work:
            work.take_trials()
            work.train_finalists()
    except SlotbenchError as error:
        say(f"A process takes no more trials: {error}")
    except BaseException as error:
        if not interrupted(error):
            raise
        sys.exit(130)


@contextmanager
def _stored(folder: Path) -> Iterator[None]:
    """:class:`UserError` where the file of a dataset's trials is damaged or the disk is full."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        why = " ".join(str(root).split())[:200]
        raise UserError(
            f"{folder}.db cannot be used: {why}.",
            "If the disk is full, free some space and type the same again. If the file is "
            "damaged, move it away: its trials are then run again.",
        ) from error


def _database(folder: Path) -> Path:
    """The file of a dataset's trials."""
    return folder.with_name(f"{folder.name}.db")


def _study(folder: Path, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # it shows tracebacks
    file = _database(folder)
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is not a regular file.", "Remove it, or move it away.")
    # Not in the address, where "?", "#", "%" and "{" are special.
    connect = partial(sqlite3.connect, file, check_same_thread=False)
    # Two processes cannot create the tables of a new file at once.
    with _stored(folder), changing(file):
        done = optuna.create_study(
            storage=optuna.storages.RDBStorage("sqlite:///tune.db", {"creator": connect}),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        )
    # A study that continues must not repeat its proposals.
    seed = seed_of("tune", name, len(done.trials)) % 2**32
    done.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
    return done


class _Judge(Observer):
    """Scores a run at every rung, and ends it where other trials were better."""

    def __init__(self, trial: optuna.Trial | None, dataset: DatasetFile, config: RunConfig) -> None:
        self.trial, self.dataset = trial, dataset
        self.every = config.train.picture_every

    def picture(self, objective: Objective, dataset: DatasetFile, step: int) -> None:
        """Report the score; :class:`Pruned` ends the run."""
        del dataset
        if self.trial is None or step % self.every:
            return
        rung = max(1, step // self.every)
        self.trial.report(val_scores(objective, self.dataset)["fg_ari"], rung)
        # After the last rung there is nothing left to train.
        if rung < RUNGS and self.trial.should_prune():
            raise Pruned(f"pruned after step {step}")
