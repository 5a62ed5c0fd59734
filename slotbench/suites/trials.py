"""What ``slotbench tune`` tries: a contestant's plan, and the space of its runs."""

from dataclasses import dataclass, replace
from typing import Any

import optuna

from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import RunConfig, parse_override, with_field
from slotbench.errors import UserError
from slotbench.fields import Space, Span

FIRST_SEED = 1000
FINALISTS, SEEDS = 3, 2
"""The best trials, and the seeds that each of them is trained on, the first included."""
RUNGS = 4
"""Parts of a run; successive halving may end it after each."""


@dataclass(frozen=True)
class Plan:
    """A contestant, and the budget that is the same for all."""

    choice: Choice
    trials: int

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= 10_000:
            raise UserError(f"--trials {self.trials}: expected 1 to 10,000.")
        if self.choice.preset == "tuned":  # not a preset that a file of tuned settings can name
            said = "--preset tuned: expected the preset that the settings change."
            raise UserError(said, "Type: --preset quick")

    def config(self, info: Any, overrides: tuple[str, ...] = (), seed: int = 0) -> RunConfig:
        """The run of a trial."""
        every = max(1, resolve(self.choice, info).train.steps // RUNGS)
        told = (*self.choice.overrides, *overrides, f"train.picture_every={every}")
        return resolve(replace(self.choice, overrides=told, seed=FIRST_SEED + seed), info)

    def space(self, config: RunConfig) -> Space:
        """The space of its runs: a field that the user sets is not tuned."""
        told = {".".join(parse_override(text)[:2]) for text in self.choice.overrides}
        return {field: tried for field, tried in space_of(config).items() if field not in told}

    @property
    def runs(self) -> int:
        """How many runs the plan trains at most."""
        return self.trials + FINALISTS * (SEEDS - 1)


def space_of(config: RunConfig) -> Space:
    """``section.field`` -> the values to try, for every section of the run."""
    return {
        f"{section}.{field}": tried
        for section, options in config.sections.items()
        for field, tried in getattr(options, "space", {}).items()
    }


def untouched(config: RunConfig, space: Space) -> dict[str, Any]:
    """The settings of a run that lie in the space.

    They are the first trial: settings chosen by hand compete with those that the sampler proposes.
    """
    found: dict[str, Any] = {}
    for field, tried in space.items():
        section, name = field.split(".", 1)
        options = config.sections[section]
        options = options.resolved() if section == "views" else options
        value = getattr(options, name)
        if isinstance(tried, Span):
            inside = value is not None and tried.low <= value <= tried.high
            values = [value] if inside else []
        else:
            made = {text: with_field(section, options, name, text) for text in tried}
            values = [text for text, other in made.items() if getattr(other, name) == value]
        if values:
            found[field] = values[0]
    return found


def suggest(trial: optuna.Trial, field: str, tried: Span | tuple[str, ...]) -> str:
    """The sampler's proposal for a field, as ``--set`` takes it."""
    if isinstance(tried, Span):
        return rounded(trial.suggest_float(field, tried.low, tried.high, log=tried.log))
    return rounded(trial.suggest_categorical(field, tried))


def rounded(value: float | str) -> str:
    """A value as ``--set`` takes it, numbers with three digits."""
    return value if isinstance(value, str) else f"{value:.3g}"


def in_words(space: Space) -> dict[str, str]:
    """Field -> what is tried, in words."""
    return {field: _words_of(tried) for field, tried in space.items()}


def _words_of(tried: Span | tuple[str, ...]) -> str:
    if isinstance(tried, Span):
        return f"{tried.low:g} to {tried.high:g}{', log' if tried.log else ''}"
    return ", ".join(tried)
