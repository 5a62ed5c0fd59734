"""Every importer and every rendered dataset, killed at ten moments, ends as a quiet run does."""

import signal
import subprocess
import sys
import time

import pytest

from slotbench.results import verify
from slotbench.rng import numpy_generator
from tests.datasets.sources import RENDERED, SOURCES

KILLS, JOINING = 10, 3
"""Kills in all; the last ones of them while the file itself is being written."""

# Small parts, each with a pause, stand for hours of work.
SLOW = """
import sys, time
from pathlib import Path
from slotbench.datasets.prepare import parts, preparation as prepare

def slowly(work):
    def done(*arguments):
        work(*arguments)
        time.sleep(0.1)
    return done

parts.Parts.write = slowly(parts.Parts.write)
parts.append = slowly(parts.append)
prepare.IMPORT_PART = prepare.RENDER_PART = 2
name, data, source = sys.argv[1:]
sizes = {"train": 20, "val": 6, "test": 6}
fields = {"source": Path(source)} if source else {"sizes": sizes, "workers": 1}
prepare.prepare(prepare.Request(name, image_size=32, data_dir=Path(data), **fields))
"""


def same_after_ten_kills(name, folder, source=None):
    """Compare a quiet preparation with one that is killed ten times; nothing else is left."""

    def start(data):
        words = [sys.executable, "-c", SLOW, name, str(folder / data), str(source or "")]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL)

    assert start("quiet").wait() == 0
    generator, killed = numpy_generator(0, "kill", name), folder / "killed"
    for kill in range(KILLS):
        process = start("killed")
        pattern = ".*.h5.*.tmp" if kill >= KILLS - JOINING else "*.*"
        _wait_for_a_new_file(process, killed, pattern)
        time.sleep(0.3 * generator.random())
        assert process.poll() is None, "it ended before it was killed"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (killed / f"{name}.h5").exists()
    assert start("killed").wait() == 0
    assert [file.name for file in killed.iterdir()] == [f"{name}.h5"]
    quiet, again = (verify.dataset(path / f"{name}.h5") for path in (folder / "quiet", killed))
    assert (quiet["fingerprint"], quiet["manifest"]) == (again["fingerprint"], again["manifest"])


def _wait_for_a_new_file(process, folder, pattern, least=0.01):
    """Until a part, or whatever else matches, was begun: kills fall into the work itself."""
    seen = lambda: set(folder.rglob(pattern))  # noqa: E731
    before = seen()
    while process.poll() is None and not seen() - before:
        time.sleep(least)


@pytest.mark.slow
@pytest.mark.parametrize("case", SOURCES)
def test_an_import_that_is_killed_ten_times(case, tmp_path):
    source = SOURCES[case]
    path = source.written(tmp_path / "source", 24 if source.name == "movi" else 40)
    same_after_ten_kills(source.name, tmp_path, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RENDERED)
def test_rendering_that_is_killed_ten_times(name, tmp_path):
    same_after_ten_kills(name, tmp_path)
