"""The driver: what is to be run, when, how often, and what is left alone."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from slotbench.results.run import Run, RunLocked
from slotbench.suites import clock, commands, drive
from slotbench.suites.state import Journal, Progress
from tests.suites import tiny

pytestmark = pytest.mark.usefixtures("at_once")


class Told(tiny.Script):
    """Ends tasks as it is told, one outcome after the other; then as :class:`Script` does."""

    def __init__(self, folder, *outcomes, capacity=2):
        super().__init__(folder, capacity)
        self.outcomes = iter(outcomes)

    def outcome(self, task):
        return next(self.outcomes, None) or super().outcome(task)


def begun(engine, cell):
    return engine.given.count(cell.key)


def test_every_cell_is_run_once_and_no_more_than_there_is_room_for(eight, tmp_path):
    for capacity in (1, 3, 8):
        results = tmp_path / str(capacity)
        plan = tiny.planned(eight.suite, tmp_path / "data", results)
        engine = tiny.Script(results, capacity)
        picture = tiny.drive(plan, engine, results)
        assert picture.counts["done"] == 8
        assert engine.given == [cell.key for cell in plan.cells]
        assert engine.most == capacity
        assert tiny.submitted(results) == engine.given


@pytest.mark.parametrize(
    ("outcomes", "attempts", "counts"),
    [
        ([("stopped", "preempted")] * 3, drive.ATTEMPTS, {"done": 7, "waiting": 1}),
        ([("elsewhere", "")] * 5, 6, {"done": 8}),
        ([("failed", "The disk is full")], 1, {"done": 7, "failed": 1}),  # not written down
    ],
)
def test_how_often_a_cell_is_begun(eight, tmp_path, outcomes, attempts, counts):
    engine = Told(tmp_path, *outcomes, capacity=1)
    picture = tiny.drive(eight, engine, tmp_path)
    assert begun(engine, eight.cells[0]) == attempts
    assert {state: count for state, count in picture.counts.items() if count} == counts
    reasons = [progress.reason for _, progress in picture.cells("failed")]
    assert reasons == ["The disk is full"] * counts.get("failed", 0)


def test_a_full_disk_does_not_end_a_suite(eight, tmp_path, monkeypatch):
    """The journal is nothing that the suite depends on."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("slotbench.suites.state.os.write", full)
    assert tiny.drive(eight, tiny.Script(tmp_path), tmp_path).counts["done"] == 8


def test_a_cell_that_another_process_has_in_hand_is_waited_for(eight, tmp_path):
    taken = eight.cells[2].run
    taken.path.mkdir(parents=True)
    taken.write_status("running")
    let_go, held = threading.Event(), threading.Event()

    class Slow(tiny.Script):
        def poll(self):
            if not self.waiting and len(self.given) == 7:
                tiny.finish(taken.path)
                let_go.set()
            return super().poll()

    def hold():
        with taken.lock():
            held.set()
            let_go.wait(60)

    engine = Slow(tmp_path)
    with ThreadPoolExecutor() as pool:
        pool.submit(hold)
        held.wait(60)
        assert tiny.drive(eight, engine, tmp_path).counts["done"] == 8
    assert str(taken.path) not in engine.given


def test_two_suites_at_once_run_each_cell_once(eight, tmp_path):
    finished = []

    class Sharing(tiny.Script):
        def outcome(self, task):
            run = Run(Path(task.run))
            run.path.mkdir(parents=True, exist_ok=True)
            try:
                with run.lock():
                    if run.status()["state"] != "done":
                        finished.append(task.run)
                        tiny.finish(run.path)
            except RunLocked:
                return "elsewhere", ""
            return "done", ""

    with ThreadPoolExecutor() as pool:
        drives = [
            pool.submit(tiny.drive, eight, Sharing(tmp_path, 4), tmp_path / "results")
            for _ in range(2)
        ]
        pictures = [each.result() for each in drives]
    assert [picture.counts["done"] for picture in pictures] == [8, 8]
    assert sorted(finished) == sorted(cell.key for cell in eight.cells)


@pytest.mark.parametrize("detached", [True, False])
def test_cancel_ends_the_jobs_that_a_driver_left(eight, tmp_path, monkeypatch, detached):
    ended = []

    class Far(tiny.Script):
        name = "far"

        def __init__(self, settings):
            super().__init__(settings.folder)
            assert settings.options == {"queue": "long"}

        def adopt(self, _, handle):
            return handle == "7"

        def cancel(self):
            ended.append(self.name)

    Far.detached = detached
    journal = Journal(tmp_path, eight.suite.name)
    journal.write("begin", engine="far", options={"queue": "long"})
    for cell, handle in zip(eight.cells, "78", strict=False):
        journal.write("submit", run=cell.key, engine="far", handle=handle)
    monkeypatch.setattr("slotbench.registry.get", lambda *_: SimpleNamespace(load=lambda: Far))
    monkeypatch.setattr(commands, "planned", lambda *_: eight)
    where = commands.Where(tmp_path / "data", tmp_path)
    assert commands.cancel(eight.suite, where) == len(ended) == detached


def test_cancel_ends_the_driver(eight, tmp_path):
    journal = Journal(tmp_path, "tiny")

    class Asked(tiny.Script):
        def poll(self):
            if len(self.given) == 4:
                journal.write("cancel")
            return super().poll()

    engine = Asked(tmp_path, 1)
    driver = drive.Driver(eight, engine, journal)
    journal.write("cancel")  # meant for those before
    counts = driver.run(lambda _: None).counts
    assert driver.stopped == "cancel"
    assert 3 <= counts["done"] < 8


def test_jobs_that_an_earlier_driver_left_are_taken_over(eight, tmp_path):
    class Queue(tiny.Script):
        def adopt(self, task, handle):
            if handle == "17":
                self.waiting.append(task)
            return handle == "17"

    kept, gone = eight.cells[:2]
    journal = Journal(tmp_path, "tiny")
    for cell, handle in ((kept, "17"), (gone, "18")):
        journal.write("submit", run=cell.key, engine="local", handle=handle)
    with journal.file.open("ab") as stream:
        stream.write(b'{"event": "end", "run": "half a li')
    engine = Queue(tmp_path)
    assert tiny.drive(eight, engine, tmp_path).counts["done"] == 8
    assert set(engine.given) == {cell.key for cell in eight.cells} - {kept.key}


def test_time_to_go(eight, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    timer, cells = clock.Clock(), eight.cells
    progress = {cell.key: Progress("waiting", steps=4) for cell in cells}
    assert timer.to_go(cells, progress, 2) is None
    timer.begun(cells[0], progress[cells[0].key])
    now[0] += 30
    progress[cells[0].key] = Progress("running", step=2, steps=4)
    assert timer.to_go(cells, progress, 2) == pytest.approx((30 + 7 * 60) / 2)
    now[0] += 30
    progress[cells[0].key] = Progress("done")
    timer.ended(cells[0], counted=True)
    assert timer.to_go(cells, progress, 2) == pytest.approx(7 * 60 / 2)
    assert timer.to_go(cells, progress, 8) == pytest.approx(60)
