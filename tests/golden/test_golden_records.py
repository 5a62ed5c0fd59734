"""The leaderboard of the records that come with slotbench; old rows must stay as they are."""

import json
import tempfile
from functools import cache

import pytest

from slotbench.config.run_config import RunConfig
from slotbench.results import SHIPPED
from tests.commands import slotbench
from tests.golden.store import load

METRIC = "linear_probe/slots/map"
NAMES = ("dataset", "core", "objective", "alignment", "preset", "settings")
LISTS = ("rows", "comparisons", "families", "ranks", "overall")


def board():
    """``slotbench leaderboard --json``."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("leaderboard", "--json", "--results-dir", folder)
        done = slotbench(*words, SLOTBENCH_PUBLISHED=str(SHIPPED))
    return dict(json.loads(done.stdout))


@cache
def found():
    """Lengths, the verdict, a mean a row, and the id of each record's configuration."""
    made = board()
    rows = {
        " ".join(str(row[name]) for name in NAMES): {
            "seeds": row["seed_list"],
            "family": row["family"],
            "metrics": len(row["metrics"]),
            METRIC: row["metrics"][METRIC]["mean"],
        }
        for row in made["rows"]
    }
    records = [json.loads(path.read_text()) for path in sorted(SHIPPED.glob("*.json"))]
    configs = [record["config"] for listed in records for record in listed]
    ids = [RunConfig.from_dict(config).id for config in configs if "kind" not in config]
    return {
        "lengths": {name: len(made[name]) for name in LISTS},
        "warnings": made["warnings"],
        "verdict": made["verdict"]["sentence"],
        "rows": rows,
        "ids": ids,
    }


STORED = load("records")


@pytest.mark.parametrize("part", ["lengths", "warnings", "verdict", "ids"])
def test_what_is_published_stays(part):
    assert found()[part] == STORED[part]


def test_every_row_has_its_mean():
    got = found()["rows"]
    assert list(got) == list(STORED["rows"])
    for name, wanted in STORED["rows"].items():
        mean = wanted[METRIC] and pytest.approx(wanted[METRIC], rel=1e-9)  # none of a baseline
        assert got[name] == {**wanted, METRIC: mean}, name
