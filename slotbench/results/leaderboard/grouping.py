"""The leaderboard's rows: a row groups the runs that differ only in their seed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from typing import Any

from slotbench.progress import plain
from slotbench.results.leaderboard.records import TRANSFER, Found
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Summary, summarise

FAMILIES = (
    *("reconstruction", "self-supervised", "combined", "control", TRANSFER, "external", "unknown"),
)
"""In the order of a table."""
TUNING_SEED = 1000
"""The first tuning seed. Tuning seeds enter no comparison, and no mean beside other seeds."""


@dataclass(frozen=True, order=True)
class Group:
    """The data that rows must share to stand in one table."""

    dataset: str
    origin: str
    image_size: int
    fingerprint: str
    """Of rendered data the recipe, if the runs know it; else of the content."""

    @property
    def title(self) -> str:
        """``clevr:clevr6 · 64 px · rendered (not the original clevr)``."""
        name = self.dataset.partition(":")[0]
        origin = (
            self.origin if self.origin == "original" else f"{self.origin} (not the original {name})"
        )
        return f"{self.dataset} · {self.image_size} px · {origin}"


@dataclass(frozen=True)
class Cost:
    """Means over the runs that count, on their most frequent device; None: not known."""

    steps: float | None
    seconds: float | None
    images_per_second: float | None
    parameters: float | None
    device: str
    flops: float | None = None
    """Floating point operations of the whole training, if they were counted."""


COSTS = ("steps", "seconds", "images_per_second", "parameters", "flops", "device")
"""The fields of :class:`Cost` in the order of CSV; ``status.json`` has the same."""


@dataclass(frozen=True)
class Scale:
    """The scaling of a row's number on one metric."""

    raw: float | None
    floor: float | None
    ceiling: float | None
    reason: str
    """Why there is no scaled number; "" if there is one."""


class Summaries(Mapping[str, Summary]):
    """Metric -> summary over seeds, computed on first use, because most are never shown."""

    def __init__(self, values: Mapping[str, Mapping[int, float]]) -> None:
        self._values = values
        self._known = cache(lambda metric: summarise(list(values[metric].values())))

    def __getitem__(self, metric: str) -> Summary:
        return self._known(metric)

    def __contains__(self, metric: object) -> bool:
        return metric in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, eq=False)
class Row:
    """One configuration, all seeds; equal to itself alone."""

    group: Group
    core: str
    objective: str
    alignment: str | None
    preset: str
    settings: str
    family: str
    seeds: tuple[int, ...]
    """The seeds that count: done and evaluated."""
    failed: int
    published: int
    """How many of these seeds are published results, not runs of this machine."""
    values: Mapping[str, Mapping[int, float]]
    """Metric -> seed -> value, without missing values."""
    tuning: Mapping[str, Mapping[int, float]]
    """The same for tuning seeds."""
    metrics: Mapping[str, Summary]
    cost: Cost
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    """The resolved configuration without the seed."""
    key: str = ""
    """:attr:`Found.row` of its runs."""
    budget: str = ""
    """The training budget, such as ``96,000 images``; "" if nothing was trained."""
    external: bool = False
    """Predictions of a model that was not trained here; see docs/predictions.md."""
    scales: Mapping[str, "Scale"] = field(default_factory=dict)
    """Metric -> scaling between floor and ceiling; empty: numbers are raw."""

    @property
    def own(self) -> int:
        """How many of the seeds are runs of this machine."""
        return len(self.seeds) - self.published

    @property
    def name(self) -> str:
        """Objective and alignment, as tables show them."""
        if self.external:
            return f"{self.objective} · external"
        return self.objective if self.alignment is None else f"{self.objective} · {self.alignment}"

    @property
    def named(self) -> str:
        """The name with the settings."""
        return f"{self.name} ({self.settings})" if self.settings else self.name

    @property
    def tuned(self) -> str:
        """The tuning budget of the settings; "" if they were not tuned."""
        tuning = self.config.get("tuning")
        return f"{tuning['trials']:,} trials of {tuning['steps']:,} steps" if tuning else ""

    @property
    def label(self) -> str:
        """The row's name in warnings and comparisons within one dataset."""
        if not self.preset:  # nothing was trained here: a baseline or external predictions
            return self.named
        settings = f" ({self.settings})" if self.settings else ""
        return f"{self.core} + {self.name}, {self.preset}{settings}"


