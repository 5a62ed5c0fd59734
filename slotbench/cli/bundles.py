"""The commands ``publish`` and ``verify``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument

from slotbench.cli import completion
from slotbench.cli.options import (
    DATA,
    RESULTS,
    DataDir,
    Device,
    Json,
    ResultsDir,
    how,
    output,
    put,
    put_json,
)
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import plain, say


def publish(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN...", help="Directories or ids.", autocompletion=completion.runs),
    ],
    out: Annotated[
        Path, output("A folder or .zip to write; .json: records without weights.", metavar="BUNDLE")
    ],
    force: Annotated[bool, how("Replace a bundle that is there.", "--force")] = False,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Finished runs with their weights and a sha256 of every file, for others to verify."""
    from slotbench import api

    facts = api.publish(runs, out, force=force, results_dir=results_dir)
    if as_json:
        put_json({"schema": 1, **facts})
        return
    if facts["weights"]:
        say(f"Whoever has it can type: slotbench verify {out}")
    typer.echo(out)


def verify(
    target: Annotated[
        str,
        Argument(
            metavar="FILE|RUN|BUNDLE",
            help="A prepared dataset, a run or a results bundle.",
            autocompletion=completion.runs,
        ),
    ],
    recompute: Annotated[bool, how("Compute a bundle's numbers again from its weights.")] = True,
    tolerance: Annotated[float, how("How far a number of a bundle may move.")] = 0.01,
    device: Device = "auto",
    data_dir: DataDir = DATA,
    results_dir: ResultsDir = RESULTS,
    as_json: Json = False,
) -> None:
    """Check that a dataset, a run or a bundle is whole and is what it says it is.

    Of a bundle, every hash is checked and every number is computed again where its dataset is
    prepared; the digits that moved are shown. A bundle that is not as it was published is an
    error (exit code 2), numbers that moved further than allowed are a failure (1).
    """
    from slotbench import api

    facts = api.verify(
        target,
        recompute=recompute,
        tolerance=tolerance,
        device=device,
        data_dir=data_dir,
        results_dir=results_dir,
    )
    if as_json:
        put_json(facts)
    elif "bundle" in facts:
        from slotbench.cli.bundle_table import bundle_table

        for shown in bundle_table(facts):
            put(shown)
    else:
        for key, value in facts.items():
            typer.echo(plain(f"{key}: {value}"))
    if "bundle" in facts:
        _judge_bundle(facts, tolerance)


def _judge_bundle(facts: dict[str, Any], tolerance: float) -> None:
    path = facts["bundle"]
    if facts["hashes"]["wrong"]:
        raise UserError(
            f"{path} is not as it was published.", "Ask for it anew; use nothing of it."
        )
    if facts["contradicted"]:
        raise SlotbenchError(
            f"{facts['contradicted']} numbers of {path} are contradicted.",
            f"Or allow them to move further: --tolerance {2 * tolerance:g}",
        )
    if not facts["ok"]:
        raise SlotbenchError(
            f"{path} is not verified: {facts['unverified'][0]}"
            + (f" ({len(facts['unverified']) - 1} more)" if len(facts["unverified"]) > 1 else ""),
            "To check the hashes alone, add --no-recompute.",
        )
