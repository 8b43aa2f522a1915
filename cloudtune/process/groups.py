"""Signals to process groups, and what the operating system tells about processes.

The keeper loads this module before its first trial, so that it imports little of the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC_PIDTBSDINFO, _BSDINFO_SIZE = 3, 136  # macOS' sys/proc_info.h; struct proc_bsdinfo ends with the time of the start


def signal_group(group: int, number: int) -> None:
    """Send a signal to the members of a process group; do nothing if it has none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_exists(group: int) -> bool:
    """Return whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_exists(pid: int) -> bool:
    """Return whether there is a process of this id, also if it has ended and waits to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def start_ticks(pid: int) -> str:
    """Return when a process started, in clock ticks since boot (proc(5): ``starttime``); "" if unknown.

    Together with the id it identifies a process: ids are used again. macOS says it in microseconds since 1970, as its clock
    was then.
    """
    if sys.platform == "darwin":
        return _start_on_macos(pid)
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # pathlib would double the keeper's start
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _start_on_macos(pid: int) -> str:
    """Ask proc_pidinfo(): psutil is not there for a keeper that has the standard library alone, and follows changes of the clock."""
    import ctypes  # noqa: PLC0415  # Linux needs it not

    info = ctypes.create_string_buffer(_BSDINFO_SIZE)
    found = ctypes.CDLL(None).proc_pidinfo(
        pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(1), info, _BSDINFO_SIZE
    )  # 1: zombies too
    if found != _BSDINFO_SIZE:
        return ""
    seconds, microseconds = ctypes.cast(info, ctypes.POINTER(ctypes.c_uint64))[
        _BSDINFO_SIZE // 8 - 2 : _BSDINFO_SIZE // 8
    ]
    return str(seconds * 1_000_000 + microseconds)


def has_exited(pid: int) -> bool:
    """Return whether a child has ended, whether or not it was reaped; False on systems without waitid(2)."""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def await_suspension(pid: int) -> None:
    """Wait until a child that was sent SIGSTOP is suspended or has ended, at most 50 ms: it may have left its group."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # it has ended, and was reaped
            for _ in range(50):
                if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                    return
                time.sleep(0.001)


def memory_of(pid: int) -> int:
    """Return the memory of a process and its descendants in bytes, shared pages counted once (PSS) on Linux."""
    import psutil  # noqa: PLC0415  # only jobs with a memory limit need it

    total = 0
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                # on macOS the full information of another process, also one's own child, is for root alone
                total += process.memory_full_info().pss if sys.platform == "linux" else process.memory_info().rss
    return total


def become_subreaper() -> None:
    """Make this process the parent of descendants whose parent dies (Linux, prctl(2)); elsewhere init stays that."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # other systems need none

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_adopted(living: set[int]) -> None:
    """Kill and reap the children of this process that it adopted and whose trial has ended.

    Args:
        living: process groups of the trials that run. Processes stay which are in it, or whose environment names the
            record file of one of these trials.
    """
    for _ in range(100):  # each round may orphan the children of the last
        adopted = [pid for pid in _children() if pid not in living and _trial_group_of(pid) not in living]
        if not adopted:
            return
        for pid in adopted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    """Return the pids of this process's children; none on systems other than Linux, where it adopts none."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _trial_group_of(pid: int) -> int:
    """Return the process group of the trial that started a process, by its environment; 0 where that is unknown."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            variables = dict(item.partition(b"=")[::2] for item in file.read().split(b"\0"))
        with open(variables[b"CLOUDTUNE_PROCESS_FILE"]) as file:  # noqa: PTH123
            return int(file.read().split()[0])
    except (OSError, KeyError, ValueError, IndexError):
        return 0
