"""``python -m tests.golden.write [--to FOLDER]``: store what the code makes."""

import argparse
import time
from pathlib import Path

from tests.golden import test_golden_data as data
from tests.golden import test_golden_ids as ids
from tests.golden import test_golden_losses as losses
from tests.golden import test_golden_metrics as metrics
from tests.golden import test_golden_records as records
from tests.golden.store import FOLDER, save, save_arrays

GUARDS = {"ids": ids, "records": records, "data": data, "losses": losses, "metrics": metrics}


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, guard in GUARDS.items():
        started = time.monotonic()
        save(name, guard.found(), folder)
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
    save_arrays(data.found_arrays(), folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER)
    write(parser.parse_args().to)
