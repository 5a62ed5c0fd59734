"""``python -m tests.golden.exact [FOLDER]``: compare to the last bit, and print what differs.

For before and after a move, on one machine. Exit code 1 where anything differs.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.golden.store import FOLDER, load
from tests.golden.write import GUARDS


def differences(got: Any, wanted: Any, place: str) -> Iterator[str]:
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


def main(folder: Path) -> int:
    count = 0
    for name, guard in GUARDS.items():
        got = json.loads(json.dumps(guard.found()))
        found = list(differences(got, load(name, folder), name))
        print(f"{name}: {f'{len(found)} differ' if found else 'the same'}", flush=True)
        for line in found:
            print(f"  {line}")
        count += len(found)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
