"""A real Slurm cluster on this machine: munged, slurmctld and several slurmd on loopback, in a folder of their own."""

import atexit
import contextlib
import functools
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_END_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Words before a daemon's, so that it is killed with the process of the tests, however that ends."""

PROGRAMS = ("setpriv", "munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")

_IDS = 10_000
"""Most ids of jobs that a controller gives before the next one starts."""

PROFILE: dict[str, Any] = {"provider": "slurm", "poll": 0.1, "interval": 0.5, "settle": 0.5}
"""A profile that looks often."""

_CONFIG = """\
ClusterName=test
FirstJobId=1
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
{accounting}
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/completed
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=5
MessageTimeout=5
MinJobAge={min_job_age}
KillWait=2
CompleteWait=0
{nodes}
PartitionName=main Nodes=n[1-{count}] Default=YES MaxTime=60 State=UP PriorityTier=2
PartitionName=low Nodes=n[1-{count}] MaxTime=60 State=UP PriorityTier=1
"""


@dataclass
class SlurmCluster:
    """A cluster whose parts can be stopped and started again.

    Attributes:
        folder: with its configuration, state and logs.
        nodes: their names.
        config: the file that ``SLURM_CONF`` names.
        controllers: how many have been started.
        more: the words of further daemons by their names, which start after ``munged``.
    """

    folder: Path
    nodes: tuple[str, ...]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    controllers: int = 0
    more: dict[str, list[str]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "slurm.conf"

    def start(self, name: str) -> None:
        """Start the controller (``slurmctld``), ``munged``, one of `more`, or a node by its name.

        A controller that was killed would give its last ids once more, upon which Slurm drains the nodes that know them:
        each that starts gives higher ones.
        """
        if name == "slurmctld":
            self.controllers += 1
            said = re.sub(r"(?m)^FirstJobId=.*", f"FirstJobId={self.controllers * _IDS}", self.config.read_text())
            self.config.write_text(said)
        words = {
            "munged": ["munged", "--foreground", f"--key-file={self.folder}/munge/key", f"--socket={self.folder}/munge/socket",
                       f"--pid-file={self.folder}/munge/pid", f"--log-file={self.folder}/munge/log", f"--seed-file={self.folder}/munge/seed", "--force"],
            "slurmctld": ["slurmctld", "-D", "-f", str(self.config)],
            **self.more,
        }.get(name, ["slurmd", "-D", "-N", name, "-f", str(self.config)])  # fmt: skip
        with (self.folder / "log" / f"{name}.said").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*_END_WITH_US, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PATH": _PATH, "SLURM_CONF": str(self.config)},
            )  # fmt: skip

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a part, or kill it; what runs on a node goes on, as its slurmstepd do."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(timeout=100)

    def kill_node(self, name: str) -> None:
        """Kill a node with all that runs on it, as if its power were cut."""
        self.stop(name, signal.SIGKILL)
        while pids := self._on(name):  # what they have started meanwhile is found the next time
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _on(self, name: str) -> list[int]:
        """The processes of a node: its slurmstepd, and what these have started."""
        parents, found = {}, []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError, IndexError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    conf, node = f"SLURM_CONF={self.config}".encode(), f"SLURMD_NODENAME={name}".encode()
                    if node in environment and conf in environment:
                        found.append(int(entry.name))
        steps = {parents[pid] for pid in found if pid in parents and _command(parents[pid]).startswith("slurmstepd")}
        return [*steps, *found]

    def call(self, *words: str) -> str:
        """What one of Slurm's commands prints."""
        environment = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(self.config)}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=600).stdout

    def wait_until_up(self, nodes: Sequence[str] | None = None) -> None:
        """Wait until the controller answers and the nodes, or all of them, take jobs."""
        wanted, until, said = set(self.nodes if nodes is None else nodes), time.monotonic() + 60, ""
        while time.monotonic() < until:
            with contextlib.suppress(subprocess.CalledProcessError):
                said = self.call("sinfo", "--noheader", "--Node", "--format=%N %t")
                self._resume(said)
                if wanted <= {
                    line.split()[0] for line in said.splitlines() if line.split()[1] in ("idle", "mix", "alloc")
                }:
                    return
            threading.Event().wait(0.1)
        raise AssertionError(
            f"the cluster is not up: {said}\n{(self.folder / 'log' / 'slurmctld.said').read_text()[-2000:]}"
        )

    def resume_drained(self) -> None:
        """Let nodes take jobs again that Slurm has drained, as after a job that the controller forgot."""
        self._resume(self.call("sinfo", "--noheader", "--Node", "--format=%N %t"))

    def _resume(self, said: str) -> None:
        for name in {line.split()[0] for line in said.splitlines() if line.split()[1].startswith(("drain", "drng"))}:
            self.call("scontrol", "update", f"NodeName={name}", "State=RESUME")

    def queued(self) -> list[str]:
        """The tasks that have not ended; what Slurm only cleans up behind has."""
        told = self.call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return [line for line in told if "COMPLETING" not in line]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def missing(programs: Sequence[str] = PROGRAMS) -> list[str]:
    """Those programs, of Slurm's, that are not installed here."""
    return [program for program in programs if shutil.which(program, path=_PATH) is None]


