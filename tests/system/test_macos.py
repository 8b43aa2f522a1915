"""What macOS does otherwise than Linux, as far as it can be had on Linux; no macOS machine has run any of it."""

import ast
import ctypes
import fcntl
import os
import struct
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import psutil
import pytest

import cloudtune.process
from cloudtune.process.attempts import kept, watched
from cloudtune.process.groups import memory_of, start_ticks
from cloudtune.process.setting import TrialFiles
from cloudtune.process.ssh import SshConnection
from cloudtune.trial.hearing import event_files

PROCESS = Path(cloudtune.process.__file__).parent


class _Darwin:
    """The C library of macOS, as far as it is asked: a process that started when the second and microsecond say."""

    born: ClassVar[dict[int, tuple[int, int]]] = {}

    def __init__(self, name: None) -> None:
        pass

    def proc_pidinfo(self, pid: int, flavor: int, argument: Any, buffer: Any, size: int) -> int:
        assert (flavor, argument.value, size) == (3, 1, 136)
        if pid not in self.born:
            return 0
        ctypes.memmove(buffer, bytes(120) + struct.pack("=QQ", *self.born[pid]), size)
        return size


@pytest.fixture
def darwin(monkeypatch: pytest.MonkeyPatch) -> type[_Darwin]:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", _Darwin)
    monkeypatch.setattr(_Darwin, "born", {os.getpid(): (1_700_000_000, 25), os.getppid(): (1_600_000_000, 0)})
    return _Darwin


def test_a_process_is_told_from_a_later_one_of_its_id(tmp_path: Path, darwin: type[_Darwin]) -> None:
    assert start_ticks(os.getpid()) == "1700000000000025"
    assert start_ticks(2**22) == ""
    files = TrialFiles(str(tmp_path / "trial"), 1)
    files.make_folders()
    ours, keeper = (f"{pid} {start_ticks(pid)}" for pid in (os.getpid(), os.getppid()))
    Path(files.record).write_text(f"{ours}\n{keeper}\n")
    assert kept(files)
    darwin.born = {os.getpid(): (1_700_000_001, 25), os.getppid(): (1_700_000_001, 0)}
    assert not kept(files), "a stranger's process would be signalled in the place of a trial's"
    assert not watched(files)


def test_a_trial_with_a_limit_of_memory_is_measured_by_what_its_user_may_ask(
    monkeypatch: pytest.MonkeyPatch, darwin: type[_Darwin]
) -> None:
    def refused(_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_full_info", refused)
    assert memory_of(os.getpid()) > 1_000_000


def test_the_socket_of_ssh_has_a_short_enough_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = f"{tmp_path}/".ljust(
        60, "t"
    )  # as /var/folders/9f/8r0c1k8d1rd1k0d7y5w0_xkh0000gn/T has it with our folder in it
    monkeypatch.setattr(
        tempfile, "TemporaryDirectory", lambda prefix: SimpleNamespace(name=long[:60], cleanup=lambda: None)
    )
    words = SshConnection("host.example")._words("host.example")
    (path,) = [word.removeprefix("ControlPath=") for word in words if word.startswith("ControlPath=")]
    assert len(f"{path}.0123456789abcdef") <= 103  # with what ssh adds while it opens it


_BY_PSUTIL = {("groups", "memory_of"), ("devices", "memory_here")}
"""Who asks psutil: a keeper of trials with a limit, which has it; on Windows alone."""


@pytest.mark.parametrize("module", ["keeper", "starter", "child", "groups", "log_trimming", "agent", "attempts", "keeper_client", "devices", "leases", "log_file", "needs", "setting", "worker"])  # fmt: skip
def test_what_starts_and_keeps_trials_imports_the_standard_library_alone(module: str) -> None:
    tree = ast.parse((PROCESS / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        around = [
            getattr(outer, "name", ast.unparse(getattr(outer, "test", outer)))
            for outer in ast.walk(tree)
            if isinstance(outer, ast.FunctionDef | ast.If) and node in ast.walk(outer)
        ]
        if "TYPE_CHECKING" in around or any((module, name) in _BY_PSUTIL for name in around):
            continue
        foreign = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"cloudtune"}
        assert not foreign, f"{module}.py, line {node.lineno}"


def test_event_files_that_are_open_are_found_by_their_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getpath(descriptor: int, command: int, buffer: bytes) -> bytes:
        assert (command, len(buffer)) == (50, 1024)
        return os.fsencode(Path(f"/proc/self/fd/{descriptor}").readlink()).ljust(1024, b"\0")

    monkeypatch.setattr(event_files, "_LINUX", str(tmp_path / "none"))
    monkeypatch.setattr(fcntl, "fcntl", getpath)
    path = tmp_path / "events.out.tfevents.1"
    with path.open("wb"), (tmp_path / "other").open("wb"):
        assert event_files._open_event_files() == {str(path)}
    assert event_files._open_event_files() == set()
