"""The engine ``ray``, on a cluster of Ray's own on this machine."""

from unittest.mock import Mock

import pytest

from slotbench.errors import UserError
from slotbench.suites import commands
from slotbench.suites.engines import Settings, Task
from slotbench.suites.ray_engine import Ray
from tests.suites import tiny

ray = pytest.importorskip("ray")

pytestmark = [
    # Ray leaves sockets, logs and processes of a cluster to the garbage collector, and warns of
    # changes to come in its own defaults.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


@pytest.fixture
def cluster(monkeypatch):
    """No cluster, but what one would say: resources, and how tasks end."""
    said = {"resources": {"CPU": 8.0}, "calls": [], "ends": []}
    task = Mock()
    task.options = lambda **options: said["calls"].append(options) or task
    task.remote = lambda run, _: run["run"].encode()

    def get(_):
        end = said["ends"].pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    for name, fake in {
        "init": lambda **given: said.update(given=given),
        "shutdown": lambda: None,
        "is_initialized": lambda: True,
        "cluster_resources": lambda: said["resources"],
        "remote": lambda _: task,
        "wait": lambda waiting, **_: (waiting, []),
        "cancel": lambda *_, **__: None,
        "get": get,
    }.items():
        monkeypatch.setattr(ray, name, fake)
    return said


def engine(folder, workers=None, device="auto", address=None):
    return Ray(Settings(workers, device, address, folder))


def test_a_task_asks_for_its_share_of_the_machine_or_of_a_node(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    assert engine(tmp_path, 2).threads == 4
    assert cluster["given"]["num_cpus"] == 8
    assert engine(tmp_path).capacity is None
    assert engine(tmp_path, 2, address="auto").threads == 1
    assert "num_cpus" not in cluster["given"]
    cluster["resources"] = {"CPU": 8.0, "GPU": 2.0}
    for device in ("auto", "cpu"):
        engine(tmp_path, device=device)
    shares = [(call["num_cpus"], call["num_gpus"]) for call in cluster["calls"]]
    assert shares == [(4, 0), (1, 0), (1, 0), (1, 1), (1, 0)]
    assert all(call["max_retries"] == 0 for call in cluster["calls"])


def test_what_ray_says_of_the_end_of_a_task(tmp_path, cluster):
    """A lost worker or node is no failure of the cell: it goes on when it is run again."""
    known = ray.exceptions
    found = engine(tmp_path, 8)
    ends = {
        "a": (("a", "done", ""), ("done", "")),
        "b": (known.WorkerCrashedError(), ("stopped", "lost the process")),
        "d": (known.OutOfMemoryError("much"), ("failed", "ran out of memory")),
        "e": (known.TaskCancelledError(), ("stopped", "cancelled")),
        "f": (known.RaySystemError("what"), ("stopped", "RaySystemError")),
    }
    cluster["ends"] = [end for end, _ in ends.values()]
    tasks = [Task(name, {}, "", "cpu", ()) for name in ends]
    assert len(set(found.submit(tasks))) == len(ends)
    told = {end.run: (end.outcome, end.reason) for end in found.poll()}
    assert list(told) == list(ends)
    for name, (_, (outcome, reason)) in ends.items():
        assert told[name][0] == outcome
        assert reason in told[name][1]
    assert found.poll() == []


def test_without_an_answer_it_says_what_to_type(tmp_path, monkeypatch):
    def nobody(**_):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(UserError, match="no Ray cluster answers") as error:
        engine(tmp_path, address="127.0.0.1:9")
    assert "ray start --head" in error.value.advice


@pytest.mark.slow
def test_a_cell_that_fails_is_known_and_the_next_one_runs(tmp_path, blocks, monkeypatch):
    """In this process: the driver's own Ray, a damaged dataset, and a cluster that is left."""
    data = tiny.data(tmp_path, blocks)
    where = commands.Where(data, tmp_path / "results", "cpu")
    suite = commands.find(str(tiny.write(tmp_path, tiny.TWO.replace("seeds = 2", ""))), tmp_path)
    plan = commands.planned(suite, where)
    lost = next(cell for cell in plan.cells if cell.values["objective"] == "simclr")
    lost.run.path.mkdir(parents=True)
    (lost.run.path / "checkpoint.pt").write_bytes(b"nothing that can be read")
    addresses = []
    at_work = Ray.submit

    def submit(self, tasks):
        addresses.append(self.ray.util.get_node_ip_address())
        return at_work(self, tasks)

    monkeypatch.setattr(Ray, "submit", submit)
    picture = commands.run(suite, where, "ray", workers=2)
    assert set(addresses) == {"127.0.0.1"}  # a cluster of our own listens on loopback only
    ((cell, progress),) = picture.cells("failed")
    assert cell.key == lost.key
    assert "checkpoint.pt" in progress.reason
    assert picture.counts["done"] == 3
    assert not ray.is_initialized()
