"""A Slurm cluster of one node on loopback: munged, slurmctld and slurmd of Debian's slurm-wlm."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.commands import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
SlurmctldPort={ctld}
SlurmdPort={d}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
ReturnToService=2
KillWait=20
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """The programs that are not installed; daemons lie where no PATH of a user leads."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def slurm(cpus=2):
    """The environment variables by which Slurm's commands find the cluster."""
    # A path short enough for a socket's.
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for inner in ("state", "spool"):
            (folder / inner).mkdir()
        key, conf = folder / "key", folder / "slurm.conf"
        key.write_bytes(os.urandom(256))
        key.chmod(0o600)
        host, (ctld, d) = socket.gethostname().partition(".")[0], _free_ports(2)
        places = {"host": host, "user": getpass.getuser(), "folder": folder}
        conf.write_text(CONF.format(**places, ctld=ctld, d=d, cpus=cpus))
        told = {"SLURM_CONF": str(conf), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        files = {"key-file": "key", "socket": "munge", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "seed"}
        options = [f"--{option}={folder}/{file}" for option, file in files.items()]
        munge = ("munged", "--foreground", "--force", *options)
        with ExitStack() as daemons:
            for words in (munge, ("slurmctld", "-D", "-f", str(conf)), ("slurmd", "-D")):
                daemons.enter_context(_daemon(words, told))
                if words is munge:
                    wait_for(lambda: (folder / "munge").exists())
            wait_for(lambda: "idle" in _said(told, "sinfo", "--noheader", "--format=%T"))
            yield told
            _said(told, "scancel", "--full", "--user", getpass.getuser())


@contextmanager
def _daemon(words, told):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemon = subprocess.Popen(words, env={**os.environ, **told}, start_new_session=True, **quiet)
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _said(told, *words):
    done = subprocess.run(
        words, env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    return done.stdout
