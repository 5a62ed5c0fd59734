"""The line that ``train`` prints about its score, with reference scores."""

from slotbench.config.run_config import RunConfig
from slotbench.evaluation.groups import group_of
from slotbench.files import read_document
from slotbench.progress import counted
from slotbench.results.documents import Evaluation
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.grouping import Group, rows
from slotbench.results.leaderboard.scaling import CEILING, FLOOR, reference_row
from slotbench.results.run import Run

REFERENCES = {FLOOR: f"floor ({FLOOR})", "reconstruction": "", CEILING: ""}
"""Reference objective -> its name in the line; "": the name of the objective."""


def learnt(run: Run, config: RunConfig) -> str:
    """The run's score on the primary measure, and the means of :data:`REFERENCES` over seeds.

    References are rows of the leaderboard on the same data, preferably of the same core and
    preset. Their steps are given where they differ from the run's.
    """
    judged = read_document(run.evaluation, Evaluation)
    score = judged.metrics.get(PRIMARY)
    if score is None or score["value"] is None:
        return f"Learnt: no {PRIMARY}: {_reason(judged)}."
    info = config.dataset
    data = (info.recipe if info.origin == "rendered" else "") or info.fingerprint
    group = Group(info.reference, info.origin, info.image_size, data)
    known, said = rows(find(run.results_dir)), []
    for objective, title in REFERENCES.items():
        row = reference_row(objective, group, str(config.names["core"]), config.preset, known)
        if row is not None and PRIMARY in row.metrics and objective != config.names["objective"]:
            seeds = counted(len(row.seeds), "seed")
            if row.cost.steps and row.cost.steps != run.status()["step"]:
                seeds += f" of {row.cost.steps:,.0f} steps"
            said.append(f"{title or objective} {row.metrics[PRIMARY].mean:.2f}, {seeds}")
    beside = f" Of the same data: {'; '.join(said)}." if said else ""
    return f"Learnt: {PRIMARY} {score['value']:.2f}.{beside}"


def _reason(judged: Evaluation) -> str:
    """Why an evaluation has no score on the primary measure."""
    group = str(group_of(PRIMARY))
    if group in judged.skipped:
        return judged.skipped[group]
    if PRIMARY in judged.metrics:
        return f"no image of {judged.split} shows an object"
    return f"{group} was not evaluated; --metrics {group} does so"
