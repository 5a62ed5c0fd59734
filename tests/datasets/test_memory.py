"""How much memory a process may take, by what Linux says of machine and control groups."""

import pytest

from slotbench.datasets.format import loader as memory

MIB = 1 << 20
KEYS = {
    2: ("memory.max", "memory.current", "inactive_file", "0::{}"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "4:cpu,memory:{}"),
}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of 1,000 MiB without groups."""
    (tmp_path / "meminfo").write_text(f"MemAvailable: {1000 * 1024} kB\n")
    for name, path in (("MEMINFO", "meminfo"), ("GROUPS", "cgroup"), ("MOUNT", "mount")):
        monkeypatch.setattr(memory, name, tmp_path / path)


def group(tmp_path, version, path, limit, used, cache=0):
    """Bytes in MiB, but for what ``limit`` says."""
    most, now, key, _ = KEYS[version]
    folder = tmp_path / "mount" / ("memory" if version == 1 else "") / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / most).write_text(f"{limit}\n")
    (folder / now).write_text(f"{used * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{key} {cache * MIB}\n")


def in_group(tmp_path, version, path):
    line = KEYS[version][3].format(path)
    (tmp_path / "cgroup").write_text(f"9:systemd:/elsewhere\n{line}\n")


def test_without_groups_it_is_what_the_machine_has():
    assert memory.available_memory() == 1000 * MIB


@pytest.mark.parametrize("version", KEYS)
def test_the_limit_of_a_group_counts_less_what_is_used(tmp_path, version):
    in_group(tmp_path, version, "/job/step")
    group(tmp_path, version, "/job/step", str(300 * MIB), 100)
    assert memory.available_memory() == 200 * MIB
    # Files that were read give way.
    group(tmp_path, version, "/job/step", str(300 * MIB), 100, cache=60)
    assert memory.available_memory() == 260 * MIB
    # More than the limit is used: nothing is left.
    group(tmp_path, version, "/job/step", str(300 * MIB), 400)
    assert memory.available_memory() == 0

    # The strictest group above counts.
    unlimited = "max" if version == 2 else str((1 << 63) - 4096)
    group(tmp_path, version, "/job/step", unlimited, 100)
    assert memory.available_memory() == 1000 * MIB
    group(tmp_path, version, "/job", str(250 * MIB), 150)
    assert memory.available_memory() == 100 * MIB
    # In a container the path is the host's, and the mount is the group.
    in_group(tmp_path, version, "/of/the/host/that/nobody/sees")
    group(tmp_path, version, "/", str(128 * MIB), 28)
    assert memory.available_memory() == 100 * MIB
