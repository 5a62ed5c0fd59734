"""What a paper should cite for its results: BibTeX, and a paragraph on how they were made."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slotbench import __version__, registry
from slotbench.config.mixture import parse
from slotbench.errors import UserError
from slotbench.evaluation.groups import group_of
from slotbench.results.export import Row

TITLES: Mapping[str, str] = {
    "1306.0895": "Sinkhorn Distances: Lightspeed Computation of Optimal Transportation Distances",
    "1405.0312": "Microsoft COCO: Common Objects in Context",
    "1512.03385": "Deep Residual Learning for Image Recognition",
    "1612.06890": "CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual "
    "Reasoning",
    "1804.08018": "ShapeStacks: Learning Vision-Based Physical Intuition for Generalised Object "
    "Stacking",
    "1805.01978": "Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination",
    "1901.07017": "Spatial Broadcast Decoder: A Simple Architecture for Learning Disentangled "
    "Representations in VAEs",
    "1911.05722": "Momentum Contrast for Unsupervised Visual Representation Learning",
    "1911.12247": "Contrastive Learning of Structured World Models",
    "2002.05709": "A Simple Framework for Contrastive Learning of Visual Representations",
    "2003.04297": "Improved Baselines with Momentum Contrastive Learning",
    "2006.07733": "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
    "2006.09882": "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
    "2006.15055": "Object-Centric Learning with Slot Attention",
    "2007.09294": "Slot Contrastive Networks: A Contrastive Approach for Representing Objects",
    "2010.11929": "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    "2011.10287": "Learning Object-Centric Video Models by Contrasting Sets",
    "2011.10566": "Exploring Simple Siamese Representation Learning",
    "2103.03230": "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
    "2104.14294": "Emerging Properties in Self-Supervised Vision Transformers",
    "2105.04906": "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised "
    "Learning",
    "2107.00637": "Generalization and Robustness Implications in Object-Centric Learning",
    "2108.13264": "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    "2110.11405": "Illiterate DALL-E Learns to Compose",
    "2111.10265": "ClevrTex: A Texture-Rich Benchmark for Unsupervised Multi-Object Segmentation",
    "2111.12594": "Conditional Object-Centric Learning from Video",
    "2203.03570": "Kubric: A Scalable Dataset Generator",
    "2205.15288": "Self-Supervised Visual Representation Learning with Semantic Grouping",
    "2207.00787": "Object Representations as Fixed Points: Training Iterative Refinement "
    "Algorithms with Implicit Differentiation",
    "2209.14860": "Bridging the Gap to Real-World Object-Centric Learning",
    "2210.08990": "Improving Object-centric Learning with Query Optimization",
    "2301.13197": "Unlocking Slot Attention by Changing Optimal Transport Costs",
    "2302.04973": "Invariant Slot Attention: Object Discovery with Slot-Centric Reference Frames",
    "2306.02577": "Exploring the Role of the Bottleneck in Slot-Based Models Through Covariance "
    "Regularization",
    "2311.04640": "Object-Centric Learning with Slot Mixture Module",
    "2412.14295": "Temporally Consistent Object-Centric Learning by Contrasting Slots",
}
_STATISTICS = "Agarwal et al. 2021, arXiv 2108.13264"
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
    """What the rows that count rest on: datasets, cores, objectives, metrics, the statistics."""
    used: dict[str, list[str]] = {_STATISTICS: ["statistics"]}
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
        title = TITLES.get(work.arxiv)
        authors = " and ".join(work.authors.split(" and ")) or "others"
        if " and " not in work.authors and work.authors:
            authors = f"{work.authors} and others"
        lines += [
            "",
            f"@misc{{{work.key},",
            *([f"  title = {{{{{title}}}}},"] if title else []),
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
        "Numbers are means over seeds with 95 % stratified bootstrap intervals; objectives are "
        "compared on shared seeds by Wilcoxon's signed-rank test with Holm's correction "
        f"[@{_key_of(rows, '2108.13264')}].",
        "",
        sentence,
        "",
        "```bibtex",
        to_bibtex(rows).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _key_of(rows: list[Row], arxiv: str) -> str:
    return next(work.key for work in works(rows) if work.arxiv == arxiv)


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
