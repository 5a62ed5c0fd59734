"""Every run that the leaderboard can see, one row a run: run directories and published records.

What cannot count stays in the frame, with the reason in ``problems``: a file that does not read,
a run without an evaluation, an evaluation of another split, other images or an older version of
a metric. Nothing is left out in silence, and nothing here raises for a bad run.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench.errors import UserError
from slotbench.evaluation.groups import current_version
from slotbench.files import read_json
from slotbench.results.entries import FOLDERS
from slotbench.results.leaderboard.index import Index, read, reason
from slotbench.results.leaderboard.records import Found, Protocol, again, describe, unreadable

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "run",
    "published",
    "state",
    "reason",
    "counts",
    "problems",
    "dataset",
    "origin",
    "image_size",
    "fingerprint",
    "core",
    "objective",
    "alignment",
    "preset",
    "settings",
    "family",
    "external",
    "seed",
    "row",
    "pair",
    "steps",
    "seconds",
    "images_per_second",
    "parameters",
    "flops",
    "device",
    "warnings",
    "config",
)
"""The frame's columns that are no metric; metrics are the columns with a ``/`` or none of these.

``counts``: done, with an evaluation that can be used. ``row``: a hash of everything but the seed;
runs of one row differ in their seed alone. ``pair``: a hash of what a self-supervised row and its
reconstruction row must share.
"""


def find(results_dir: Path, index: Index | None = None) -> list[Found]:
    """Every run under ``results_dir``: run directories, baselines, external and published.

    ``index`` is one of the same folder; without it, everything is read anew.
    """
    found = (index or Index(results_dir, use=False)).runs()
    for kind in FOLDERS.values():
        for path in sorted((results_dir / kind).glob("*/*")):
            if path.is_dir() and not path.name.startswith("."):
                found.append(read(path, str(path.relative_to(results_dir))))
    for file in sorted((results_dir / "published").glob("*.json")):
        found.extend(_published(file, results_dir))
    found = _once(found)
    _same_protocol(found)
    _newest_versions(found)
    return found


def collect(results_dir: Path) -> "pd.DataFrame":
    """:func:`find` as a table, one row a run.

    Columns: :data:`COLUMNS`, then one float64 column for each metric key (NaN: missing). Runs
    that cannot be read have the state ``unreadable`` and no configuration.
    """
    import pandas as pd

    found = find(results_dir)
    frame = pd.DataFrame({name: [run.get(name) for run in found] for name in COLUMNS}, dtype=object)
    metrics = {
        key: [run["values"].get(key) if run["counts"] else None for run in found]
        for key in metric_keys(found)
    }
    return pd.concat([frame, pd.DataFrame(metrics, index=frame.index, dtype="float64")], axis=1)


def metric_keys(found: Iterable[Found]) -> list[str]:
    """The metrics that runs which count have, sorted."""
    distinct = {id(run["versions"]): run["versions"] for run in found if run["counts"]}
    return sorted({key for versions in distinct.values() for key in versions})


def _published(file: Path, results_dir: Path) -> list[Found]:
    name = str(file.relative_to(results_dir))
    try:
        records = read_json(file)
    except (UserError, OSError) as error:
        return [unreadable(name, published=True, why=reason(error, file))]
    if not isinstance(records, list):
        return [unreadable(name, published=True, why="expected a list of runs")]
    found = []
    for index, record in enumerate(records):
        where = f"{name}, run {index}"
        if isinstance(record, dict) and {"config", "status"} <= record.keys():
            parts = (record["config"], record["status"], record.get("evaluation"))
            found.append(describe(where, *parts, published=True))
        else:
            found.append(unreadable(where, published=True, why="'config' or 'status' is missing"))
    return found


def _once(found: list[Found]) -> list[Found]:
    """Each (row, seed) once.

    The same run here and published: this machine's counts where it is done, else the published
    one. Several copies on one side: one counts where their numbers agree, none where they differ,
    because nothing says which is right.
    """
    groups: dict[Any, list[Found]] = defaultdict(list)
    for index, run in enumerate(found):
        key = (run["row"], run["seed"]) if "row" in run else ("unreadable", index)
        groups[key].append(run)
    for group in groups.values():
        if len(group) == 1:
            continue
        counting = [run for run in group if run["counts"]]
        local = [run for run in counting if not run["published"]]
        chosen = local or counting
        clash = any(_numbers(run) != _numbers(chosen[0]) for run in chosen)
        if clash:
            others = " and ".join(run["run"] for run in chosen[1:])
            chosen[0]["problems"].append(f"has other numbers in its copy {others}: none counts")
        elif local and any(_numbers(run) != _numbers(local[0]) for run in counting):
            local[0]["problems"].append("is published with other numbers: this machine's count")
        # A duplicate that does not count says nothing of its own: not even that it failed.
        keep = chosen[:1] or [run for run in group if not run["published"]][:1] or group[:1]
        for run in group:
            if run is not keep[0]:
                run["state"], run["counts"] = "duplicate", False
        keep[0]["counts"] = keep[0]["counts"] and not clash
    return found


def _numbers(run: Found) -> tuple[object, object]:
    return run["values"], run["versions"]


def _same_protocol(found: Iterable[Found]) -> None:
    """On one dataset, only evaluations of the same images at the same resolution count.

    The protocol that most runs have is kept; of equals, the one with more images. Baselines and
    external entries follow the runs and have a say only where there is none.
    """
    counts: dict[str, Counter[Protocol]] = defaultdict(Counter)
    trained = {run["fingerprint"] for run in found if run["counts"] and run["preset"]}
    for run in (run for run in found if run["counts"]):
        if run["preset"] or run["fingerprint"] not in trained:
            counts[run["fingerprint"]][run["protocol"]] += 1
    for run in (run for run in found if run["counts"]):
        shares = counts[run["fingerprint"]]
        usual = max(shares, key=lambda protocol: (shares[protocol], protocol))
        if run["protocol"] != usual:
            run["counts"] = False
            run["problems"].append(
                "was evaluated on {} images at {} px, ".format(*run["protocol"])
                + "others on {} at {}: left out.".format(*usual)
                + again(run)
            )


def _newest_versions(found: Iterable[Found]) -> None:
    """Stale cells become missing, with a word about it: their metric has a newer version, in this
    slotbench or in another run."""
    # Runs share their versions, mostly: what follows is done once for each set of them.
    sets = {id(run["versions"]): run["versions"] for run in found if run["counts"]}
    newest: dict[str, int] = {}
    for versions in sets.values():
        for key, version in versions.items():
            newest[key] = max(version, newest.get(key) or current_version(key))
    stale = {
        number: sorted(key for key, version in versions.items() if version < newest[key])
        for number, versions in sets.items()
    }
    for run in (run for run in found if run["counts"]):
        old = stale[id(run["versions"])]
        if old:
            gone = set(old)
            for part in ("values", "versions"):
                run[part] = {key: it for key, it in run[part].items() if key not in gone}
            run["counts"] = bool(run["versions"])
            text = f"is stale, of an older version of {', '.join(old)}: left out.{again(run)}"
            run["problems"].append(text)
