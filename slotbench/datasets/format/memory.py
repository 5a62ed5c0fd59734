"""How much memory a dataset may use."""

import os
from collections.abc import Iterator
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that can be used without swapping, those of file caches included.

    The limits of control groups (cgroups, version 1 or 2) count too: containers and batch systems
    give a process less than the machine has.
    """
    return min(_of_machine(), *_of_groups())


def _of_machine() -> int:
    if MEMINFO.is_file():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # macOS reports only the total: assume that half of it is in use.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _of_groups() -> Iterator[int]:
    """Bytes left under the limit of each group above this process."""
    yield 1 << 62
    for line in GROUPS.read_text().splitlines() if GROUPS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(MOUNT, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            yield from _left(
                MOUNT / "memory",
                path,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )


def _left(mount: Path, path: str, limit: str, used: str, cache: str) -> Iterator[int]:
    # In a container the path may be the host's, and only the mount itself exists.
    for group in (mount / path.lstrip("/"), *(mount / path.lstrip("/")).parents):
        most, now = _number(group / limit), _number(group / used)
        if most is not None and now is not None:
            yield max(0, most - max(0, now - _cached(group / "memory.stat", cache)))
        if group == mount:
            return


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file or it contains ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cached(path: Path, key: str) -> int:
    """Bytes of the file cache, which the kernel can free."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == key)
