"""The leaderboard's rows: runs that differ in their seed alone, and what they have in common."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slotbench.leaderboard.runs import metric_keys
from slotbench.rng import numpy_generator
from slotbench.statistics import Summary, summarise

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("reconstruction", "self-supervised", "combined", "control", "external", "unknown")
"""In the order in which a table shows them."""


@dataclass(frozen=True, order=True)
class Group:
    """The data that rows must share to stand in one table."""

    dataset: str
    origin: str
    image_size: int
    fingerprint: str

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
    """Means over the runs that count, on the device that most of them used; None: not known."""

    steps: float | None
    seconds: float | None
    images_per_second: float | None
    parameters: float | None
    device: str


@dataclass(frozen=True)
class Scale:
    """Where a row's number on one metric came from, before it was scaled."""

    raw: float | None
    floor: float | None
    ceiling: float | None
    reason: str
    """Why there is no scaled number; "" where there is one."""


@dataclass(frozen=True)
class Row:
    """One configuration, all seeds."""

    group: Group
    core: str
    objective: str
    alignment: str | None
    preset: str
    settings: str
    family: str
    seeds: tuple[int, ...]
    """Those that count: done and evaluated."""
    failed: int
    published: int
    """How many of the seeds that count are published results, not runs of this machine."""
    values: Mapping[str, Mapping[int, float]]
    """Metric -> seed -> value; missing values are not there."""
    metrics: Mapping[str, Summary]
    cost: Cost
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    """The resolved configuration, the seed aside."""
    pair: str
    """Equal for rows whose core, data, preset and budget are the same."""
    external: bool = False
    """Predictions of a model that was not trained here; see docs/predictions.md."""
    scales: Mapping[str, "Scale"] = field(default_factory=dict)
    """Metric -> how its numbers were scaled between floor and ceiling; empty: they are raw."""

    @property
    def name(self) -> str:
        if self.external:
            return f"{self.objective} · external"
        return self.objective if self.alignment is None else f"{self.objective} · {self.alignment}"

    @property
    def label(self) -> str:
        """The row in words, for warnings and comparisons within one dataset."""
        settings = f" ({self.settings})" if self.settings else ""
        if not self.preset:  # nothing was trained here: a baseline, or predictions from elsewhere
            return f"{self.name}{settings}"
        return f"{self.core} + {self.name}, {self.preset}{settings}"


def rows(frame: "pd.DataFrame") -> list[Row]:
    """Rows of the runs that count or failed, sorted by dataset, family and name.

    Raises nothing; runs that neither count nor failed are passed over (their ``problems`` say
    why). Rows that only a hidden difference separates get that difference into ``settings``.
    """
    keys = metric_keys(frame)
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in frame.to_dict("records"):
        if record["counts"] or record["state"] == "failed":
            members[record["row"]].append({str(key): value for key, value in record.items()})
    found = [_row(runs, key, keys) for key, runs in members.items()]
    return sorted(_distinguish(found), key=_order)


def _order(row: Row) -> tuple[Any, ...]:
    family = FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES)
    # What was not trained here comes after what was.
    names = (row.core, family, row.objective, row.alignment or "", row.preset, row.settings)
    return row.group, not row.preset, *names


def _row(runs: Sequence[dict[str, Any]], key: str, metrics: Sequence[str]) -> Row:
    first = runs[0]
    counting = sorted((run for run in runs if run["counts"]), key=lambda run: run["seed"])
    failed = [run for run in runs if not run["counts"]]
    # NaN marks a missing value, and is the only number that differs from itself.
    values = {
        metric: {run["seed"]: run[metric] for run in counting if run[metric] == run[metric]}
        for metric in metrics
    }
    summaries = {
        metric: summarise(list(cells.values()), numpy_generator(0, "leaderboard", key, metric))
        for metric, cells in values.items()
        if cells
    }
    cost, mixed = _cost(counting or failed)
    warnings = [text for run in runs for text in run["warnings"]]
    warnings += [
        f"seed {run['seed']} failed: {run['reason'] or 'no reason given'}" for run in failed
    ]
    return Row(
        group=Group(first["dataset"], first["origin"], first["image_size"], first["fingerprint"]),
        core=first["core"], objective=first["objective"], alignment=first["alignment"],
        preset=first["preset"], settings=first["settings"], family=first["family"],
        seeds=tuple(run["seed"] for run in counting), failed=len(failed),
        published=sum(run["published"] for run in counting), values=values, metrics=summaries,
        cost=cost, warnings=tuple(dict.fromkeys(warnings + mixed)),
        config={name: value for name, value in first["config"].items() if name != "seed"},
        pair=first["pair"], external=bool(first.get("external")),
    )  # fmt: skip


def _cost(runs: Sequence[dict[str, Any]]) -> tuple[Cost, list[str]]:
    """The cost, and a warning where several devices were used: their times do not average."""
    devices = Counter(run["device"] for run in runs)
    device, count = max(devices.items(), key=lambda item: (item[1], item[0]))
    on_it = [run for run in runs if run["device"] == device]

    def mean(name: str) -> float | None:
        known = [run[name] for run in on_it if run[name] is not None]
        return sum(known) / len(known) if known else None

    names = ("steps", "seconds", "images_per_second", "parameters")
    cost = Cost(**{name: mean(name) for name in names}, device=device)
    if len(devices) == 1:
        return cost, []
    return cost, [f"cost is of the {count} of {len(runs)} runs on {device or 'an unknown device'}"]


def _distinguish(found: Sequence[Row]) -> list[Row]:
    """Rows that would read the same say in which fields of the configuration they differ."""
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in found:
        alike[(row.group, row.label)].append(row)
    result = []
    for same in alike.values():
        flat = [_flat(row.config) for row in same]
        fields = sorted(set().union(*flat))
        differ = [key for key in fields if len({str(config.get(key)) for config in flat}) > 1]
        for row, config in zip(same, flat, strict=True):
            hidden = [f"{key}={config.get(key)}" for key in differ]
            text = ", ".join([row.settings, *hidden] if row.settings else hidden)
            result.append(replace(row, settings=text) if hidden else row)
    return result


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, fields in config.items()
        if isinstance(fields, dict) and section not in ("dataset", "overrides")
        for key, value in fields.items()
    }
