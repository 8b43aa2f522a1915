"""A Python that lacks what Windows' Python lacks: run as `python windows_like.py "COMMAND ; COMMAND ; …"`, each without `cloudtune`.

It is not Windows: paths, consoles and the handling of open files stay those of this machine. It finds what is imported or
called although it is not there. The locks are those of `cloudtune.system.locks` for Windows, on a `msvcrt` that locks bytes
by lockf(3).
"""

import builtins
import importlib.util
import os
import signal
import sys
import types

MODULES = ("fcntl", "grp", "posix_spawn", "pty", "pwd", "resource", "syslog", "termios", "tty", "readline")
"""Modules that Windows' Python has not (https://docs.python.org/3/library/index.html, each page's availability)."""

OF_OS = (
    "chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpriority",
    "getsid", "getuid", "initgroups", "killpg", "lchown", "mkfifo", "mknod", "nice", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW",
    "O_NONBLOCK", "pidfd_open", "posix_spawn", "pread", "pwrite", "sched_getaffinity", "sched_setaffinity", "setgid", "sysconf_names", "setpgid",
    "setpriority", "setsid", "setuid", "statvfs", "sysconf", "uname", "wait3", "wait4", "WNOHANG",
)  # fmt: skip
"""Names of `os` that Windows' Python has not."""

OF_SIGNAL = ("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2",
             "SIGVTALRM", "SIGXCPU", "SIGXFSZ", "setitimer", "pthread_sigmask", "set_wakeup_fd_of_none", "alarm", "pause")  # fmt: skip
"""Names of `signal` that Windows' Python has not."""


def hide() -> None:
    """Remove from this process what Windows has not; modules of the standard library that need it are imported before."""
    import asyncio
    import pathlib
    import platform
    import shutil
    import socketserver
    import subprocess
    import tarfile
    import tempfile

    assert all((asyncio, pathlib, platform, shutil, socketserver, subprocess, tarfile, tempfile))
    import psutil

    platform.uname()
    psutil.Process().create_time()
    _locks_of_windows()
    _strict_names()


def _locks_of_windows() -> None:
    """Import the locks as they are on Windows, over a `msvcrt` that locks bytes as the real one does."""
    import fcntl

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert mode == 2
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)
        except OSError as error:
            raise PermissionError(13, "Permission denied") from error

    msvcrt = types.ModuleType("msvcrt")
    msvcrt.__dict__.update(locking=locking, LK_NBLCK=2)
    sys.modules["msvcrt"] = msvcrt
    platform, sys.platform = sys.platform, "win32"
    try:
        import cloudtune.system.locks
    finally:
        sys.platform = platform
        del sys.modules["msvcrt"]
    assert not hasattr(cloudtune.system.locks, "fcntl")


def _strict_names() -> None:
    """Have our own packages find neither the modules nor the names; others' keep what they chose for this system."""
    original = builtins.__import__

    def imported(name: str, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]  # noqa: A002
        caller = str((globals or {}).get("__name__", ""))
        if name.partition(".")[0] in MODULES and caller.partition(".")[0].startswith("cloudtune"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        found = original(name, globals, locals, fromlist, level)
        if caller.partition(".")[0].startswith("cloudtune") and name in ("os", "signal") and not fromlist:
            return REPLACED[name]
        return found

    builtins.__import__ = imported


def _without(module: types.ModuleType, names: tuple[str, ...]) -> types.ModuleType:
    made = types.ModuleType(module.__name__)
    made.__dict__.update({key: value for key, value in vars(module).items() if key not in names})
    return made


REPLACED = {"os": _without(os, OF_OS), "signal": _without(signal, OF_SIGNAL)}


def main() -> int:
    hide()
    assert importlib.util.find_spec("cloudtune")
    from cloudtune.cli.app import run_app

    codes = []
    for command in " ".join(sys.argv[1:]).split(" ; "):
        print("$", command, flush=True)
        codes.append(run_app(command.split()))
        print("=", codes[-1], flush=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