@contextlib.contextmanager
def without(_cluster: SlurmCluster) -> Iterator[str]:
    """No accounting."""
    yield "AccountingStorageType=accounting_storage/none"


Accounting = Callable[[SlurmCluster], contextlib.AbstractContextManager[str]]
"""Starts what keeps the accounting of a cluster, after its munged and before its controller; gives lines of its configuration."""


@contextlib.contextmanager
def started(
    nodes: int = 4,
    cpus: int = 2,
    min_job_age: int = 300,
    accounting: Accounting = without,
    private: Sequence[Path] = (),
) -> Iterator[SlurmCluster]:
    """A cluster that runs within the context, and of which nothing is left after it.

    Args:
        nodes: how many.
        cpus: processors of each.
        min_job_age: seconds until the controller forgets a job that has ended, as far as it can.
        accounting: starts what keeps the accounting, if any.
        private: folders that each node has of its own, so that it sees nothing of this machine's there.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        for name in ("munge", "state", "spool", "log"):
            (folder / name).mkdir(mode=0o755)
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o400)
        host, ports = socket.gethostname().partition(".")[0], free_ports(nodes + 1)
        names = tuple(f"n{number + 1}" for number in range(nodes))
        lines = [f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=1000 State=UNKNOWN"
                 for name, port in zip(names, ports[1:], strict=True)]  # fmt: skip
        user = pwd.getpwuid(os.getuid()).pw_name
        values = {
            "host": host,
            "ports": ports,
            "folder": folder,
            "user": user,
            "nodes": "\n".join(lines),
            "count": nodes,
        }
        cluster = SlurmCluster(folder, names)
        if private:
            mounts = " && ".join(f"mount -t tmpfs none {shlex.quote(str(path))}" for path in private)
            cluster.more |= {
                name: ["unshare", "-m", "sh", "-c", f"{mounts} && exec slurmd -D -N {name} -f {cluster.config}"]
                for name in names
            }
        with _munged(cluster), accounting(cluster) as lines_of_accounting:
            cluster.config.write_text(_CONFIG.format(**values, min_job_age=min_job_age, accounting=lines_of_accounting))
            with _running(cluster):
                yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _munged(cluster: SlurmCluster) -> Iterator[None]:
    cluster.start("munged")
    try:
        until = time.monotonic() + 20
        while not (cluster.folder / "munge" / "socket").exists():
            assert time.monotonic() < until, (cluster.folder / "munge" / "log").read_text()
            threading.Event().wait(0.02)
        yield
    finally:
        for name in list(cluster.processes):
            cluster.stop(name, signal.SIGKILL)


@contextlib.contextmanager
def _running(cluster: SlurmCluster) -> Iterator[None]:
    try:
        for name in ("slurmctld", *cluster.nodes):
            cluster.start(name)
        cluster.wait_until_up()
        yield
    finally:
        for name in [name for name in cluster.nodes if name in cluster.processes]:
            cluster.kill_node(name)
        cluster.stop("slurmctld", signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@functools.cache
def _shared() -> SlurmCluster:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(started())


@contextlib.contextmanager
def connected() -> Iterator[SlurmCluster]:
    """The cluster of this process, which starts with the first use, where Slurm is installed; others skip the test."""
    if missing():
        pytest.skip(f"there is no {missing()[0]}; apt-get install slurm-wlm munge")
    with commands_of(_shared()) as cluster:
        yield cluster


@contextlib.contextmanager
def commands_of(cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Within the context Slurm's commands ask this cluster."""
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(cluster.config)
    try:
        yield cluster
    finally:
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
