"""How much memory there is to hold a dataset in."""

import os
from collections.abc import Iterator
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that can be had without swapping; what caches hold counts, as they give way.

    Containers and batch systems give a process less than the machine has: the limits of its
    control groups (cgroups, version 1 or 2) count too.
    """
    return min(_of_machine(), *_of_groups())


def _of_machine() -> int:
    if MEMINFO.is_file():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # macOS tells only how much there is in all: half of it is taken to be in use.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _of_groups() -> Iterator[int]:
    """What each limit of the groups above this process leaves."""
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
    # In a container the path may be the host's, of which there is nothing but the mount itself.
    for group in (mount / path.lstrip("/"), *(mount / path.lstrip("/")).parents):
        most, now = _number(group / limit), _number(group / used)
        if most is not None and now is not None:
            yield max(0, most - max(0, now - _cached(group / "memory.stat", cache)))
        if group == mount:
            return


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file, or it says ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cached(path: Path, key: str) -> int:
    """Bytes of files that were read and may be forgotten."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == key)