def rows(found: Iterable[Found]) -> list[Row]:
    """Rows of the runs that count or failed, sorted by dataset, family and name.

    The ``problems`` of other runs say why they have no row. If rows have the same name, their
    ``settings`` get the fields in which they differ.
    """
    members: dict[str, list[Found]] = defaultdict(list)
    for run in found:
        if run.row is not None and (run.counts or run.state == "failed"):
            members[run.row].append(run)
    return sorted(_distinguish([_row(each) for each in members.values()]), key=_order)


def by_group(rows: Sequence[Row]) -> list[tuple[Group, list[Row]]]:
    """Sorted rows, grouped by their data."""
    return [(group, list(members)) for group, members in groupby(rows, lambda row: row.group)]


def settled(rows: Iterable[Row]) -> int:
    """How many rows have enough seeds for a claim. The table with the most is shown first."""
    return sum(len(row.seeds) >= LEAST_FOR_A_CLAIM for row in rows)


def _order(row: Row) -> tuple[Any, ...]:
    family = FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES)
    # Baselines and external entries come last.
    names = (row.core, family, row.objective, row.alignment or "", row.preset, row.settings)
    return row.group, not row.preset, *names


def _row(runs: Sequence[Found]) -> Row:
    first = runs[0]
    counting = sorted((run for run in runs if run.counts), key=lambda run: run.seed or 0)
    failed = [run for run in runs if not run.counts]
    tuning = [run for run in counting if (run.seed or 0) >= TUNING_SEED]
    counting = [run for run in counting if (run.seed or 0) < TUNING_SEED] or counting
    values = _values(counting)
    cost, mixed = _cost(counting or failed)
    warnings = [text for run in runs for text in run.warnings]
    warnings += [f"seed {run.seed} failed: {run.reason or 'no reason given'}" for run in failed]
    return Row(
        group=Group(str(first.dataset), str(first.origin), first.image_size or 0, first.data),
        core=str(first.core),
        # Another row has the same objective trained on these data.
        objective=str(first.objective) + f" ({TRANSFER})" * (first.family == TRANSFER),
        alignment=first.alignment,
        preset=str(first.preset),
        settings=min((run.settings for run in runs), key=len),
        family=str(first.family),
        seeds=tuple(run.seed or 0 for run in counting),
        failed=len(failed),
        published=sum(run.published for run in counting),
        values=values,
        tuning=_values(tuning),
        metrics=Summaries(values),
        cost=cost,
        warnings=tuple(dict.fromkeys(warnings + mixed)),
        config={name: value for name, value in first.config.items() if name != "seed"},
        key=first.row or "",
        budget=first.budget,
        external=first.external,
    )


def _values(runs: Iterable[Found]) -> dict[str, dict[int, float]]:
    """Metric -> seed -> value."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for run in runs:
        for metric, value in run.values.items():
            values[metric][run.seed or 0] = value
    return dict(values)


def _cost(runs: Sequence[Found]) -> tuple[Cost, list[str]]:
    """The cost, and a warning if several devices were used, whose times have no common mean."""
    known = [run.status for run in runs if run.status is not None]
    devices = Counter(status.device for status in known)
    device, count = max(devices.items(), key=lambda item: (item[1], item[0]))

    def mean(name: str) -> float | None:
        values = [getattr(status, name) for status in known if status.device == device]
        values = [value for value in values if value is not None]
        return sum(values) / len(values) if values else None

    cost = Cost(**{name: mean(name) for name in COSTS[:-1]}, device=device)
    mixed = f"cost is of the {count} of {len(runs)} runs on {device or 'an unknown device'}"
    return cost, [mixed] if len(devices) > 1 else []


def _distinguish(found: Sequence[Row]) -> list[Row]:
    """Add the fields that differ to the ``settings`` of rows with the same name."""
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in found:
        alike[(row.group, row.label)].append(row)
    result = []
    for same in alike.values():
        flat = [_flat(row.config) for row in same] if len(same) > 1 else [{}]
        fields = sorted(set().union(*flat))
        differ = [key for key in fields if len({str(config.get(key)) for config in flat}) > 1]
        for row, config in zip(same, flat, strict=True):
            hidden = [plain(f"{key}={config.get(key)}") for key in differ]
            text = ", ".join(filter(None, (row.settings, *hidden)))
            result.append(replace(row, settings=text) if hidden else row)
    return result


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, fields in config.items()
        if isinstance(fields, dict) and section not in ("dataset", "overrides")
        for key, value in fields.items()
    }
