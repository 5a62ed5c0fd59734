"""``python -m tests.golden [--write] [--to FOLDER]``: compare or store what the code makes."""

import argparse
import json
import sys
from pathlib import Path

from tests.golden import test_golden_data as data
from tests.golden import test_golden_ids as ids
from tests.golden import test_golden_losses as losses
from tests.golden import test_golden_metrics as metrics
from tests.golden import test_golden_records as records
from tests.golden.store import FOLDER, load, save, save_arrays

GUARDS = {"ids": ids, "records": records, "data": data, "losses": losses, "metrics": metrics}


def differences(got, wanted, place):
    """Each leaf that differs, by its path."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        for key in sorted(got.keys() | wanted.keys()):
            here = f"{place} > {key}"
            if key not in got or key not in wanted:
                yield f"{here}: only {'after' if key in got else 'before'}"
            else:
                yield from differences(got[key], wanted[key], here)
    elif got != wanted:
        yield f"{place}: {str(wanted)[:90]} -> {str(got)[:90]}"


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--write", action="store_true")
parser.add_argument("--to", type=Path, default=FOLDER)
given, count = parser.parse_args(), 0
for name, guard in GUARDS.items():
    got = json.loads(json.dumps(guard.found()))
    if given.write:
        save(name, got, given.to)
        continue
    found = list(differences(got, load(name, given.to), name))
    print(
        f"{name}: {f'{len(found)} differ' if found else 'the same'}", *found, sep="\n  ", flush=True
    )
    count += len(found)
if given.write:
    save_arrays(data.found_arrays(), given.to)
sys.exit(count > 0)
