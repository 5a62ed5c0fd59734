"""Citations for a paper: a paragraph, and BibTeX of the papers that classes name in ``source``."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from slotbench import __version__, registry
from slotbench.config.mixture import parse
from slotbench.errors import UserError
from slotbench.evaluation.groups import group_of
from slotbench.results.export import Row

_ARXIV = re.compile(r"(?:(?:code of )?([^;,:]*?)(\s+et al\.)?\s+(\d{4}), )?arXiv (\d{4}\.\d{4,5})")


@dataclass
class Work:
    """One paper, with the facts that ``source`` gives."""

    arxiv: str
    authors: str = ""
    year: str = ""
    used_for: list[str] = field(default_factory=list)

    def bibtex(self) -> str:
        """Its entry; the key is like ``locatello2020_200615055``."""
        name = re.sub(r"[^a-z]", "", self.authors.split(" ")[0].lower()) or "arxiv"
        fields = {
            "author": self.authors or "others",
            "year": self.year,
            "eprint": self.arxiv,
            "archivePrefix": "arXiv",
            "note": f"for: {', '.join(dict.fromkeys(self.used_for))}",
        }
        return _entry(f"misc{{{name}{self.year}_{self.arxiv.replace('.', '')}", fields)


def _entry(head: str, fields: dict[str, str]) -> str:
    lines = [f"  {key} = {{{text}}}," for key, text in fields.items() if text]
    return "\n".join((f"@{head},", *lines, "}"))


def works(rows: Iterable[Row]) -> list[Work]:
    """The papers behind the datasets, cores, objectives and metrics of the rows that count."""
    counting = (row for row in rows if row["counts"])
    found: dict[str, Work] = {}
    for kind, name in dict.fromkeys(item for row in counting for item in _components(row)):
        entry = registry.entries(kind).get(name)
        for first, more, year, arxiv in _ARXIV.findall(entry.source if entry else ""):
            work, authors = found.setdefault(arxiv, Work(arxiv)), first.strip()
            work.authors = work.authors or (f"{authors} and others" if more else authors)
            work.year = work.year or year
            work.used_for.append(name)
    return sorted(found.values(), key=lambda work: (work.year, work.arxiv))


def _components(row: Row) -> Iterator[tuple[registry.Kind, str]]:
    if row["dataset"]:
        yield "datasets", row["dataset"].partition(":")[0]
    if row["core"] and not row["external"]:
        yield "cores", row["core"]
        with suppress(UserError):
            yield from (("objectives", part.name) for part in parse(row["objective"]))
    if row["metric"] and (group := group_of(row["metric"])):
        yield "metrics", group


def to_bibtex(rows: Iterable[Row]) -> str:
    """An entry for slotbench and one for each paper."""
    rows = list(rows)
    commits = _commits(rows)
    note = f"commit{'s' * (len(commits) > 1)} {', '.join(commits)}" if commits else ""
    fields = {"title": "slotbench", "version": __version__, "note": note}
    entries = [_entry("software{slotbench", fields), *(work.bibtex() for work in works(rows))]
    return "\n\n".join(entries) + "\n"


def to_markdown(rows: Iterable[Row], sentence: str) -> str:
    """How the results were computed, the verdict (``sentence``), and the citations."""
    rows = list(rows)
    runs: dict[str, Row] = {row["run"]: row for row in rows}
    counting = [row for row in runs.values() if row["counts"]]
    failed = sum(row["state"] == "failed" for row in runs.values())
    seeds = sorted({row["seed"] for row in counting if row["seed"] is not None})
    lost = f"; {failed} more failed and are in no mean" if failed else ""
    lines = [
        f"Results were computed with slotbench {__version__}{_version(rows)} from "
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


def _commits(rows: Iterable[Row]) -> list[str]:
    return sorted({row["git_commit"] for row in rows if row["counts"] and row["git_commit"]})


def _version(rows: list[Row]) -> str:
    commits = _commits(rows)
    said = {0: "", 1: f" (commit {''.join(commits)[:12]})"}
    changed = any(row["counts"] and row["git_clean"] is False for row in rows)
    text = said.get(len(commits), f" ({len(commits)} commits)")
    return text + (", with changes that were not committed," if changed else "")


def _data(counting: Iterable[Row]) -> Iterator[str]:
    """``clevr:clevr6, rendered by slotbench and not the original clevr (fingerprint ...)``."""
    names = ("dataset", "image_size", "origin", "fingerprint")
    seen = dict.fromkeys(tuple(row[name] for name in names) for row in counting)
    for dataset, size, origin, fingerprint in seen:
        name = str(dataset).partition(":")[0]
        said = "original" if origin == "original" else f"{origin}, not the original {name}"
        yield f"{dataset} at {size} px ({said}; fingerprint {str(fingerprint)[:12]})"


def _ranges(seeds: list[int]) -> str:
    """``0-4, 7``."""
    runs = (list(run) for _, run in groupby(enumerate(seeds), lambda pair: pair[1] - pair[0]))
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join("-".join(map(str, dict.fromkeys(pair))) for pair in ends) or "none"
