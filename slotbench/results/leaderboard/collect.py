"""Finds the runs of the leaderboard: run directories, entries and published records.

A run that cannot count stays in the list, with the reason in ``problems``: an unreadable file, no
evaluation, an evaluation of another split or other images, an older version of a metric.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slotbench import results
from slotbench.errors import UserError
from slotbench.evaluation.groups import current_version
from slotbench.files import parse_document, read_json, typed
from slotbench.progress import first_of
from slotbench.results.bundle import check_files, listed
from slotbench.results.documents import Published
from slotbench.results.leaderboard.records import TRANSFER, Found, describe, read, unreadable


def find(results_dir: Path) -> list[Found]:
    """Every run under ``results_dir``, and the published ones that come with slotbench."""
    option, start, found = typed("results", results_dir), f"{results_dir}/", list[Found]()
    for path in results.run_folders(results_dir):
        found += read(Path(path), path.removeprefix(start), option)
    found += published(results_dir)
    _count_once(found)
    _same_protocol(found)
    _newest_versions(found)
    return found


def published(results_dir: Path) -> list[Found]:
    """The published runs in ``results_dir``, and those that come with slotbench.

    In writable copies, only the transfers to other data count.
    """
    found, option = list[Found](), typed("results", results_dir)
    for bundle in map(Path, results.published_bundles(results_dir)):
        if bundle.name == results.COPIES:
            every = (run for path, name in _runs(bundle) for run in read(path, name, option))
            found += [run for run in every if run.family == TRANSFER]
        else:
            found += _bundled(bundle)
    for file in results.published_files(results_dir):
        found += _published(file, f"published/{file.name}")
    return found


def _runs(bundle: Path) -> list[tuple[Path, str]]:
    """The directory of each run, and its name."""
    paths = map(Path, results.below(f"{bundle}/runs", 3))
    return [(path, "/".join(("published", *path.parts[-5:]))) for path in paths]


def _bundled(bundle: Path) -> Iterator[Found]:
    """The runs of a bundle. A run counts only if its documents match the manifest."""
    runs = _runs(bundle)
    try:
        facts = listed(bundle) if runs else {}
    except (UserError, OSError) as error:
        yield unreadable(f"published/{bundle.name}", error, bundle, published=True)
        return
    for path, name in runs:
        try:
            check_files(path, facts, results.DOCUMENTS)
        except (UserError, OSError) as error:
            yield unreadable(name, error, path, published=True)
            continue
        run = next(read(path, name))
        run.published = True
        yield run


def _published(file: Path, name: str) -> Iterator[Found]:
    try:
        records = read_json(file)
        if not isinstance(records, list):
            raise UserError("expected a list of runs")
    except (UserError, OSError) as error:
        yield unreadable(name, error, file, published=True)
        return
    for index, record in enumerate(records):
        where = f"{name}, run {index}"
        try:
            parts = parse_document(record, Published, "the record")
        except UserError as error:
            yield unreadable(where, error, file, published=True)
            continue
        found = describe(where, parts.config, parts.status, parts.evaluation)
        found.environment = parts.environment
        yield found


def _count_once(found: list[Found]) -> None:
    """Let each (row, seed) count once.

    Runs of this machine take precedence over published ones, and runs with weights over records.
    Among the remaining copies, one counts if their numbers agree, and none if they differ.
    """
    groups: dict[Any, list[Found]] = defaultdict(list)
    for run in found:
        if run.row is not None:
            groups[run.row, run.seed].append(run)
    for group in (group for group in groups.values() if len(group) > 1):
        counting = [run for run in group if run.counts]
        local = [run for run in counting if not run.published]
        chosen = local or [run for run in counting if run.path is not None] or counting
        clash = any(_numbers(run) != _numbers(chosen[0]) for run in chosen)
        if clash:
            others = " and ".join(run.run for run in chosen[1:])
            chosen[0].problems.append(f"has other numbers than its copy {others}: none counts")
        elif local and any(_other_numbers(run, local[0]) for run in counting):
            told = "a published copy has other numbers; those of this machine count"
            local[0].warnings.append(f"seed {local[0].seed}: {told}")
        # A duplicate is not reported, even where it failed.
        keep = chosen[:1] or [run for run in group if not run.published][:1] or group[:1]
        for run in group:
            if run is not keep[0]:
                run.state, run.counts = "duplicate", False
        keep[0].counts = keep[0].counts and not clash


def _numbers(run: Found) -> tuple[object, object]:
    return run.values, run.versions


def _other_numbers(one: Found, other: Found) -> bool:
    """Whether two copies differ in a metric that both have in the same version."""
    both = one.values.keys() & other.values.keys()
    same = (key for key in both if one.versions[key] == other.versions[key])
    return any(one.values[key] != other.values[key] for key in same)


def _same_protocol(found: Iterable[Found]) -> None:
    """On one dataset, only evaluations of the same images at the same resolution count.

    The most frequent protocol among runs counts; of equally frequent ones, that with more images.
    Baselines and external entries decide only if there are no runs.
    """
    counting = [run for run in found if run.counts]
    counts: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    trained = {run.data for run in counting if run.preset}
    for run in counting:
        if run.preset or run.data not in trained:
            counts[run.data][run.protocol] += 1
    for run in counting:
        shares = counts[run.data]
        usual = max(shares, key=lambda protocol: (shares[protocol], protocol))
        if run.protocol != usual:
            run.counts = False
            run.problems.append(
                "was evaluated on {} images at {} px, ".format(*run.protocol)
                + "others on {} at {}: left out.".format(*usual)
                + run.again
            )


def _newest_versions(found: Iterable[Found]) -> None:
    """Exclude results whose metric has a newer version in slotbench or in another run."""
    # Most runs share their versions: look at each set once.
    sets = {tuple(run.versions.items()): run.versions for run in found if run.counts}
    newest: dict[str, int] = {}
    for versions in sets.values():
        for key, version in versions.items():
            newest[key] = max(version, newest.get(key) or current_version(key))
    stale = {each: {key for key, version in each if version < newest[key]} for each in sets}
    for run in [run for run in found if run.counts]:
        old = stale[tuple(run.versions.items())]
        if old:
            run.values = {key: value for key, value in run.values.items() if key not in old}
            run.versions = {key: value for key, value in run.versions.items() if key not in old}
            run.counts = bool(run.versions)
            said = f"is stale: it has an older version of {first_of(sorted(old), 3)}; left out"
            run.problems.append(f"{said}.{run.again}")
