"""What a paper should cite for its results: BibTeX, and a paragraph on how they were made.

Papers are those that the classes of the registry name in their ``source``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from slotbench import __version__, registry
from slotbench.config.mixture import parse
from slotbench.errors import UserError
from slotbench.evaluation.groups import group_of
from slotbench.results.export import Row

_ARXIV = re.compile(r"(?:([^;,:]*?)\s+(?:et al\.\s+)?(\d{4}), )?arXiv (\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Work:
    """One paper, as far as the registry's line names it."""

    arxiv: str
    authors: str
    year: str
    used_for: tuple[str, ...]

    @property
    def key(self) -> str:
        """``locatello2020``-like; the number makes it unique."""
        name = re.sub(r"[^a-z]", "", self.authors.split(" ")[0].lower()) or "arxiv"
        return f"{name}{self.year}_{self.arxiv.replace('.', '')}"


def works(rows: Iterable[Row]) -> list[Work]:
    """The papers of the datasets, cores, objectives and metrics of the rows that count."""
    used: dict[str, list[str]] = {}
    counting = (row for row in rows if row["counts"])
    for kind, name in dict.fromkeys(item for row in counting for item in _components(row)):
        entry = registry.entries(kind).get(name)
        if entry is not None:
            used.setdefault(entry.source, []).append(name)
    found: dict[str, Work] = {}
    for source, names in used.items():
        for authors, year, arxiv in _ARXIV.findall(source):
            before = found.get(arxiv)
            together = (*(before.used_for if before else ()), *names)
            found[arxiv] = Work(
                arxiv,
                (before.authors if before else "") or authors.strip(),
                (before.year if before else "") or year,
                tuple(dict.fromkeys(together)),
            )
    return sorted(found.values(), key=lambda work: (work.year, work.arxiv))


def _components(row: Row) -> Iterator[tuple[registry.Kind, str]]:
    if row["dataset"]:
        yield "datasets", row["dataset"].partition(":")[0]
    if row["core"] and not row["external"]:
        yield "cores", row["core"]
        try:
            for part in parse(row["objective"]):
                yield "objectives", part.name
        except UserError:
            pass
    if row["metric"]:
        group = group_of(row["metric"])
        if group:
            yield "metrics", group


def to_bibtex(rows: Iterable[Row]) -> str:
    """An entry for slotbench and one for each paper that it names a source for."""
    rows = [row for row in rows if row["counts"]]
    commits = sorted({row["git_commit"] for row in rows if row["git_commit"]})
    note = f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"
    lines = [
        "@software{slotbench,",
        "  title = {slotbench},",
        f"  version = {{{__version__}}},",
        *([f"  note = {{{note}}},"] if commits else []),
        "}",
    ]
    for work in works(rows):
        several = " and " in work.authors or not work.authors
        authors = (work.authors or "others") if several else f"{work.authors} and others"
        lines += [
            "",
            f"@misc{{{work.key},",
            f"  author = {{{authors}}},",
            *([f"  year = {{{work.year}}},"] if work.year else []),
            f"  eprint = {{{work.arxiv}}},",
            "  archivePrefix = {arXiv},",
            f"  note = {{for: {', '.join(work.used_for)}}},",
            "}",
        ]
    return "\n".join(lines) + "\n"


def to_markdown(rows: Iterable[Row], sentence: str) -> str:
    """How the results were made, what they say (``sentence``), and what to cite."""
    rows = list(rows)
    runs: dict[str, Row] = {row["run"]: row for row in rows}
    counting = [row for row in runs.values() if row["counts"]]
    failed = sum(row["state"] == "failed" for row in runs.values())
    seeds = sorted({row["seed"] for row in counting if row["seed"] is not None})
    lost = f"; {failed} more failed and are in no mean" if failed else ""
    lines = [
        f"Results were computed with slotbench {__version__}{_commits(rows)} from "
        f"{len(counting)} runs with seeds {_ranges(seeds)}{lost}. "
        f"Data: {'; '.join(_data(counting)) or 'none'}. "
        "Numbers are means over seeds with 95 % intervals (Student's t below ten seeds, bootstrap "
        "from ten). The best objective of each family is compared on shared seeds by a permutation "
        "test with Holm's correction.",
        "",
        sentence,
        "",
        "```bibtex",
        to_bibtex(rows).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _commits(rows: list[Row]) -> str:
    rows = [row for row in rows if row["counts"]]
    commits = sorted({row["git_commit"] for row in rows if row["git_commit"]})
    changed = any(row["git_clean"] is False for row in rows)
    text = f" (commit {commits[0][:12]})" if len(commits) == 1 else ""
    text = f" ({len(commits)} commits)" if len(commits) > 1 else text
    return text + (", with changes that were not committed," if changed else "")


def _data(counting: Iterable[Row]) -> Iterator[str]:
    """``clevr:clevr6, rendered by slotbench and not the original clevr (fingerprint ...)``."""
    seen: dict[tuple[Any, ...], None] = {}
    for row in counting:
        seen[(row["dataset"], row["image_size"], row["origin"], row["fingerprint"])] = None
    for dataset, size, origin, fingerprint in seen:
        name = str(dataset).partition(":")[0]
        said = "original" if origin == "original" else f"{origin}, not the original {name}"
        yield f"{dataset} at {size} px ({said}; fingerprint {str(fingerprint)[:12]})"


def _ranges(seeds: list[int]) -> str:
    """``0-4, 7``."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in parts]
    return ", ".join(texts) or "none"
